"""The vector environment: as many single environments, and nothing else."""

import pickle
import random
from copy import deepcopy

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import batch_space, iterate
from gymnasium.wrappers.vector import RecordEpisodeStatistics, RecordVideo

from ram_env import ClutteredScene, GlimpseEnv, GlimpseVectorEnv

FORMATS = ["dict", "multi_discrete", "discrete"]
MODES = list(AutoresetMode)
NEXT_STEP, SAME_STEP, DISABLED = (
    AutoresetMode.NEXT_STEP,
    AutoresetMode.SAME_STEP,
    AutoresetMode.DISABLED,
)
SMALL = {"patch_size": 4, "num_glimpses": 3, "grid_size": 2}
# All that is random at once; the images are 10x10.
LIVELY = {
    "scene": ClutteredScene(size=10, num_pieces=2, piece_size=3),
    "start": "random",
    "num_scales": 2,
}


def make(dataset, num_envs=3, *, autoreset_mode=NEXT_STEP, render_mode=None, **options):
    return GlimpseVectorEnv(
        dataset,
        num_envs=num_envs,
        autoreset_mode=autoreset_mode,
        render_mode=render_mode,
        **(SMALL | options),
    )


def make_single(dataset, **options):
    return GlimpseEnv(dataset, **(SMALL | options))


def make_sync(dataset, num_envs=3, *, autoreset_mode=NEXT_STEP, **options):
    return SyncVectorEnv(
        [lambda: make_single(dataset, **options)] * num_envs, autoreset_mode=autoreset_mode
    )


def look(num_envs, label=0):
    """Actions that all look at the same place and name the same class, or each its own."""
    return {
        "location": np.full((num_envs, 2), 0.5, np.float32),
        "label": np.broadcast_to(label, num_envs),
    }


def reset_ended(envs, terminations):
    """What the caller does when nothing is reset by itself."""
    return envs.reset(options={"reset_mask": terminations.copy()})


# ---------------------------------------------------------------------- as many single environments


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("action_format", FORMATS)
def test_each_sub_environment_does_what_a_single_one_does(tiny, action_format, mode, assert_same):
    options = LIVELY | {"action_format": action_format}
    seeds = [11, 5, 400, 5]
    envs = make(tiny, 4, autoreset_mode=mode, **options)
    singles = [make_single(tiny, **options) for _ in seeds]
    observations, _ = envs.reset(seed=seeds)
    expected = [single.reset(seed=seed)[0] for single, seed in zip(singles, seeds, strict=True)]
    assert_same(list(iterate(envs.observation_space, observations)), expected)

    envs.action_space.seed(1)
    ended = [False] * 4
    num_ended = np.zeros(4, int)
    for _ in range(20):
        actions = envs.action_space.sample()
        observations, rewards, terminations, truncations, _ = envs.step(actions)
        for row, action in enumerate(iterate(envs.action_space, actions)):
            if ended[row] and mode is NEXT_STEP:
                expected[row], reward, ended[row] = singles[row].reset()[0], 0.0, False
            else:
                expected[row], reward, ended[row], _, _ = singles[row].step(action)
                num_ended[row] += ended[row]
            if ended[row] and mode is SAME_STEP:
                expected[row], _ = singles[row].reset()
            assert (rewards[row], terminations[row], truncations[row]) == (reward, ended[row], 0)
        assert_same(list(iterate(envs.observation_space, observations)), expected)
        if mode is DISABLED and any(ended):
            observations, _ = reset_ended(envs, terminations)
            for row in np.flatnonzero(ended):
                expected[row], ended[row] = singles[row].reset()[0], False
            assert_same(list(iterate(envs.observation_space, observations)), expected)
    assert num_ended.min() >= 3


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("action_format", FORMATS)
@pytest.mark.parametrize("num_envs", [1, 4])
def test_everything_returned_is_what_gymnasiums_own_returns(
    tiny, action_format, mode, num_envs, assert_same
):
    options = LIVELY | {"action_format": action_format}
    envs = make(tiny, num_envs, autoreset_mode=mode, **options)
    sync = make_sync(tiny, num_envs, autoreset_mode=mode, **options)
    assert envs.observation_space == sync.observation_space
    assert envs.action_space == sync.action_space
    assert_same(envs.reset(seed=3), sync.reset(seed=3))
    envs.action_space.seed(2)
    num_ended = 0
    for _ in range(25):
        actions = envs.action_space.sample()
        told = envs.step(actions)
        assert_same(told, sync.step(actions))
        num_ended += told[2].sum()
        if mode is DISABLED and told[2].any():
            assert_same(reset_ended(envs, told[2]), reset_ended(sync, told[2]))
    assert num_ended >= 3 * num_envs
    assert_same(envs.reset(), sync.reset())
    assert_same(envs.reset(seed=[9] * num_envs), sync.reset(seed=[9] * num_envs))


