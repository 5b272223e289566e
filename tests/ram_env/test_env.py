"""The single environment: timeline, reward, what is told and when, seeding, and its wrappers."""

import copy
import pickle
import random
import re
from types import MappingProxyType

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.wrappers import (
    HumanRendering,
    RecordEpisodeStatistics,
    RecordVideo,
    RenderCollection,
)

from ram_env import Dataset, GlimpseEnv, GlimpseSensor, TranslatedScene
from ram_env.rendering import render_frame, render_text

FORMATS = ["dict", "multi_discrete", "discrete"]
LONGEST_EPISODE = 6


def make(dataset, **options):
    """A small environment: four glimpses of 4x4, a grid of 2x2 for the discrete formats."""
    return GlimpseEnv(dataset, **({"patch_size": 4, "num_glimpses": 4, "grid_size": 2} | options))


def look(x, y, label=0):
    return {"location": np.array([x, y], np.float32), "label": label}


def play(env, actions, **reset):
    """What reset and every step return."""
    return [env.reset(**reset), *(env.step(action) for action in actions)]


def wander(env, num_episodes, seed=0):
    """Whole episodes of random actions: what every call returns."""
    env.action_space.seed(seed)
    told = []
    for episode in range(num_episodes):
        told.append(env.reset(seed=seed if episode == 0 else None))
        told += finish(env)
    return told


def finish(env):
    """The rest of an episode of random actions: what every step returns."""
    steps = []
    while not (steps and steps[-1][2]):
        assert len(steps) < LONGEST_EPISODE
        steps.append(env.step(env.action_space.sample()))
    return steps


def seen_at(dataset, index, location, **sensor):
    """The glimpse that the sensor takes of an item."""
    image = np.asarray(dataset[0])[[index]]
    return GlimpseSensor(**({"patch_size": 4} | sensor))(image, np.array([location]))[0]


def chi_square(counts):
    expected = np.sum(counts) / np.size(counts)
    return ((counts - expected) ** 2 / expected).sum()


# ----------------------------------------------------------------------------------------- timeline


def test_an_episode_looks_where_it_is_told_and_then_answers(tiny, assert_same):
    env = make(tiny, num_scales=2)
    places = [(-0.5, 0.25), (1, -1), (0.1, 0.9)]
    actions = [look(*place) for place in places] + [look(-1, -1, label=2)]
    told = play(env, actions, options={"index": 5})

    assert len(told) == 1 + 4
    for (observation, *_), place in zip(told[:4], [(0, 0), *places], strict=True):
        assert set(observation) == {"glimpse", "location"}
        np.testing.assert_array_equal(observation["location"], np.float32(place))
        # Where a float32 location lies is where the fovea is.
        expected = seen_at(tiny, 5, np.float32(place), num_scales=2)
        np.testing.assert_array_equal(observation["glimpse"], expected)
    # The last step's location is not used: the last glimpse comes once more.
    assert_same(told[4][0], told[3][0])
    assert [step[2:4] for step in told[1:]] == [(False, False)] * 3 + [(True, False)]


@pytest.mark.parametrize("num_glimpses", [1, 2, 6])
def test_an_episode_has_as_many_steps_as_glimpses(tiny, num_glimpses):
    env = make(tiny, num_glimpses=num_glimpses)
    for _ in range(3):
        told = play(env, [look(0.5, 0.5)] * num_glimpses)
        assert [step[2] for step in told[1:]] == [False] * (num_glimpses - 1) + [True]
        assert not any(step[3] for step in told[1:])
        visited = {step[0]["location"].tobytes() for step in told}
        assert len(visited) == min(num_glimpses, 2)  # the centre, then the place looked at


def test_a_single_glimpse_is_answered_at_once(tiny, assert_same):
    env = make(tiny, num_glimpses=1)
    first, info = env.reset(options={"index": 4})
    last, reward, terminated, truncated, final_info = env.step(look(1, 1, label=1))
    assert_same(last, first)
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info == {"index": 4}
    assert final_info == {"index": 4, "label": 1, "prediction": 1, "is_success": True}


