"""SB3's algorithms on the native environments: as DummyVecEnv, number by number."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from agents.sb3_vec_env import SB3VecEnv
from ram_env import CatchEnv, CatchVectorEnv, GlimpseEnv, GlimpseVectorEnv

NUM_ENVS = 5
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 6, 6), dtype=np.uint8)
TASK: dict[str, Any] = {
    "dataset": (IMAGES, np.arange(12) % 3),
    "num_glimpses": 3,
    "patch_size": 2,
    "num_scales": 2,
    "start": "random",
}


def make_env(**options: Any) -> SB3VecEnv:
    native = {"num_envs": NUM_ENVS, "autoreset_mode": "SameStep", "action_format": "discrete"}
    return SB3VecEnv(GlimpseVectorEnv(**{**TASK, **native, **options}))


def make_dummy(**options: Any) -> DummyVecEnv:
    task = {**TASK, "action_format": "discrete", **options}
    return DummyVecEnv([lambda: GlimpseEnv(**task)] * NUM_ENVS)


def make_catch() -> SB3VecEnv:
    options: dict[str, Any] = {"screen_size": 6, "action_format": "multi_discrete"}
    return SB3VecEnv(CatchVectorEnv(num_envs=NUM_ENVS, autoreset_mode="SameStep", **options))


def make_dummy_catch() -> DummyVecEnv:
    return DummyVecEnv([lambda: CatchEnv(screen_size=6, action_format="multi_discrete")] * NUM_ENVS)


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert set(found) == set(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("ours", "dummy"),
    [
        (make_env(action_format="discrete"), make_dummy(action_format="discrete")),
        (make_env(action_format="multi_discrete"), make_dummy(action_format="multi_discrete")),
        (make_catch(), make_dummy_catch()),
    ],
    ids=["discrete", "multi_discrete", "catch"],
)
def test_it_does_what_dummy_vec_env_does(ours: SB3VecEnv, dummy: DummyVecEnv) -> None:
    assert ours.metadata["render_fps"] == dummy.metadata["render_fps"]
    assert ours.observation_space == dummy.observation_space
    assert ours.action_space == dummy.action_space
    ours.seed(7)
    dummy.seed(7)
    assert_same(ours.reset(), dummy.reset())
    assert ours.reset_infos == dummy.reset_infos
    ours.action_space.seed(0)
    num_ended = 0
    for _ in range(60):
        actions = np.array([ours.action_space.sample() for _ in range(NUM_ENVS)])
        observations, rewards, dones, infos = ours.step(actions)
        expected = dummy.step(actions)
        assert_same(observations, expected[0])
        assert_same(rewards, expected[1])
        assert rewards.dtype == expected[1].dtype
        assert_same(dones, expected[2])
        for found_info, expected_info in zip(infos, expected[3], strict=True):
            assert_same(found_info, expected_info)
        assert ours.reset_infos == dummy.reset_infos
        num_ended += dones.sum()
    assert num_ended > 10 * NUM_ENVS


def test_frames_and_beliefs_are_of_each_as_with_dummy_vec_env() -> None:
    ours, dummy = (make(render_mode="rgb_array") for make in (make_env, make_dummy))
    for env in (ours, dummy):
        env.seed(7)
        env.reset()
        env.set_attr("belief", [0.5, 0.25, 0.25])
    assert_same(ours.get_attr("belief"), dummy.get_attr("belief"))
    assert_same(ours.env_method("render"), dummy.env_method("render"))


def test_arrays_that_were_returned_stay_as_they_are() -> None:
    env = make_env()
    first = env.reset()
    kept = {name: values.copy() for name, values in first.items()}
    env.step(np.zeros(NUM_ENVS, np.int64))
    assert_same(first, kept)


def test_options_choose_items_once() -> None:
    env = make_env()
    env.set_options([{"index": row} for row in range(NUM_ENVS)])
    env.reset()
    assert [info["index"] for info in env.reset_infos] == list(range(NUM_ENVS))
    env.set_options({"rows": 1})
    with pytest.raises(ValueError, match="give each sub-environment an 'index'"):
        env.reset()
    env.reset()  # what was refused is forgotten


def test_attributes_are_those_of_the_environments() -> None:
    env = make_env()
    assert [task.num_glimpses for task in env.get_attr("task")] == [3] * NUM_ENVS
    assert len(env.get_attr("task", indices=[0, 2])) == 2
    env.set_attr("nickname", "five")
    assert env.get_attr("nickname") == ["five"] * NUM_ENVS
    with pytest.raises(ValueError, match=r"set_attr\('nickname'\) with indices=0"):
        env.set_attr("nickname", "one", indices=0)
    with pytest.raises(AttributeError):
        env.get_attr("no_such_thing")


def test_attributes_of_one_environment_are_not_those_of_all_together() -> None:
    ours, dummy = make_env(), make_dummy()
    for env in (ours, dummy):
        env.seed(3)
        env.reset()
    for name in ("action_space", "observation_space", "np_random_seed"):
        assert ours.get_attr(name) == dummy.get_attr(name)
        assert ours.get_attr(name, indices=[1, 4]) == dummy.get_attr(name, indices=[1, 4])


def test_frames_are_those_of_the_environments() -> None:
    env = make_env(render_mode="rgb_array")
    env.reset()
    frames = env.get_images()
    assert len(frames) == NUM_ENVS
    assert all(frame is not None and frame.dtype == np.uint8 for frame in frames)


@pytest.mark.parametrize("mode", ["NextStep", "Disabled"])
def test_other_autoreset_modes_are_refused(mode: str) -> None:
    with pytest.raises(ValueError, match=f"autoreset_mode='{mode}'.*'SameStep'"):
        make_env(autoreset_mode=mode)


def test_dict_actions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"action_format='dict'.*'multi_discrete' or 'discrete'"):
        make_env(action_format="dict")


def test_other_vector_environments_are_refused() -> None:
    others = SyncVectorEnv([lambda: gym.make("ram_env/MNIST-v0", action_format="discrete")])
    with pytest.raises(ValueError, match="SyncVectorEnv is no vector environment of ram_env"):
        SB3VecEnv(others)  # type: ignore[arg-type]


def test_sb3_knows_returns_and_success_from_it() -> None:
    env = VecMonitor(make_env())
    model = PPO("MultiInputPolicy", env, n_steps=32, batch_size=32, n_epochs=1, device="cpu")
    model.learn(32 * NUM_ENVS)
    successes = [float(success) for success in model.ep_success_buffer]
    returns = [episode["r"] for episode in model.ep_info_buffer]
    assert 0 < len(returns) == len(successes)
    assert returns == successes


def test_equal_seeds_learn_the_same_as_on_dummy_vec_env() -> None:
    weights = []
    for env in (make_env(), make_dummy()):
        options = {"n_steps": 12, "batch_size": 30, "n_epochs": 2, "seed": 3, "device": "cpu"}
        model = RecurrentPPO("MultiInputLstmPolicy", env, **options).learn(24 * NUM_ENVS)
        weights.append([values.detach().numpy() for values in model.policy.parameters()])
    for ours, dummys in zip(*weights, strict=True):
        np.testing.assert_array_equal(ours, dummys)