def test_colour_images_are_seen_alike(assert_same):
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 9, 3), np.uint8)
    dataset = images, np.arange(6) % 2
    envs, sync = make(dataset, num_scales=2), make_sync(dataset, num_scales=2)
    assert_same(envs.reset(seed=0), sync.reset(seed=0))
    for _ in range(8):
        actions = envs.action_space.sample()
        assert_same(envs.step(actions), sync.step(actions))


@pytest.mark.parametrize("render_mode", ["rgb_array", "ansi"])
def test_pictures_are_those_of_the_single_environments(tiny, render_mode, assert_same):
    envs = make(tiny, 2, render_mode=render_mode)
    singles = [make_single(tiny, render_mode=render_mode) for _ in range(2)]
    beliefs = np.array([[0.1, 0.2, 0.7], [0.3, 0.6, 0.1]])
    envs.reset(seed=6)
    for row, single in enumerate(singles):
        single.reset(seed=6 + row)
    for _ in range(3):
        actions = look(2, label=[0, 1])
        envs.step(actions)
        for single, action in zip(singles, iterate(envs.action_space, actions), strict=True):
            single.step(action)
        assert_same(envs.render(), tuple(single.render() for single in singles))
        envs.belief = beliefs
        for single, belief in zip(singles, beliefs, strict=True):
            single.belief = belief
        assert_same(envs.render(), tuple(single.render() for single in singles))


def test_observations_are_in_the_space_and_their_arrays_the_callers(tiny, assert_same):
    envs, twin = make(tiny), make(tiny)
    assert envs.observation_space == batch_space(envs.single_observation_space, 3)
    told = [envs.reset(seed=0)]
    expected = [deepcopy(told[0])]
    twin.reset(seed=0)
    for _ in range(8):
        told.append(envs.step(look(3)))
        expected.append(deepcopy(told[-1]))
        assert_same(told[-1], twin.step(look(3)))
        assert told[-1][0] in envs.observation_space
    assert_same(told, expected)  # no later step has written into what was returned earlier
    for observations, *_, infos in told:
        observations["glimpse"][:] = observations["location"][:] = 0.5
        infos["index"][:] = 0
    assert_same(envs.step(look(3)), twin.step(look(3)))


# ------------------------------------------------------------------------------ the end of episodes


def test_next_step_returns_the_new_episode_one_step_later(tiny):
    envs = make(tiny, 2, action_format="discrete", order="sequential")
    envs.reset()
    # Sub-environment 0 answers class 0 for item 0, which is right; the other looks.
    first = envs.step([4, 1])
    assert (first[1].tolist(), first[2].tolist()) == ([1, 0], [True, False])
    infos = first[4]
    assert infos["index"].tolist() == [0, 1]
    assert infos["label"].tolist() == infos["prediction"].tolist() == [0, 0]
    assert infos["_label"].tolist() == infos["is_success"].tolist() == [True, False]
    # The next step's action of sub-environment 0 is not used.
    observations, rewards, terminations, _, infos = envs.step([4, 2])
    assert (rewards.tolist(), terminations.tolist()) == ([0, 0], [False, False])
    assert infos["index"].tolist() == [2, 1]
    assert set(infos) == {"index", "_index"}
    np.testing.assert_array_equal(observations["location"], [[0, 0], [-0.5, 0.5]])