def test_only_the_last_class_and_only_the_earlier_locations_are_read(tiny, assert_same):
    env = make(tiny)
    places = [(0.5, 0), (0, 0.5), (-0.5, 0)]
    one = play(env, [*(look(*at, 0) for at in places), look(0, 0, 2)], options={"index": 1})
    other = play(env, [*(look(*at, 2) for at in places), look(1, -1, 2)], options={"index": 1})
    assert_same(one, other)


@pytest.mark.parametrize("action_format", FORMATS)
@pytest.mark.parametrize("item_shape", [(6, 8), (8, 6, 3), (5, 5, 1)])
def test_observations_are_in_the_space(item_shape, action_format):
    images = np.random.default_rng(0).integers(0, 256, (5, *item_shape), np.uint8)
    env = make((images, np.arange(5)), num_scales=3, action_format=action_format, start="random")
    assert env.observation_space["glimpse"] == gym.spaces.Box(
        0, 1, (3, 4, 4, *item_shape[2:]), np.float32
    )
    assert env.observation_space["location"] == gym.spaces.Box(-1, 1, (2,), np.float32)
    for told in wander(env, 4):
        assert told[0] in env.observation_space


def test_returned_arrays_are_the_callers(tiny, assert_same):
    env, twin = make(tiny), make(tiny)
    told = []
    for step in wander(env, 2):
        told.append(copy.deepcopy(step))
        for array in step[0].values():
            array[:] = 0.125
        step[-1]["index"] = -5
    assert_same(told, wander(twin, 2))


def test_the_datasets_images_are_left_as_they_were(tiny):
    images = tiny[0].copy()
    wander(make((images, tiny[1]), scene=TranslatedScene(size=9)), 3)
    np.testing.assert_array_equal(images, tiny[0])


# ---------------------------------------------------------------------------------- reward and info


@pytest.mark.parametrize("label", [0, 1, 2])
@pytest.mark.parametrize("index", [3, 4, 5])
def test_the_reward_is_one_for_the_right_class_at_the_last_step(tiny, index, label):
    told = play(make(tiny), [look(0, 0, label)] * 4, options={"index": index})
    right = label == index % 3
    assert [step[1] for step in told[1:]] == [0.0, 0.0, 0.0, float(right)]
    assert all(type(step[1]) is float for step in told[1:])
    assert [step[-1] for step in told[:-1]] == [{"index": index}] * 4
    assert told[-1][-1] == {
        "index": index,
        "label": index % 3,
        "prediction": label,
        "is_success": right,
    }


def test_numbers_in_the_info_are_pythons_own(tiny):
    *_, info = play(make(tiny), [look(0, 0)] * 4)[-1]
    types = {name: type(value) for name, value in info.items()}
    assert types == {"index": int, "label": int, "prediction": int, "is_success": bool}


@pytest.mark.parametrize("action_format", FORMATS)
@pytest.mark.parametrize("render_mode", [None, "ansi", "rgb_array"])
def test_the_label_is_nowhere_before_the_end(tiny, action_format, render_mode, assert_same):
    images, labels = tiny
    options = {"action_format": action_format, "render_mode": render_mode, "start": "random"}
    env, relabelled = make(tiny, **options), make((images, (labels + 1) % 3), **options)
    env.action_space.seed(1)
    for episode in range(3):
        seed = 7 if episode == 0 else None
        assert_same(env.reset(seed=seed), relabelled.reset(seed=seed))
        for _ in range(4):
            assert_same(env.render(), relabelled.render())
            action = env.action_space.sample()
            told, retold = env.step(action), relabelled.step(action)
            if told[2]:
                break
            assert_same(told, retold)
        assert told[2]
        assert retold[2]
        assert_same(told[0], retold[0])
        assert retold[-1]["label"] == (told[-1]["label"] + 1) % 3


