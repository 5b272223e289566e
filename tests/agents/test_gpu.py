"""What must hold where there is a GPU; skipped where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.full_image import FullImageClassifier, full_image_options
from agents.recurrent_ppo import learning_environments, load_recurrent_ppo, make_recurrent_ppo
from agents.reinforce import Reinforce, UpdateMetrics
from ram_env import GlimpseVectorEnv

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

BATCH_SIZE, NUM_GLIMPSES = 32, 3
SMALL: dict[str, Any] = {"hidden_size": 32, "image_hidden_size": 32, "glimpse_hidden_size": 16}
# Draws nothing while it learns, so that a GPU's random numbers, which are others, have no part.
DETERMINISTIC: dict[str, Any] = {**SMALL, "gaze": "raster", "raster": ((-0.5, 0.0), (0.5, 0.0))}


def bars() -> tuple[np.ndarray, np.ndarray]:
    """Three classes that are easy to tell where one looks: a bar in one of three columns."""
    labels = np.arange(30) % 3
    images = np.zeros((30, 9, 9), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 3 * label : 3 * label + 3] = 255
    return images, labels


def make_env(**options: Any) -> GlimpseVectorEnv:
    sensor = {"num_glimpses": NUM_GLIMPSES, "patch_size": 4, "num_scales": 2}
    settings = {**sensor, "num_envs": BATCH_SIZE, "autoreset_mode": "Disabled", **options}
    return GlimpseVectorEnv(bars(), **settings)


def learn(agent: Reinforce, num_updates: int) -> list[UpdateMetrics]:
    found: list[UpdateMetrics] = []

    def remember(_: Reinforce, metrics: UpdateMetrics) -> None:
        found.append(metrics)

    agent.learn(num_updates * BATCH_SIZE * NUM_GLIMPSES, callback=remember)
    return found


@pytest.mark.parametrize("patches", ["pixels", "convolutions"])
def test_it_learns_what_it_learns_on_a_cpu(patches: str) -> None:
    of_cpu, of_gpu = (
        learn(Reinforce(make_env(), **DETERMINISTIC, patches=patches, device=device), 20)
        for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(of_gpu, of_cpu, rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "auto"])
def test_it_learns_where_to_look_in_any_precision(precision: str) -> None:
    agent = Reinforce(make_env(), **SMALL, precision=precision, learning_rate=3e-3, device="cuda")
    assert np.mean([update.accuracy for update in learn(agent, 300)[-20:]]) > 0.9


@pytest.mark.parametrize("core", ["rnn", "lstm", "map"])
@pytest.mark.parametrize(("saved_on", "loaded_on"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_model_acts_on_the_other_device_as_on_its_own(
    tmp_path: Path, core: str, saved_on: Any, loaded_on: Any
) -> None:
    env = make_env()
    agent = Reinforce(env, **SMALL, core=core, averaging=0.9, device=saved_on)
    learn(agent, 5)
    agent.save(tmp_path / "model.safetensors")
    loaded = Reinforce.load(tmp_path / "model.safetensors", device=loaded_on)
    assert loaded.device.type == loaded_on
    observation, _ = env.reset(seed=1)
    (action, _), (expected, _) = (a.predict(observation, None, None, True) for a in (loaded, agent))
    np.testing.assert_allclose(action["location"], expected["location"], atol=1e-4)
    np.testing.assert_allclose(
        loaded.class_probabilities(observation), agent.class_probabilities(observation), atol=1e-4
    )


@pytest.mark.parametrize(("first", "then"), [("cuda", "cuda"), ("cuda", "cpu"), ("cpu", "cuda")])
def test_learning_goes_on_from_a_training_state(tmp_path: Path, first: Any, then: Any) -> None:
    whole = Reinforce(make_env(), **DETERMINISTIC, averaging=0.9, device="cpu")
    learn(whole, 5)
    expected = whole.learn(5 * BATCH_SIZE * NUM_GLIMPSES, reset_num_timesteps=False)
    broken = Reinforce(make_env(), **DETERMINISTIC, averaging=0.9, device=first)
    learn(broken, 5)
    broken.save_training_state(tmp_path / "state.safetensors")
    agent = Reinforce.load_training_state(tmp_path / "state.safetensors", make_env(), device=then)
    agent.learn(5 * BATCH_SIZE * NUM_GLIMPSES, reset_num_timesteps=False)
    for name, weight in expected.network.state_dict().items():
        found = agent.network.state_dict()[name].cpu()
        torch.testing.assert_close(found, weight, rtol=0.02, atol=2e-3, msg=name)


def test_equal_seeds_give_equal_samples() -> None:
    env = make_env()
    rollouts = [Reinforce(env, **SMALL, seed=3, device="cuda").rollout(seed=0) for _ in range(2)]
    torch.testing.assert_close(*[rollout.location_log_probs for rollout in rollouts])


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_networks_that_see_the_whole_image_learn_there(network: Any) -> None:
    env = make_env(**full_image_options((9, 9)))
    agent = FullImageClassifier(env, network, seed=0, device="cuda").learn(BATCH_SIZE * 200)
    observation, _ = env.reset(seed=1)
    _, reward, *_ = env.step(agent.predict(observation)[0])
    assert reward.mean() == 1


def test_recurrent_ppo_learns_there_and_acts_on_a_cpu(tmp_path: Path) -> None:
    env = make_env(action_format="discrete", grid_size=3, autoreset_mode="SameStep")
    agent = make_recurrent_ppo(env, device="cuda")
    assert agent.device.type == "cuda"
    agent.learn(1)
    agent.save(tmp_path / "model.zip")
    loaded = load_recurrent_ppo(tmp_path / "model.zip", learning_environments(env), device="cpu")
    observation, _ = env.reset(seed=1)
    action, _ = loaded.predict(observation, deterministic=True)
    np.testing.assert_array_equal(action, agent.predict(observation, deterministic=True)[0])