def test_same_step_returns_the_new_episode_at_once_and_the_old_one_beside_it(tiny):
    envs = make(tiny, 2, action_format="discrete", order="sequential", autoreset_mode=SAME_STEP)
    envs.reset()
    envs.step([3, 3])
    observations, rewards, terminations, _, infos = envs.step([5, 1])
    assert (rewards.tolist(), terminations.tolist()) == ([0, 0], [True, False])
    assert infos["index"].tolist() == [2, 1]
    np.testing.assert_array_equal(observations["location"], [[0, 0], [0.5, -0.5]])
    np.testing.assert_array_equal(infos["final_obs"][0]["location"], [0.5, 0.5])
    assert infos["final_obs"][1] is None
    assert infos["_final_obs"].tolist() == infos["_final_info"].tolist() == [True, False]
    final = infos["final_info"]
    assert (final["index"][0], final["label"][0], final["prediction"][0]) == (0, 0, 1)
    assert final["_label"].tolist() == [True, False]
    assert "label" not in infos


def test_without_autoreset_an_ended_episode_cannot_be_stepped(tiny):
    envs = make(tiny, 3, action_format="discrete", autoreset_mode=DISABLED)
    envs.reset()
    *_, terminations, _, _ = envs.step([0, 4, 5])
    assert terminations.tolist() == [False, True, True]
    with pytest.raises(ResetNeeded, match=r"\[1, 2\]"):
        envs.step([0, 0, 0])
    envs.reset(options={"reset_mask": np.array([False, True, False])})
    with pytest.raises(ResetNeeded, match=r"\[2\]"):
        envs.step([0, 0, 0])
    envs.reset(options={"reset_mask": np.array([False, False, True])})
    envs.step([0, 0, 0])
    # Sub-environment 0 was never reset: this third step is its last.
    assert envs.step([4, 0, 0])[2].tolist() == [True, False, False]
    envs.reset()
    envs.step([0, 0, 0])


@pytest.mark.parametrize("mode", MODES)
def test_nothing_can_be_stepped_or_rendered_before_the_first_reset(tiny, mode):
    envs = make(tiny, autoreset_mode=mode, render_mode="ansi")
    with pytest.raises(ResetNeeded, match="reset"):
        envs.step(look(3))
    with pytest.raises(ResetNeeded, match="reset"):
        envs.render()


@pytest.mark.parametrize("mode", MODES)
def test_a_refused_action_changes_nothing(tiny, mode, assert_same):
    envs, twin = make(tiny, autoreset_mode=mode), make(tiny, autoreset_mode=mode)
    assert_same(envs.reset(seed=0), twin.reset(seed=0))
    for _ in range(2):
        assert_same(envs.step(look(3)), twin.step(look(3)))
        with pytest.raises(ValueError, match=r"3.*0\.\.2"):
            envs.step(look(3, label=[0, 3, 0]))
        with pytest.raises(ValueError, match=r"\(3, 2\)"):
            envs.step(look(2))
    assert_same(envs.step(look(3)), twin.step(look(3)))


def test_an_action_that_autoreset_ignores_must_be_one_nevertheless(tiny):
    envs = make(tiny, 2, action_format="discrete")
    envs.reset()
    assert envs.step([4, 0])[2].tolist() == [True, False]
    with pytest.raises(ValueError, match=r"7.*0\.\.6"):
        envs.step([7, 0])