# --------------------------------------------------------------------------------- discrete actions


def test_multi_discrete_looks_at_cells_and_answers_last(tiny):
    env = make(tiny, action_format="multi_discrete")
    told = play(env, [[0, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 2]], options={"index": 2})
    places = [(0, 0), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5), (0.5, -0.5)]
    for (observation, *_), place in zip(told, places, strict=True):
        np.testing.assert_array_equal(observation["location"], np.float32(place))
        np.testing.assert_array_equal(observation["glimpse"], seen_at(tiny, 2, place))
    assert told[-1][1:4] == (1.0, True, False)


# Actions 0 to 3 look at the cells of the 2x2 grid, 4 to 6 say classes 0 to 2.
@pytest.mark.parametrize("looks", [[], [1], [1, 2], [1, 2, 3]])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_a_discrete_answer_ends_the_episode_at_any_time(tiny, looks, label, assert_same):
    env = make(tiny, action_format="discrete")
    told = play(env, [*looks, 4 + label], options={"index": 7})  # of class 1
    assert_same(told[-1][0], told[-2][0])
    assert [step[1:4] for step in told[1:-1]] == [(0.0, False, False)] * len(looks)
    right = label == 1
    assert told[-1][1:4] == (float(right), True, False)
    assert told[-1][4] == {"index": 7, "label": 1, "prediction": label, "is_success": right}
    with pytest.raises(ResetNeeded):
        env.step(0)


@pytest.mark.parametrize("last_look", [0, 3])
def test_who_still_looks_at_the_end_has_given_no_answer(tiny, last_look, assert_same):
    env = make(tiny, action_format="discrete")
    told = play(env, [1, 2, 3, last_look], options={"index": 0})
    assert told[-1][1:4] == (0.0, True, False)
    assert told[-1][4] == {"index": 0, "label": 0, "prediction": -1, "is_success": False}
    assert_same(told[-1][0], told[-2][0])  # and does not look any more


# ------------------------------------------------------------------------------ where the gaze goes


def test_a_random_start_is_uniform_over_the_image(tiny):
    env = make(tiny, start="random")
    starts = [env.reset(seed=0)[0]["location"]]
    starts += [env.reset()[0]["location"] for _ in range(1999)]
    counts, *_ = np.histogram2d(*np.array(starts).T, bins=4, range=[(-1, 1)] * 2)
    assert counts.sum() == 2000
    assert chi_square(counts) < 45  # 15 degrees of freedom: p = 1e-4


def test_a_random_start_is_where_the_first_glimpse_is_taken(tiny):
    env = make(tiny, start="random")
    for seed in range(5):
        observation, info = env.reset(seed=seed)
        expected = seen_at(tiny, info["index"], observation["location"])
        np.testing.assert_array_equal(observation["glimpse"], expected)


@pytest.mark.parametrize("start", [(0.5, -1), [0.5, -1.0], np.float32([0.5, -1])])
def test_the_first_glimpse_can_be_of_a_place(tiny, start):
    env = make(tiny, start=start)
    for seed in range(3):
        observation, info = env.reset(seed=seed)
        np.testing.assert_array_equal(observation["location"], np.float32([0.5, -1]))
        expected = seen_at(tiny, info["index"], np.array([0.5, -1]))
        np.testing.assert_array_equal(observation["glimpse"], expected)


@pytest.mark.parametrize("start", ["center", "random", (0.5, -1.0)])
@pytest.mark.parametrize("location_range", [1, 0.5, 0.25])
def test_location_range_scales_the_offset_from_the_centre(tiny, location_range, start):
    env = make(tiny, location_range=location_range, start=start)
    told = play(env, [look(1, -1), look(-0.5, 1), look(0, 0)], options={"index": 6}, seed=2)
    for observation, *_ in told:
        reached = observation["location"].astype(np.float64) * location_range
        np.testing.assert_array_equal(observation["glimpse"], seen_at(tiny, 6, reached))
    # What the agent is told is its own location, not the scaled one.
    np.testing.assert_array_equal(told[1][0]["location"], [1, -1])


