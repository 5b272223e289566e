"""Catch: the rules, with numbers worked out by hand, and what both environments make of them."""

import itertools
import pickle
from copy import deepcopy

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from ram_env import CatchEnv, CatchVectorEnv
from ram_env.registration import CATCH

LEFT, STAY, RIGHT = range(3)
FORMATS = ["dict", "multi_discrete"]
SIZE, STEPS = 24, 23


class Uniforms:
    """Stands in for a generator, and gives the numbers that make a certain episode."""

    def __init__(self, start_x, velocity, size=SIZE):
        self._numbers = start_x / size, (velocity + 1) / 2

    def random(self, out):
        out[:] = self._numbers


def begin(start_x, velocity, **options):
    """An environment whose ball starts at x and moves so many pixels a step to the right."""
    env = CatchEnv(**options)
    env.reset(seed=0)
    env.np_random = Uniforms(start_x, velocity, env.task.screen_size)
    return env, env.reset()[0]


def act(move=STAY, location=(0, 0)):
    return {"location": np.array(location, np.float32), "move": move}


def screen_of(env):
    return env.unwrapped._episodes.images[0]


def ball_of(env):
    """Row and column of the only pixel above the bottom row."""
    ((row, column),) = np.argwhere(screen_of(env)[:-1])
    return int(row), int(column)


def paddle_of(env):
    return np.flatnonzero(screen_of(env)[-1]).tolist()


def columns_of(env, steps):
    columns = [ball_of(env)[1]]
    for _ in range(steps):
        env.step(act())
        columns.append(ball_of(env)[1])
    return columns


# ----------------------------------------------------------------------------------------- the spec


def test_the_numbers_are_the_papers():
    env = gym.make(CATCH)
    assert type(env.unwrapped) is CatchEnv
    assert env.observation_space["glimpse"] == gym.spaces.Box(0, 1, (3, 6, 6), np.float32)
    assert env.observation_space["location"] == gym.spaces.Box(-1, 1, (2,), np.float32)
    assert env.action_space["location"] == gym.spaces.Box(-1, 1, (2,), np.float32)
    assert env.action_space["move"] == gym.spaces.Discrete(3)
    env.reset(seed=0)
    assert screen_of(env).shape == (SIZE, SIZE)
    assert set(np.unique(screen_of(env))) == {0, 255}
    terminations = [env.step(act())[2] for _ in range(STEPS)]
    assert terminations == [False] * (STEPS - 1) + [True]


# ------------------------------------------------------------------------------------ ball, paddle


def test_the_ball_falls_one_row_a_step_and_moves_sideways():
    env, _ = begin(start_x=3.5, velocity=0.5)
    assert ball_of(env) == (0, 3)  # 3.5
    places = []
    for _ in range(4):
        env.step(act())
        places.append(ball_of(env))
    assert places == [(1, 4), (2, 4), (3, 5), (4, 5)]  # 4.0, 4.5, 5.0, 5.5


@pytest.mark.parametrize(
    ("start_x", "velocity", "columns"),
    [
        # 1.5, 0.75, 0.0, then off the edge at 0: 0.75, 1.5
        (1.5, -0.75, [1, 0, 0, 0, 1]),
        # 22.5, 23.25, 24.0 (the last column), then 23.25, 22.5
        (22.5, 0.75, [22, 23, 23, 23, 22]),
        (10.0, 0.0, [10, 10, 10, 10, 10]),
    ],
)
def test_the_ball_bounces_off_the_sides(start_x, velocity, columns):
    assert columns_of(begin(start_x, velocity)[0], 4) == columns


def test_a_fast_ball_on_a_narrow_screen_bounces_off_both_sides():
    # 0.5, 1.5, 2.5, then off 3: 2.5, 1.5, 0.5, then off 0: 0.5; the last is in the bottom row.
    env, _ = begin(start_x=0.5, velocity=1.0, screen_size=3, patch_size=2, num_scales=1)
    assert columns_of(env, 1) == [0, 1]


def test_the_paddle_starts_in_the_middle_and_moves_by_one_pixel():
    env, _ = begin(start_x=3.5, velocity=0.0)
    assert paddle_of(env) == [11, 12]
    places = []
    for move in (LEFT, LEFT, STAY, RIGHT):
        env.step(act(move))
        places.append(paddle_of(env))
    assert places == [[10, 11], [9, 10], [9, 10], [10, 11]]


@pytest.mark.parametrize(("move", "end"), [(LEFT, [0, 1]), (RIGHT, [22, 23])])
def test_the_paddle_stops_at_the_sides(move, end):
    env, _ = begin(start_x=10.0, velocity=0.0)
    for _ in range(STEPS - 1):
        env.step(act(move))
    assert paddle_of(env) == end