@pytest.mark.parametrize("given", ["enum", "string"])
@pytest.mark.parametrize("mode", MODES)
def test_the_autoreset_mode_is_where_people_look_for_it(tiny, mode, given):
    envs = make(tiny, autoreset_mode=mode if given == "enum" else mode.value)
    assert envs.autoreset_mode is mode
    assert envs.metadata["autoreset_mode"] is mode
    assert envs.metadata["render_modes"] == ["rgb_array", "ansi"]
    assert GlimpseVectorEnv.metadata["autoreset_mode"] is NEXT_STEP
    assert make(tiny).autoreset_mode is NEXT_STEP


def test_gymnasiums_vector_environments_leave_their_autoreset_mode_out_of_ours(tiny):
    same, following = (make_sync(tiny, autoreset_mode=mode) for mode in (SAME_STEP, NEXT_STEP))
    assert same.metadata["autoreset_mode"] is SAME_STEP
    assert following.metadata["autoreset_mode"] is NEXT_STEP
    assert "autoreset_mode" not in GlimpseEnv.metadata
    assert "autoreset_mode" not in make_single(tiny).metadata


@pytest.mark.parametrize("mode", ["next_step", "NEXT_STEP", "", None, True, 1])
def test_an_unknown_autoreset_mode_is_refused(tiny, mode):
    with pytest.raises(ValueError, match=f"autoreset_mode={mode!r}.*NextStep.*SameStep.*Disabled"):
        make(tiny, autoreset_mode=mode)


# -------------------------------------------------------------------------------------- reset masks


@pytest.mark.parametrize("mode", MODES)
def test_a_mask_resets_some_and_leaves_the_others_alone(tiny, mode, assert_same):
    envs, untouched = make(tiny, 4, autoreset_mode=mode), make(tiny, 4, autoreset_mode=mode)
    envs.reset(seed=0)
    untouched.reset(seed=0)
    before, *_ = envs.step(look(4))
    untouched.step(look(4))
    mask = np.array([True, False, True, False])
    observations, infos = envs.reset(seed=50, options={"reset_mask": mask})

    fresh, fresh_infos = make(tiny, 4).reset(seed=50)
    for name in ("glimpse", "location"):
        np.testing.assert_array_equal(observations[name][mask], fresh[name][mask])
        np.testing.assert_array_equal(observations[name][~mask], before[name][~mask])
    assert set(infos) == {"index", "_index"}
    np.testing.assert_array_equal(infos["_index"], mask)
    np.testing.assert_array_equal(infos["index"][mask], fresh_infos["index"][mask])
    np.testing.assert_array_equal(infos["index"][~mask], 0)

    # The untouched ones go on as if nothing had been, and end one step before the reset ones.
    for steps_left in (2, 1):
        told, expected = envs.step(look(4)), untouched.step(look(4))
        for name in ("glimpse", "location"):
            np.testing.assert_array_equal(told[0][name][1::2], expected[0][name][1::2])
        np.testing.assert_array_equal(told[1][1::2], expected[1][1::2])
        assert told[2].tolist() == [False, steps_left == 1] * 2


def test_a_mask_gives_seeds_only_to_those_it_resets(tiny, assert_same):
    envs, twin = make(tiny, 2, start="random"), make(tiny, 2, start="random")
    envs.reset(seed=0)
    twin.reset(seed=0)
    envs.reset(seed=7, options={"reset_mask": np.array([True, False])})
    envs.reset(options={"reset_mask": np.array([False, True])})
    twin.reset(seed=[7, None])
    assert_same(envs.reset(), twin.reset())