def test_half_the_range_reaches_half_way():
    columns = np.tile(np.arange(1, 9, dtype=np.uint8), (2, 8, 1))
    env = make((columns, np.arange(2)), location_range=0.5, patch_size=2)
    told = play(env, [look(1, 0), look(-1, 0)])
    seen = [np.rint(observation["glimpse"][0, 0] * 255).tolist() for observation, *_ in told]
    assert seen == [[4, 5], [6, 7], [2, 3]]  # around columns 4, 6 and 2


# ------------------------------------------------------------------------------ which item is shown


def test_the_sequential_order_shows_each_item_once_a_pass(tiny):
    env = make(tiny, order="sequential")
    shown = [env.reset(seed=3 if turn == 0 else None)[1]["index"] for turn in range(30)]
    assert shown == [*range(12), *range(12), *range(6)]
    assert env.reset(seed=3)[1]["index"] == 0  # a seed begins the pass anew
    assert env.reset()[1]["index"] == 1


def test_the_random_order_draws_all_items_alike(tiny):
    env = make(tiny)
    env.reset(seed=0)
    counts = np.bincount([env.reset()[1]["index"] for _ in range(2400)], minlength=12)
    assert len(counts) == 12
    assert chi_square(counts) < 38  # 11 degrees of freedom: p = 1e-4


@pytest.mark.parametrize("order", ["random", "sequential"])
@pytest.mark.parametrize("index", [0, 7, 11, np.int32(4), np.array(9)])
def test_a_reset_may_choose_the_item(tiny, order, index):
    env = make(tiny, order=order)
    observation, info = env.reset(options={"index": index})
    assert info["index"] == index
    np.testing.assert_array_equal(observation["glimpse"], seen_at(tiny, int(index), (0, 0)))


@pytest.mark.parametrize("options", [None, {}, {"index": None}])
def test_without_a_choice_the_order_decides(tiny, options):
    env = make(tiny, order="sequential")
    env.reset()
    assert env.reset(options=options)[1]["index"] == 1


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (12, "12.*0..11"),
        (-1, "-1.*0..11"),
        (2.0, "2.0.*integer"),
        ("3", "'3'.*integer"),
        (True, "True.*integer"),
        ([1, 2], r"\[1, 2\].*integer"),
        ([[1], [2, 3]], r"\[\[1\], \[2, 3\]\].*integer"),
        (2**70, f"{2**70}.*integer"),
    ],
)
def test_an_item_that_is_none_is_refused_and_nothing_has_changed(tiny, index, message, assert_same):
    env, twin = make(tiny), make(tiny)
    assert_same(env.reset(seed=1), twin.reset(seed=1))
    with pytest.raises(ValueError, match=message) as error:
        env.reset(seed=2, options={"index": index})
    assert "index" in str(error.value)
    assert_same(env.step(look(1, 1)), twin.step(look(1, 1)))
    assert_same(env.reset(), twin.reset())


@pytest.mark.parametrize("name", ["item", "reset_mask", "Index"])
def test_unknown_reset_options_are_refused(tiny, name):
    with pytest.raises(ValueError, match=f"{name}.*index"):
        make(tiny).reset(options={name: 1})


@pytest.mark.parametrize("options", ["x", [], "", 3, 0, False, [("index", 3)], {"index"}])
def test_reset_options_that_are_no_dict_are_refused(tiny, options):
    with pytest.raises(ValueError, match=r"options=.*not a dict") as error:
        make(tiny).reset(options=options)
    assert repr(options) in str(error.value)


def test_any_mapping_will_do_as_reset_options(tiny):
    assert make(tiny).reset(options=MappingProxyType({"index": 3}))[1]["index"] == 3