@pytest.mark.parametrize(
    ("column", "is_caught"), [(10, False), (11, True), (12, True), (13, False)]
)
def test_the_reward_is_1_where_the_paddle_overlaps_with_the_ball(column, is_caught):
    env, _ = begin(start_x=column + 0.5, velocity=0.0)
    steps = [env.step(act()) for _ in range(STEPS)]
    assert [reward for _, reward, *_ in steps] == [0.0] * (STEPS - 1) + [float(is_caught)]
    assert [info for *_, info in steps] == [{}] * (STEPS - 1) + [{"is_success": is_caught}]


def test_the_last_move_counts():
    env, _ = begin(start_x=13.5, velocity=0.0)
    for _ in range(STEPS - 1):
        env.step(act())
    assert env.step(act(RIGHT))[1] == 1.0


# ------------------------------------------------------------------------------------- what is seen


def test_a_glimpse_is_of_the_new_screen_at_the_new_location():
    env, observation = begin(start_x=3.5, velocity=0.0)
    # From the centre, the finest patch covers rows and columns 9 to 14: neither ball nor paddle.
    assert not observation["glimpse"][0].any()
    # (3, 1) in pixels; there the finest patch covers columns 0 to 5 and rows -2 to 3. After the
    # step the ball is at row 1, column 3.
    location = (3 / 12 - 1, 1 / 12 - 1)
    observation, *_ = env.step(act(location=location))
    np.testing.assert_array_equal(np.argwhere(observation["glimpse"][0]), [[3, 3]])
    np.testing.assert_allclose(observation["location"], location)


def test_the_coarsest_patch_shows_the_whole_screen_from_its_centre():
    _, observation = begin(start_x=3.5, velocity=0.0)
    glimpse = np.zeros((6, 6))
    glimpse[0, 0] = 1 / 16  # the ball: one of a block of 4x4 pixels
    glimpse[5, 2:4] = 1 / 16  # the paddle, columns 11 and 12: a pixel in each of two blocks
    np.testing.assert_allclose(observation["glimpse"][2], glimpse)


def test_the_last_glimpse_shows_the_ball_in_the_bottom_row():
    env, _ = begin(start_x=3.5, velocity=0.0)
    for _ in range(STEPS):
        observation, *_ = env.step(act(location=(3 / 12 - 1, 23 / 12 - 1)))
    # (3, 23) in pixels; there the finest patch covers columns 0 to 5 and rows 20 to 25.
    np.testing.assert_array_equal(np.argwhere(observation["glimpse"][0]), [[3, 3]])
    with pytest.raises(ResetNeeded):
        env.step(act())


# ------------------------------------------------------------------------------- what is random


def test_balls_start_anywhere_and_move_by_up_to_a_pixel_a_step_either_way():
    envs = CatchVectorEnv(num_envs=4000)
    envs.reset(seed=0)
    episodes = envs._episodes
    for numbers, low, high in ((episodes.start_x, 0, SIZE), (episodes.velocity, -1, 1)):
        assert low <= numbers.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < numbers.max() <= high
        assert numbers.mean() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
    assert abs(np.corrcoef(episodes.start_x, episodes.velocity)[0, 1]) < 0.05


def test_who_knows_where_the_ball_will_land_catches_every_ball():
    envs = CatchVectorEnv(num_envs=2000, autoreset_mode="Disabled")
    envs.reset(seed=0)
    episodes = envs._episodes
    # The landing by a simulation of its own: a step at a time, the velocity reversed at a side.
    x, velocity = episodes.start_x.copy(), episodes.velocity.copy()
    for _ in range(STEPS):
        x += velocity
        outside = (x < 0) | (x > SIZE)
        x = np.where(x < 0, -x, np.where(x > SIZE, 2 * SIZE - x, x))
        velocity = np.where(outside, -velocity, velocity)
    landing = x.astype(int)
    for _ in range(STEPS):
        move = np.sign(landing - episodes.paddle).clip(-1, 1) + 1
        *_, terminated, _, infos = envs.step({"location": np.zeros((2000, 2)), "move": move})
    assert terminated.all()
    assert infos["is_success"].all()


def test_who_never_moves_catches_a_twelfth():
    envs = CatchVectorEnv(num_envs=20_000, autoreset_mode="Disabled")
    envs.reset(seed=0)
    idle = {"location": np.zeros((20_000, 2)), "move": np.full(20_000, STAY)}
    for _ in range(STEPS):
        _, rewards, *_ = envs.step(idle)
    assert rewards.mean() == pytest.approx(2 / 24, abs=0.01)