def test_the_callers_options_are_left_as_they_were(tiny):
    envs = make(tiny)
    envs.reset()
    mask, index = np.array([True, False, True]), np.array([1, 2, 3])
    options = {"reset_mask": mask, "index": index}
    envs.reset(options=options)
    assert set(options) == {"reset_mask", "index"}
    assert options["reset_mask"] is mask
    assert mask.tolist() == [True, False, True]
    assert options["index"] is index
    assert index.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("mask", "error"),
    [
        (np.array([1, 0, 1]), TypeError),
        (np.array([1.0, 0.0, 1.0]), TypeError),
        ([True, False, True], TypeError),
        (True, TypeError),
        ("all", TypeError),
        (np.array([True, False]), ValueError),
        (np.array([[True, False, True]]), ValueError),
        (np.array(True), ValueError),
        (np.zeros(3, bool), ValueError),
    ],
)
def test_a_mask_that_is_none_is_refused_and_nothing_has_changed(tiny, mask, error, assert_same):
    envs, twin = make(tiny), make(tiny)
    envs.reset(seed=0)
    twin.reset(seed=0)
    with pytest.raises(error, match="reset_mask"):
        envs.reset(seed=1, options={"reset_mask": mask})
    assert_same(envs.step(look(3)), twin.step(look(3)))
    assert_same(envs.reset(), twin.reset())


def test_the_first_reset_must_not_leave_anyone_out(tiny):
    envs = make(tiny)
    with pytest.raises(ResetNeeded, match="reset"):
        envs.reset(options={"reset_mask": np.array([True, True, False])})
    envs.reset()


# ---------------------------------------------------------------------------- which items are shown


@pytest.mark.parametrize(
    ("index", "shown"),
    [
        (5, [5, 5, 5]),
        (np.uint8(11), [11, 11, 11]),
        ([0, 11, 3], [0, 11, 3]),
        (np.array([4, 4, 2], np.int32), [4, 4, 2]),
    ],
)
@pytest.mark.parametrize("order", ["random", "sequential"])
def test_a_reset_may_choose_the_items(tiny, index, shown, order):
    envs = make(tiny, order=order)
    _, infos = envs.reset(options={"index": index})
    assert infos["index"].tolist() == shown
    np.testing.assert_array_equal(envs.images, tiny[0][shown])


def test_with_a_mask_the_chosen_items_are_those_of_its_rows(tiny):
    envs = make(tiny)
    envs.reset(options={"index": [1, 2, 3]})
    mask = np.array([False, True, True])
    envs.reset(options={"index": [9, 8, 7], "reset_mask": mask})
    np.testing.assert_array_equal(envs.images, tiny[0][[1, 8, 7]])
    envs.reset(options={"index": [-1, 5, 99], "reset_mask": np.array([False, True, False])})
    np.testing.assert_array_equal(envs.images, tiny[0][[1, 5, 7]])


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (12, "12.*0..11"),
        ([0, 1, 12], "12.*0..11"),
        ([0, -1, 2], "-1.*0..11"),
        ([0, 1], r"\[0, 1\].*3 of them"),
        ([[0, 1, 2]], r"\[\[0, 1, 2\]\].*3 of them"),
        ([0.0, 1.0, 2.0], r"1.0.*integer"),
        (np.array([True, False, True]), "True.*integer"),
        (["0", "1", "2"], "'1'.*integer"),
        ([0, None, 2], "None.*integer"),
        ([0, [1], 2], r"\[0, \[1\], 2\].*integer"),
    ],
)
def test_items_that_are_none_are_refused_and_nothing_has_changed(tiny, index, message, assert_same):
    envs, twin = make(tiny), make(tiny)
    envs.reset(seed=0)
    twin.reset(seed=0)
    with pytest.raises(ValueError, match=message) as error:
        envs.reset(seed=1, options={"index": index})
    assert "index" in str(error.value)
    assert_same(envs.step(look(3)), twin.step(look(3)))
    assert_same(envs.reset(), twin.reset())


def test_unknown_reset_options_are_refused(tiny):
    with pytest.raises(ValueError, match=r"mask.*index, reset_mask"):
        make(tiny).reset(options={"mask": np.ones(3, bool)})


@pytest.mark.parametrize("options", ["x", [], 0, [True] * 3])
def test_reset_options_that_are_no_dict_are_refused(tiny, options):
    with pytest.raises(ValueError, match=r"options=.*not a dict") as error:
        make(tiny).reset(options=options)
    assert repr(options) in str(error.value)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_envs", [1, 3, 5, 12])
