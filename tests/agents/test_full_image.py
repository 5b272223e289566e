from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.full_image import FullImageClassifier, full_image_options
from experiments.evaluate import evaluate
from ram_env import CatchVectorEnv, GlimpseVectorEnv


def make_env(num_envs: int = 30, **options: Any) -> GlimpseVectorEnv:
    """Three classes, in order: a bar in the left, middle or right third of 9x9 pixels."""
    labels = np.arange(30) % 3
    images = np.zeros((30, 9, 9), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 3 * label : 3 * label + 3] = 255
    settings = {**full_image_options((9, 9)), "autoreset_mode": "Disabled", **options}
    return GlimpseVectorEnv((images, labels), num_envs=num_envs, **settings)


@pytest.mark.parametrize("network", ["mlp", "cnn"])
@pytest.mark.parametrize("channels", [(), (1,), (3,)], ids=str)
def test_it_tells_images_of_any_channels_apart(network: Any, channels: tuple[int, ...]) -> None:
    images = np.zeros((2, 8, 8, *channels), np.uint8)
    images[1, ..., -1] = 255  # of colours, the last; of grey, the last column
    env = GlimpseVectorEnv(
        (images, np.arange(2)),
        num_envs=20,
        autoreset_mode="Disabled",
        **full_image_options((8, 8)),
    )
    agent = FullImageClassifier(env, network, seed=0).learn(20 * 60)
    observation, _ = env.reset(seed=1)
    action, _ = agent.predict(observation)
    _, reward, *_ = env.step(action)
    assert reward.mean() == 1


@pytest.mark.parametrize("size", [(7, 7), (8, 8), (5, 8), (8, 7), (4, 9), (9, 8)])
def test_its_one_glimpse_is_the_whole_image(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(1, 256, size=(1, *size), dtype=np.uint8)
    env = GlimpseVectorEnv((image, np.array([0])), num_envs=1, **full_image_options(size))
    observation, _ = env.reset(seed=0)
    (glimpse,) = observation["glimpse"][0]
    (rows,), (columns,) = (np.nonzero(glimpse.any(axis=axis))[:1] for axis in (1, 0))
    np.testing.assert_allclose(glimpse[np.ix_(rows, columns)], image[0] / 255, atol=1e-6)


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_it_learns(network: Any) -> None:
    env = make_env()
    agent = FullImageClassifier(env, network, seed=0).learn(30 * 40)
    assert agent.num_timesteps == 30 * 40
    observation, _ = env.reset(seed=1)
    action, state = agent.predict(observation)
    _, reward, terminated, _, _ = env.step(action)
    assert state is None
    assert terminated.all()
    assert reward.mean() == 1
    probabilities = agent.class_probabilities(observation)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(axis=-1), action["label"])


def test_equal_seeds_give_equal_classifiers() -> None:
    one, two, other = (
        FullImageClassifier(make_env(), "mlp", seed=seed).learn(60) for seed in (1, 1, 2)
    )
    weights = [next(agent.network.parameters()) for agent in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


class Recorder(GlimpseVectorEnv):
    """Keeps the items that its episodes begin with."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.items: list[list[int]] = []

    def reset(self, **options: Any) -> Any:
        observation, info = super().reset(**options)
        self.items.append(info["index"].tolist())
        return observation, info


def test_every_call_of_learn_and_every_seed_has_images_of_its_own() -> None:
    images, labels = np.zeros((300, 4, 4), np.uint8), np.zeros(300, np.int64)
    settings = {**full_image_options((4, 4)), "autoreset_mode": "Disabled"}
    env = Recorder((images, labels), num_envs=10, **settings)
    FullImageClassifier(env, "mlp", seed=0).learn(5 * 10).learn(5 * 10)
    FullImageClassifier(env, "mlp", seed=1).learn(5 * 10)
    items = np.array(env.items)
    first, second, of_seed_1 = items[:5], items[5:10], items[10:]
    assert (first == second).mean() < 0.1
    assert (first[:, 1:] == of_seed_1[:, :-1]).mean() < 0.1  # not the same, a place further on


@pytest.mark.parametrize("nothing", [0, -5])
def test_learning_from_nothing_is_refused(nothing: int) -> None:
    env = GlimpseVectorEnv(
        (np.zeros((3, 4, 4), np.uint8), [0, 1, 1]),
        autoreset_mode="Disabled",
        **full_image_options((4, 4)),
    )
    with pytest.raises(ValueError, match=f"total_timesteps={nothing}"):
        FullImageClassifier(env, "mlp").learn(nothing)


def test_its_learning_rate_falls_each_time_from_the_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = []
    step = torch.optim.Adam.step

    def noted(optimiser: torch.optim.Adam) -> None:
        rates.extend(group["lr"] for group in optimiser.param_groups)
        step(optimiser)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    env = make_env()
    agent = FullImageClassifier(env, "mlp", seed=0, learning_rate=1.0)
    agent.learn(4 * env.num_envs).learn(2 * env.num_envs)
    cosine = [(1 + math.cos(math.pi * quarter / 4)) / 2 for quarter in range(4)]
    assert rates == pytest.approx([*cosine, 1.0, 0.5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_glimpses": 2}, "have .*num_glimpses=2.* needs .*num_glimpses=1"),
        ({"patch_size": 4}, "have .*patch_size=4.* needs .*patch_size=9"),
        ({"num_scales": 2}, "have .*num_scales=2.* needs .*num_scales=1"),
        ({"start": "random"}, "have .*start='random'.* needs .*start='center'"),
        ({"autoreset_mode": "NextStep"}, "have .*'NextStep'.* needs .*'Disabled'"),
    ],
)
def test_other_environments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FullImageClassifier(make_env(**options), "mlp")


def test_who_has_no_images_with_classes_is_refused() -> None:
    for env in (CatchVectorEnv(num_envs=2), gym.make_vec("ram_env/MNIST-v0", 1, "sync")):
        with pytest.raises(ValueError, match="is no GlimpseVectorEnv"):
            FullImageClassifier(env, "mlp")  # type: ignore[arg-type]


def test_it_is_not_evaluated_on_other_images_than_its_own() -> None:
    agent = FullImageClassifier(make_env(), "mlp")
    other = GlimpseVectorEnv((np.zeros((2, 8, 8), np.uint8), np.arange(2)), num_envs=2)
    with pytest.raises(ValueError, match="the environment's observation_space is"):
        evaluate(agent, other)


@pytest.mark.parametrize(
    ("name", "value"), [("learning_rate", -1), ("learning_rate", "fast"), ("seed", -3)]
)
def test_other_numbers_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name}={value!r}"):
        FullImageClassifier(make_env(), "mlp", **{name: value})


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ValueError, match="network='vit'"):
        FullImageClassifier(make_env(), "vit")  # type: ignore[arg-type]