# ------------------------------------------------------------------------------------------ seeding


@pytest.mark.parametrize("action_format", FORMATS)
def test_the_same_seed_gives_the_same_episodes(tiny, action_format, assert_same):
    options = {
        "action_format": action_format,
        "scene": TranslatedScene(size=12),
        "start": "random",
    }
    env = make(tiny, **options)
    first = wander(env, 4, seed=5)
    assert_same(wander(env, 4, seed=5), first)
    assert_same(wander(make(tiny, **options), 4, seed=5), first)


def test_other_seeds_give_other_episodes(tiny):
    def shown(seed):
        env = make(tiny)
        env.reset(seed=seed)
        return tuple(env.reset()[1]["index"] for _ in range(20))

    assert len({shown(seed) for seed in [0, 1, 2, 3, None, None]}) == 6


def test_a_chosen_item_leaves_the_later_draws_as_they_are(tiny, assert_same):
    env, twin = make(tiny, start="random"), make(tiny, start="random")
    env.reset(seed=4)
    twin.reset(seed=4, options={"index": 3})
    assert_same(env.reset(), twin.reset())


def test_no_global_generator_is_touched_or_used(tiny):
    def shown_after(global_seed):
        random.seed(global_seed)
        np.random.seed(global_seed)  # noqa: NPY002
        before = random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002
        env = make(tiny, start="random", scene=TranslatedScene(12), render_mode="rgb_array")
        env.reset()
        env.render()
        for _ in range(4):
            env.step(look(0, 1))
        shown = [env.reset()[1]["index"] for _ in range(20)]
        assert before == (random.getstate(), pickle.dumps(np.random.get_state()))  # noqa: NPY002
        return shown

    assert shown_after(1) != shown_after(1)


# ------------------------------------------------------------------------------------- its refusals


def test_there_is_nothing_to_step_before_the_first_reset(tiny):
    with pytest.raises(ResetNeeded, match="reset"):
        make(tiny).step(look(0, 0))


def test_there_is_nothing_to_step_after_the_end(tiny):
    env = make(tiny)
    play(env, [look(0, 0)] * 4)
    for _ in range(2):
        with pytest.raises(ResetNeeded, match="reset"):
            env.step(look(0, 0))
    env.reset()
    env.step(look(0, 0))


def test_there_is_nothing_to_render_before_the_first_reset(tiny):
    with pytest.raises(ResetNeeded, match="reset"):
        make(tiny, render_mode="rgb_array").render()


@pytest.mark.parametrize(
    ("action_format", "action", "message"),
    [
        ("dict", look(1.5, 0), r"1\.5.*\[-1, 1\]"),
        ("dict", look(0, 0, label=3), r"3.*0\.\.2"),
        ("dict", None, "None.*'location' and 'label'"),
        ("multi_discrete", [2, 0, 0], r"2.*0\.\.1"),
        ("discrete", 7, r"7.*0\.\.6"),
    ],
)
@pytest.mark.parametrize("steps_before", [0, 3])
def test_a_refused_action_changes_nothing(
    tiny, action_format, action, message, steps_before, assert_same
):
    env, twin = make(tiny, action_format=action_format), make(tiny, action_format=action_format)
    good = {"dict": look(0.5, 0.5), "multi_discrete": [1, 1, 1], "discrete": 3}[action_format]
    assert_same(play(env, [good] * steps_before, seed=0), play(twin, [good] * steps_before, seed=0))
    with pytest.raises(ValueError, match=message):
        env.step(action)
    assert_same(env.step(good), twin.step(good))


def bad(value, allowed, **options):
    """An option that is refused, with a part of what is said to be allowed."""
    ((name, _),) = options.items()
    return pytest.param(options, name, value, allowed, id=f"{name}={value}")