@pytest.mark.parametrize("action_format", ["dict", "discrete"])
def test_the_sequential_order_deals_each_item_once_a_pass(tiny, mode, num_envs, action_format):
    options = {"order": "sequential", "action_format": action_format, "autoreset_mode": mode}
    envs = make(tiny, num_envs, **options)
    envs.action_space.seed(0)
    _, infos = envs.reset(seed=1)
    dealt = infos["index"].tolist()
    ended = np.zeros(num_envs, bool)
    for _ in range(150):
        *_, terminations, _, infos = envs.step(envs.action_space.sample())
        started = {NEXT_STEP: ended, SAME_STEP: terminations, DISABLED: terminations}[mode]
        if mode is DISABLED and terminations.any():
            _, infos = reset_ended(envs, terminations)
        dealt += infos["index"][started].tolist()
        ended = terminations
    assert len(dealt) > 30
    assert dealt == [turn % 12 for turn in range(len(dealt))]


def test_a_seed_begins_the_sequential_pass_anew(tiny):
    envs = make(tiny, 5, order="sequential")
    for _ in range(2):
        assert envs.reset(seed=2)[1]["index"].tolist() == [0, 1, 2, 3, 4]
        assert envs.reset()[1]["index"].tolist() == [5, 6, 7, 8, 9]
        assert envs.reset()[1]["index"].tolist() == [10, 11, 0, 1, 2]


def test_a_seed_that_nobody_takes_does_not(tiny):
    envs = make(tiny, 2, order="sequential")
    envs.reset(seed=0)
    assert envs.reset(seed=[None, None])[1]["index"].tolist() == [2, 3]
    of_the_second = {"reset_mask": np.array([False, True])}
    infos = envs.reset(seed=[5, None], options=of_the_second)[1]
    assert infos["index"].tolist() == [0, 4]
    assert infos["_index"].tolist() == [False, True]


# ------------------------------------------------------------------------------------------ seeding


def test_an_integer_seed_counts_up_over_the_sub_environments(tiny, assert_same):
    envs, twin = make(tiny, **LIVELY), make(tiny, **LIVELY)
    assert_same(envs.reset(seed=40), twin.reset(seed=[40, 41, 42]))
    assert_same(envs.reset(seed=np.int64(40)), twin.reset(seed=(40, 41, 42)))


def test_a_seed_of_none_in_a_list_leaves_that_generator_as_it_is(tiny):
    envs = make(tiny, **LIVELY)
    envs.reset(seed=[1, 2, 3])
    expected = make_single(tiny, **LIVELY)
    expected.reset(seed=2)
    observations, _ = envs.reset(seed=[1, None, 3])
    np.testing.assert_array_equal(observations["glimpse"][1], expected.reset()[0]["glimpse"])


def test_unseeded_sub_environments_differ(tiny):
    envs = make(tiny, 4, start="random")
    starts = envs.reset()[0]["location"]
    assert len({start.tobytes() for start in starts}) == 4


def test_no_global_generator_is_touched_or_used(tiny):
    def shown_after(global_seed):
        random.seed(global_seed)
        np.random.seed(global_seed)  # noqa: NPY002
        before = random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002
        envs = make(tiny, **LIVELY)
        starts = [envs.reset()[0]["location"]]
        starts += [envs.step(look(3))[0]["location"] for _ in range(5)]
        assert before == (random.getstate(), pickle.dumps(np.random.get_state()))  # noqa: NPY002
        return np.array(starts).tobytes()

    assert shown_after(1) != shown_after(1)


@pytest.mark.parametrize("seed", [[1, 2], [1, 2, 3, 4], []])
def test_a_list_of_seeds_has_one_for_each(tiny, seed):
    with pytest.raises(ValueError, match="num_envs=3"):
        make(tiny).reset(seed=seed)