# ---------------------------------------------------------------------------- Gymnasium's contract


@pytest.mark.parametrize("action_format", FORMATS)
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_the_vector_environment_is_as_many_single_ones(mode, action_format, assert_same):
    options = {"action_format": action_format, "screen_size": 8}
    envs = CatchVectorEnv(num_envs=3, autoreset_mode=mode, **options)
    sync = SyncVectorEnv([lambda: CatchEnv(**options)] * 3, autoreset_mode=mode)
    envs.action_space.seed(0)
    assert_same(envs.reset(seed=7), sync.reset(seed=7))
    for _ in range(20):
        actions = envs.action_space.sample()
        *found, terminations, _, _ = envs.step(actions)
        *expected, terminations_too, _, _ = sync.step(actions)
        assert_same(found, expected)
        assert_same(terminations, terminations_too)
        if mode is AutoresetMode.DISABLED and terminations.any():
            mask = {"reset_mask": terminations}
            assert_same(envs.reset(options=mask), sync.reset(options=mask))


def test_infos_are_those_of_single_environments(assert_same):
    envs = CatchVectorEnv(num_envs=3, autoreset_mode="SameStep", screen_size=4, patch_size=2)
    sync = SyncVectorEnv(
        [lambda: CatchEnv(screen_size=4, patch_size=2)] * 3,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    assert_same(envs.reset(seed=1), sync.reset(seed=1))
    for _ in range(7):
        actions = envs.action_space.sample()
        assert_same(envs.step(actions), sync.step(actions))


def test_a_copy_goes_on_alike(assert_same):
    env = CatchEnv()
    env.reset(seed=3)
    env.step(act(LEFT, (0.5, 0.5)))
    for twin in (deepcopy(env), pickle.loads(pickle.dumps(env))):
        again = deepcopy(env)
        assert_same(twin.step(act(RIGHT)), again.step(act(RIGHT)))
        assert_same(twin.reset(), again.reset())


# -------------------------------------------------------------------------------- pictures, errors


def test_pictures_name_the_moves_and_say_how_it_went():
    frames = {}
    for column in (11, 3):
        env, _ = begin(start_x=column + 0.5, velocity=0.0, render_mode="ansi")
        env.belief = [0.1, 0.2, 0.7]
        assert "belief right: 70%, stay: 20%, left: 10%" in env.render()
        for _ in range(STEPS):
            env.step(act())
        frames[column] = env.render()
    assert "glimpse 24 of 24 | caught" in frames[11]
    assert "glimpse 24 of 24 | missed" in frames[3]


def test_frames_show_the_episode_and_keep_their_size():
    env, _ = begin(start_x=3.5, velocity=0.5, render_mode="rgb_array")
    frames = [env.render()]
    for _ in range(STEPS):
        env.step(act())
        frames.append(env.render())
    assert {frame.shape for frame in frames} == {frames[0].shape}
    assert all(not np.array_equal(*pair) for pair in itertools.pairwise(frames))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"screen_size": 2}, "screen_size=2"),
        ({"action_format": "discrete"}, "action_format='discrete'.*dict.*multi_discrete"),
        ({"patch_size": 25}, "patch_size=25"),
        ({"num_scales": 6}, "num_scales=6"),
        ({"grid_size": 0}, "grid_size=0"),
        ({"location_range": 2.0}, "location_range=2.0"),
        ({"render_mode": "human"}, "render_mode='human'"),
    ],
)
def test_options_that_are_not_allowed_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        CatchEnv(**options)


def test_an_option_that_does_not_exist_is_named():
    with pytest.raises(TypeError, match="paddle_width"):
        CatchEnv(paddle_width=3)


@pytest.mark.parametrize(
    ("env", "allowed"), [(CatchEnv(), "none"), (CatchVectorEnv(num_envs=2), "reset_mask")]
)
def test_there_are_no_items_to_choose_from(env, allowed):
    with pytest.raises(ValueError, match=rf"'foo'; allowed: {allowed}"):
        env.reset(options={"foo": 1})
    with pytest.raises(ValueError, match=r"index.*no items.*seed"):
        env.reset(options={"index": 3})


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ({"location": (0, 0), "label": 1}, "'location' and 'move'"),
        (act(move=3), r"action\['move'\] holds 3"),
        (act(location=(2, 0)), r"action\['location'\] holds 2"),
    ],
)
def test_actions_that_mean_nothing_are_refused(action, words):
    env = CatchEnv()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=words):
        env.step(action)


def test_a_dict_for_the_grid_is_told_of_the_move():
    env = CatchEnv(action_format="multi_discrete")
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"\[column, row, move\].*'multi_discrete' wants"):
        env.step(act())
