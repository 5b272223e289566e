"""The registered ids: what each of them is, and that Gymnasium and SB3 find nothing wrong."""

import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv

from ram_env import CLASSIFICATION_ENVIRONMENTS, CatchVectorEnv, GlimpseEnv, GlimpseVectorEnv
from ram_env.registration import CATCH

REPOSITORY = Path(__file__).parents[2]
IDS = list(CLASSIFICATION_ENVIRONMENTS)
FORMATS = {
    **dict.fromkeys(IDS, ("dict", "multi_discrete", "discrete")),
    CATCH: ("dict", "multi_discrete"),
}
ALL = [(env_id, action_format) for env_id, formats in FORMATS.items() for action_format in formats]

# The paper's tasks: the glimpse's shape, how many of them, the image's side, the grid's side.
TASKS = {
    "ram_env/MNIST-v0": ((1, 8, 8), 6, 28, 7),
    "ram_env/FoveatedMNIST-v0": ((3, 8, 8), 6, 28, 7),
    "ram_env/TranslatedMNIST-v0": ((3, 12, 12), 8, 60, 15),
    "ram_env/ClutteredMNIST-v0": ((3, 12, 12), 8, 60, 15),
    "ram_env/ClutteredMNIST100-v0": ((4, 12, 12), 8, 100, 25),
}


def centre_action(num_envs=None):
    batch = () if num_envs is None else (num_envs,)
    return {"location": np.zeros((*batch, 2), np.float32), "label": np.zeros(batch, np.int64)}


def test_all_ids_are_listed_here():
    assert set(TASKS) == set(IDS)
    assert {id_ for id_ in gym.registry if id_.startswith("ram_env/")} == {*IDS, CATCH}


@pytest.mark.parametrize("env_id", IDS)
def test_an_id_is_the_papers_task(env_id, assert_same):
    glimpse_shape, num_glimpses, side, grid_size = TASKS[env_id]
    env = gym.make(env_id)
    assert type(env.unwrapped) is GlimpseEnv
    assert env.spec.max_episode_steps is None  # the glimpse budget ends it, nothing else
    assert env.observation_space["glimpse"] == gym.spaces.Box(0, 1, glimpse_shape, np.float32)
    assert env.action_space["label"].n == 10
    env.reset(seed=0)
    terminations = [env.step(centre_action())[2] for _ in range(num_glimpses)]
    assert terminations == [False] * (num_glimpses - 1) + [True]

    assert gym.make(env_id, action_format="discrete").action_space.n == grid_size**2 + 10
    envs = GlimpseVectorEnv(**CLASSIFICATION_ENVIRONMENTS[env_id])
    envs.reset(seed=0)
    assert envs.images.shape == (1, side, side)


def test_the_grid_is_the_ids_whatever_the_scene():
    env = gym.make("ram_env/MNIST-v0", scene="cluttered-100", action_format="discrete")
    assert env.action_space.n == 7**2 + 10


@pytest.mark.parametrize("env_id", [id_ for id_ in IDS if "Cluttered" in id_])
def test_clutter_comes_in_the_papers_amount(env_id):
    # Item 0 is invisible, so all that is seen is pieces of item 1.
    items = np.full((2, 28, 28), 255, np.uint8)
    items[0] = 0
    envs = gym.make_vec(env_id, num_envs=200, dataset=(items, np.arange(2)))
    envs.reset(seed=0, options={"index": 0})
    areas = (envs.images == 255).sum(axis=(1, 2))
    num_pieces = {"ram_env/ClutteredMNIST-v0": 4, "ram_env/ClutteredMNIST100-v0": 8}[env_id]
    assert areas.max() == num_pieces * 8 * 8  # less where pieces overlap