@pytest.mark.parametrize("seed", [-1, [0, -1, 2], [0, 1.5, 2], "123", 0.5])
def test_seeds_are_integers_of_at_least_0(tiny, seed):
    with pytest.raises(ValueError, match=r"seed="):
        make(tiny).reset(seed=seed)


def test_generators_and_seeds_can_be_asked_for_as_in_gymnasiums_own(tiny):
    envs, sync = make(tiny), make_sync(tiny)
    envs.reset(seed=[8, 6, 7])
    sync.reset(seed=[8, 6, 7])
    states = [generator.bit_generator.state for generator in envs.np_random]
    assert states == [generator.bit_generator.state for generator in sync.np_random]
    assert envs.np_random_seed == sync.np_random_seed == (8, 6, 7)


@pytest.mark.parametrize("num_envs", [0, -1, 2.0, "2", None, True])
def test_there_is_at_least_one_sub_environment(tiny, num_envs):
    with pytest.raises(ValueError, match=r"num_envs=.*at least 1"):
        make(tiny, num_envs)


@pytest.mark.parametrize(
    "options", [{"order": "up"}, {"render_mode": "human"}, {"num_glimpses": 0}]
)
def test_options_are_checked_as_in_the_single_environment(tiny, options):
    with pytest.raises(ValueError, match=next(iter(options))) as error:
        make(tiny, **options)
    with pytest.raises(ValueError, match=next(iter(options))) as single_error:
        make_single(tiny, **options)
    assert str(error.value) == str(single_error.value)


def test_an_option_that_does_not_exist_is_named(tiny):
    with pytest.raises(TypeError, match=r"glimpses.*num_glimpses.*num_envs, autoreset_mode"):
        make(tiny, glimpses=3)


# ------------------------------------------------------------------------------- beliefs and images


def test_images_are_those_of_the_episodes(tiny):
    envs = make(tiny, 5)
    _, infos = envs.reset(seed=0)
    assert envs.images.shape == (5, 6, 8)
    np.testing.assert_array_equal(envs.images, tiny[0][infos["index"]])


def test_without_a_render_mode_there_are_no_pictures(tiny):
    envs = make(tiny)
    envs.reset()
    assert envs.render() is None


@pytest.mark.parametrize("name", ["images", "belief"])
def test_what_is_only_to_be_looked_at_cannot_be_written_to(tiny, name):
    envs = make(tiny)
    envs.reset()
    with pytest.raises(ValueError, match="read-only"):
        getattr(envs, name)[:] = 0


def test_the_observation_after_the_answer_is_the_last_glimpse_once_more(tiny, assert_same):
    envs = make(tiny, 3, num_glimpses=2, autoreset_mode="Disabled")
    envs.reset(seed=0)
    action = {"location": np.full((3, 2), 0.5), "label": np.zeros(3, int)}
    last, *_ = envs.step(action)
    after, _, terminated, *_ = envs.step({**action, "location": np.full((3, 2), -1.0)})
    assert terminated.all()
    assert_same(after, last)
    assert not np.shares_memory(after["glimpse"], last["glimpse"])


def test_a_belief_is_gone_with_the_next_glimpse_of_its_row(tiny):
    envs = make(tiny, 2, action_format="discrete")
    assert np.isnan(envs.belief).all()
    envs.reset()
    belief = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    envs.belief = belief
    np.testing.assert_array_equal(envs.belief, belief)
    envs.step([0, 4])  # 0 looks, 1 answers
    assert np.isnan(envs.belief[0]).all()
    np.testing.assert_array_equal(envs.belief[1], belief[1])
    envs.step([0, 0])  # the first glimpse of 1's new episode
    assert np.isnan(envs.belief).all()