@pytest.mark.parametrize(
    ("options", "name", "value", "allowed"),
    [
        bad("'dev'", "'val'", split="dev"),
        bad("None", "'val'", split=None),
        bad("'shuffled'", "'sequential'", order="shuffled"),
        bad("['random']", "'sequential'", order=["random"]),
        bad("'corner'", "'center'", start="corner"),
        bad("'centre'", "'center'", start="centre"),
        *(
            bad(repr(value), "'random'], and no place (x, y) in [-1, 1]", start=value)
            for value in (None, 0, (0.5,), (0, 0, 0), (0, 1.01), (0, np.nan), (0, True), [0, "0"])
        ),
        bad("array([2, 0])", "'center'", start=np.array([2, 0])),
        bad("array(0.5)", "'center'", start=np.array(0.5)),
        bad("'continuous'", "'multi_discrete'", action_format="continuous"),
        bad("['dict']", "'multi_discrete'", action_format=["dict"]),
        bad("None", "'multi_discrete'", action_format=None),
        bad("'human'", "'rgb_array'", render_mode="human"),
        bad("'fog'", "'translated'", scene="fog"),
        bad("3", "'translated'", scene=3),
        bad("None", "'translated'", scene=None),
        bad("['plain']", "'translated'", scene=["plain"]),
        *(
            bad(repr(value), "at least 1", **{name: value})
            for name in ("num_glimpses", "grid_size", "patch_size", "num_scales", "scale_factor")
            for value in (0, -2, 1.5, 2.0, "2", None, True)
        ),
        *(
            bad(repr(value), "at most 1", location_range=value)
            for value in (0, -0.5, 1.01, np.nan, np.inf, "1", None, True)
        ),
        bad("9", "at most 8", patch_size=9),  # the longer side has 8 pixels
        bad("5", "fewer scales", num_scales=5),  # 4 * 2**4 pixels are more than 4 * 8
    ],
)
def test_a_refused_option_is_named_with_what_is_allowed(tiny, options, name, value, allowed):
    with pytest.raises(ValueError, match=name) as error:
        make(tiny, **options)
    assert value in str(error.value)
    assert allowed in str(error.value)


@pytest.mark.parametrize("dataset", [5, None, "fashion", np.zeros((3, 4, 4))])
def test_a_dataset_that_is_none_is_refused(dataset):
    with pytest.raises(ValueError, match="dataset"):
        make(dataset)


@pytest.mark.parametrize("name", ["num_glimpse", "num_envs", "dataset_name"])
def test_an_option_that_does_not_exist_is_named(tiny, name):
    with pytest.raises(TypeError, match=f"{name}.*num_glimpses.*, render_mode"):
        make(tiny, **{name: 3})


def test_options_are_given_by_name(tiny):
    with pytest.raises(TypeError, match="positional"):
        GlimpseEnv(tiny, "train")


def test_the_largest_patch_and_square_that_make_sense(tiny):
    assert make(tiny, patch_size=8).reset()[0]["glimpse"].shape == (1, 8, 8)
    assert make(tiny, num_scales=4).reset()[0]["glimpse"].shape == (4, 4, 4)  # 4 * 2**3 = 4 * 8


def test_numbers_may_be_numpys(tiny, assert_same):
    numpys = make(tiny, num_glimpses=np.int64(3), location_range=np.float32(0.5))
    assert_same(wander(numpys, 2), wander(make(tiny, num_glimpses=3, location_range=0.5), 2))


def test_a_dataset_may_be_a_dataset(tiny, assert_same):
    assert_same(wander(make(Dataset(*tiny)), 2), wander(make(tiny), 2))


def test_the_classes_of_a_dataset_are_those_of_the_space(tiny):
    assert make(tiny).action_space["label"].n == 3
    assert make(Dataset(*tiny, num_classes=5)).action_space["label"].n == 5
    assert make(Dataset(*tiny, num_classes=5), action_format="discrete").action_space.n == 4 + 5


# ------------------------------------------------------------------------------------------- copies