def test_fglabs_unit_of_location_is_13_pixels():
    white = np.full((2, 28, 28), 255, np.uint8), np.arange(2)
    env = gym.make("ram_env/FoveatedMNIST-v0", dataset=white)
    env.reset()
    observation, *_ = env.step({"location": np.array([1, 0], np.float32), "label": 0})
    # 14 + 13 = 27: the square of 8 covers columns 23 to 30, of which 23 to 27 are in the image.
    np.testing.assert_array_equal(observation["glimpse"][0], [[1, 1, 1, 1, 1, 0, 0, 0]] * 8)


@pytest.mark.parametrize(
    ("split", "num_items"), [("train", 55_000), ("val", 5_000), ("test", 10_000)]
)
def test_a_split_has_the_protocols_number_of_items(split, num_items):
    env = gym.make("ram_env/MNIST-v0", split=split)
    assert env.reset(options={"index": num_items - 1})[1] == {"index": num_items - 1}
    with pytest.raises(ValueError, match=str(num_items)):
        env.reset(options={"index": num_items})


def test_the_module_is_imported_by_the_id():
    code = "import gymnasium; gymnasium.make('ram_env:ram_env/MNIST-v0').reset()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY, timeout=120)


@pytest.mark.parametrize("env_id", IDS)
def test_options_go_before_those_of_the_id(env_id):
    env = gym.make(env_id, num_glimpses=2, patch_size=5, num_scales=2, scene="plain")
    assert env.reset()[0]["glimpse"].shape == (2, 5, 5)
    assert [env.step(centre_action())[2] for _ in range(2)] == [False, True]


@pytest.mark.parametrize(("env_id", "action_format"), ALL)
def test_a_spec_written_to_json_makes_the_same_environment(env_id, action_format, assert_same):
    env = gym.make(env_id, action_format=action_format)
    twin = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert twin.spec.kwargs == env.spec.kwargs
    assert (twin.observation_space, twin.action_space) == (env.observation_space, env.action_space)
    assert_same(twin.reset(seed=4), env.reset(seed=4))
    action = env.action_space.sample()
    assert_same(twin.step(action), env.step(action))


# ----------------------------------------------------------------------------------------- checkers


@pytest.mark.parametrize(("env_id", "action_format"), ALL)
def test_gymnasium_has_nothing_to_say_against_it(env_id, action_format):
    env = gym.make(env_id, action_format=action_format)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


@pytest.mark.parametrize(("env_id", "action_format"), ALL)
def test_stable_baselines3_accepts_it(env_id, action_format):
    sb3 = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sb3.check_env(gym.make(env_id, action_format=action_format, render_mode="rgb_array"))
    said = [str(warning.message) for warning in caught]
    # Glimpses are float32 and small on purpose, which SB3 remarks on, as images are uint8 to it.
    unasked = [text for text in said if "is an image" not in text and "for an image" not in text]
    # Dict actions are outside what it knows.
    assert len(unasked) == (action_format == "dict"), unasked
    assert all("action space is not based off a numpy array" in text for text in unasked)


# ------------------------------------------------------------------------------------------- vector


@pytest.mark.parametrize("env_id", FORMATS)
def test_make_vec_makes_the_batched_environment(env_id, assert_same):
    envs = gym.make_vec(env_id, num_envs=3)
    assert type(envs) is (CatchVectorEnv if env_id == CATCH else GlimpseVectorEnv)
    assert envs.num_envs == 3
    assert envs.spec.id == env_id
    sync = gym.make_vec(env_id, num_envs=3, vectorization_mode="sync")
    assert type(sync) is SyncVectorEnv
    assert_same(envs.reset(seed=1), sync.reset(seed=1))
    for _ in range(10):
        actions = envs.action_space.sample()
        assert_same(envs.step(actions), sync.step(actions))


def test_a_vector_spec_written_to_json_makes_the_same_environment(assert_same):
    envs = gym.make_vec("ram_env/MNIST-v0", num_envs=2, autoreset_mode="SameStep", start="random")
    twin = gym.make_vec(EnvSpec.from_json(envs.spec.to_json()))
    assert twin.num_envs == 2
    assert twin.autoreset_mode is envs.autoreset_mode
    assert_same(twin.reset(seed=4), envs.reset(seed=4))