def test_a_row_of_nan_is_one_without_a_belief(tiny):
    envs = make(tiny, 2)
    envs.reset()
    belief = np.array([[0.7, 0.2, 0.1], [np.nan] * 3])
    envs.belief = belief
    np.testing.assert_array_equal(envs.belief, belief)
    envs.belief = envs.belief[::-1]
    np.testing.assert_array_equal(envs.belief, belief[::-1])


@pytest.mark.parametrize(
    "belief",
    [[0.5, 0.25, 0.25], [[0.5, 0.5]] * 2, [[-1, 1, 1]] * 2, [[0.5, np.nan, 0.5]] * 2],
)
def test_beliefs_that_are_none_are_refused(tiny, belief):
    envs = make(tiny, 2)
    envs.reset()
    with pytest.raises(ValueError, match=r"belief=.*\(2, 3\)"):
        envs.belief = belief


# ------------------------------------------------------------------------------ copies and wrappers


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("copied", [deepcopy, lambda envs: pickle.loads(pickle.dumps(envs))])
def test_a_copy_goes_on_alike(tiny, mode, copied, assert_same):
    envs = make(tiny, autoreset_mode=mode, **LIVELY)
    envs.reset(seed=0)
    envs.step(look(3))
    twin = copied(envs)
    assert twin.autoreset_mode is twin.metadata["autoreset_mode"] is mode
    for _ in range(10):
        told = envs.step(look(3, label=1))
        assert_same(twin.step(look(3, label=1)), told)
        if mode is DISABLED and told[2].any():
            assert_same(reset_ended(twin, told[2]), reset_ended(envs, told[2]))


@pytest.mark.parametrize("mode", MODES)
def test_statistics_are_recorded(tiny, mode):
    envs = RecordEpisodeStatistics(make(tiny, 2, autoreset_mode=mode))
    envs.reset(options={"index": [1, 2]})
    for _ in range(3):
        *_, infos = envs.step(look(2, label=1))
    assert infos["episode"]["r"].tolist() == [1, 0]
    assert infos["episode"]["l"].tolist() == [3, 3]
    assert list(envs.return_queue) == [1, 0]


def test_statistics_survive_a_reset_by_mask(tiny):
    envs = RecordEpisodeStatistics(make(tiny, 2, autoreset_mode=DISABLED))
    envs.reset()
    envs.step(look(2))
    envs.reset(options={"reset_mask": np.array([True, False])})
    for _ in range(2):
        *_, infos = envs.step(look(2))
    assert infos["_episode"].tolist() == [False, True]
    assert infos["episode"]["l"][1] == 3


def test_videos_are_recorded(tiny, tmp_path):
    envs = make(tiny, 2, render_mode="rgb_array")
    folder = tmp_path / "videos"
    recorded = RecordVideo(envs, str(folder), episode_trigger=lambda episode: episode == 0)
    recorded.reset(seed=0)
    for _ in range(5):
        recorded.step(look(2))
    recorded.close()
    (video,) = folder.glob("*.mp4")
    assert video.stat().st_size > 0


def test_processes_do_the_same(tiny, assert_same):
    make_fns = [lambda: make_single(tiny, **LIVELY)] * 2
    envs, sync = AsyncVectorEnv(make_fns), SyncVectorEnv(make_fns)
    try:
        assert_same(envs.reset(seed=0), sync.reset(seed=0))
        for _ in range(5):
            assert_same(envs.step(look(2)), sync.step(look(2)))
    finally:
        envs.close()


@pytest.mark.parametrize("mode", MODES)
def test_gymnasium_makes_it_with_any_option(tiny, mode, assert_same):
    options = {"dataset": tiny, "num_glimpses": 3, "patch_size": 4, "autoreset_mode": mode}
    envs = gym.make_vec("ram_env/MNIST-v0", num_envs=2, **options)
    assert isinstance(envs, GlimpseVectorEnv)
    assert envs.autoreset_mode is mode
    assert_same(envs.reset(seed=0), make(tiny, 2, autoreset_mode=mode).reset(seed=0))