def test_a_copy_shares_what_never_changes(tiny):
    env = make(tiny)
    assert copy.deepcopy(env).task.items is env.task.items
    assert copy.deepcopy(env.task.items) is env.task.items


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
@pytest.mark.parametrize("made", ["plainly", "by gym.make"])
def test_a_copy_in_the_middle_of_an_episode_goes_on_alike(tiny, copied, made, assert_same):
    options = {"scene": TranslatedScene(size=12), "start": "random", "render_mode": "rgb_array"}
    if made == "plainly":
        env = make(tiny, **options)
    else:
        env = gym.make("ram_env/MNIST-v0", dataset=tiny, **options)
    wander(env, 1, seed=8)
    play(env, [look(0.5, -0.5), look(0.25, 0)])
    env.unwrapped.belief = [0.5, 0.25, 0.25]
    twin = copied(env)
    assert_same(twin.render(), env.render())
    for _ in range(3):
        twin.action_space.seed(9)
        env.action_space.seed(9)
        assert_same(finish(twin), finish(env))
        assert_same(twin.render(), env.render())
        assert_same(twin.reset(), env.reset())


# ---------------------------------------------------------------------------------------- rendering


def test_without_a_render_mode_there_is_no_picture(tiny):
    env = make(tiny)
    env.reset()
    assert env.render() is None


def test_frames_show_the_moment(tiny):
    env = make(tiny, render_mode="rgb_array")
    env.reset(seed=0)
    frames = [env.render()]
    for action in [look(-0.5, -0.5), look(0.5, 0.5), look(0, -0.5), look(0, 0)]:
        env.step(action)
        frames.append(env.render())
    assert {(frame.dtype, frame.shape) for frame in frames} == {
        (np.dtype(np.uint8), frames[0].shape)
    }
    assert frames[0].shape[2] == 3
    assert len({frame.tobytes() for frame in frames}) == 5
    np.testing.assert_array_equal(env.render(), frames[-1])  # looking does not change what is seen


def test_text_shows_the_moment(tiny):
    env = make(tiny, render_mode="ansi")
    env.reset(seed=0)
    texts = [env.render()]
    for _ in range(4):
        env.step(look(0.5, 0.5))
        texts.append(env.render())
    assert all(isinstance(text, str) for text in texts)
    assert len(set(texts)) == 5


@pytest.mark.parametrize(
    ("render_mode", "render"), [("rgb_array", render_frame), ("ansi", render_text)]
)
def test_what_is_shown_is_where_it_looked_on_its_image_and_what_it_said(render_mode, render):
    # On an image that is longer than high, and where 1 is half of the way to the edge.
    images = np.random.default_rng(0).integers(1, 256, (4, 20, 28), np.uint8)
    sensor = {"patch_size": 4, "num_scales": 2}
    env = GlimpseEnv(
        (images, np.arange(4)),
        **sensor,
        num_glimpses=3,
        location_range=0.5,
        render_mode=render_mode,
    )
    env.reset(seed=0, options={"index": 2})
    for x, y in [(1, -0.5), (-0.5, 1)]:
        observation, *_ = env.step(look(x, y))
    path = np.array([(0, 0), (0.5, -0.25), (-0.25, 0.5)], np.float32)
    centres = GlimpseSensor(**sensor).centres((20, 28), path)
    boxes = GlimpseSensor(**sensor).boxes((20, 28), path[-1])
    moment = (images[2], centres, boxes, observation["glimpse"])
    np.testing.assert_array_equal(env.render(), render(*moment, num_glimpses=3))
    env.step(look(0, 0, label=1))
    answered = render(*moment, num_glimpses=3, label=2, prediction=1)
    np.testing.assert_array_equal(env.render(), answered)
    if render_mode == "ansi":
        assert "said 1, is 2" in env.render()


@pytest.mark.parametrize("render_mode", ["rgb_array", "ansi"])
def test_a_belief_is_shown_until_the_next_glimpse(tiny, render_mode, assert_same):
    env, plain = make(tiny, render_mode=render_mode), make(tiny, render_mode=render_mode)
    assert_same(env.reset(seed=0), plain.reset(seed=0))
    for _ in range(3):
        env.belief = np.array([0.7, 0.2, 0.1])
        np.testing.assert_array_equal(env.belief, [0.7, 0.2, 0.1])
        with_belief = env.render()
        with pytest.raises(AssertionError):
            assert_same(with_belief, plain.render())
        assert_same(env.step(look(0.5, 0.5)), plain.step(look(0.5, 0.5)))
        assert np.isnan(env.belief).all()
        assert_same(env.render(), plain.render())
    # The answer takes no glimpse: what was believed is what was answered.
    env.belief = [0.7, 0.2, 0.1]
    env.step(look(0, 0))
    np.testing.assert_array_equal(env.belief, [0.7, 0.2, 0.1])
    env.reset()
    assert np.isnan(env.belief).all()


@pytest.mark.parametrize(
    "belief",
    [
        [0.5, 0.5],
        [[0.5, 0.25, 0.25]],
        0.5,
        [-0.1, 0.6, 0.5],
        [np.nan, 0.5, 0.5],
        [np.inf, 0, 0],
        [1.5, 0, 0],
        None,
        "likely",
        [[0.5], [0.25, 0.25]],
    ],
    ids=repr,
)
def test_a_belief_that_is_none_is_refused(tiny, belief):
    env = make(tiny)
    env.reset()
    with pytest.raises(ValueError, match=re.escape(f"belief={belief!r}") + ".*probabilities"):
        env.belief = belief
    assert np.isnan(env.belief).all()


# ----------------------------------------------------------------------------------------- wrappers


def registered(tiny, **options):
    return gym.make("ram_env/MNIST-v0", dataset=tiny, patch_size=4, num_glimpses=3, **options)


def test_statistics_are_recorded(tiny):
    env = RecordEpisodeStatistics(registered(tiny))
    *_, info = play(env, [look(0, 0, label=2)] * 3, options={"index": 5})[-1]
    assert info["episode"]["r"] == 1
    assert info["episode"]["l"] == 3


def test_videos_are_recorded(tiny, tmp_path):
    env = RecordVideo(
        registered(tiny, render_mode="rgb_array"),
        str(tmp_path / "videos"),
        episode_trigger=lambda episode: episode == 1,
    )
    wander(env, 2)
    env.close()
    (video,) = (tmp_path / "videos").glob("*.mp4")
    assert video.stat().st_size > 0


@pytest.mark.parametrize("by", ["wrapper", "render_mode"])
def test_frames_are_collected(tiny, by):
    if by == "wrapper":
        env = RenderCollection(registered(tiny, render_mode="rgb_array"))
    else:
        env = registered(tiny, render_mode="rgb_array_list")
    play(env, [look(0.5, 0.5)] * 3)
    frames = env.render()
    assert len(frames) == 4
    assert len({frame.tobytes() for frame in frames}) == 4


def test_people_can_watch(tiny, monkeypatch):
    import pygame

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    shown = registered(tiny, render_mode="rgb_array")
    env = HumanRendering(shown)
    env.metadata = env.metadata | {"render_fps": 1000}
    play(env, [look(0, 0)] * 3)
    window = pygame.surfarray.array3d(pygame.display.get_surface())
    np.testing.assert_array_equal(window.swapaxes(0, 1), shown.render())
    env.close()


def test_an_option_that_does_not_exist_is_refused_in_words_that_torchrl_knows() -> None:
    for env_id in ("ram_env/MNIST-v0", "ram_env/Catch-v0"):
        with pytest.raises(
            TypeError, match=r"keyword argument 'frameskip'; the options are .*scale"
        ):
            gym.make(env_id, frameskip=1)
