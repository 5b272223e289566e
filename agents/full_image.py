"""Classifiers that see the whole image at once: the reference rows of the paper's tables.

Source: Mnih et al. 2014 (arXiv 1406.6247), tables 1 and 2, "FC, 2 layers" and "Convolutional, 2
layers"; the sizes of the convolutions are ours.

Shapes: `B` images, `K` classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from agents.devices import find_device
from agents.hyperparameters import Device
from agents.optimisers import decay
from agents.seeds import learning_seeds
from agents.spaces import GlimpseSpaces
from ram_env import GlimpseVectorEnv
from ram_env.validation import as_options, require_choice, require_integer, require_positive

NETWORKS = ("mlp", "cnn")
HIDDEN_SIZE = 256
FILTERS = (16, 32)


def full_image_options(image_size: tuple[int, int]) -> dict[str, Any]:
    """Returns the environment options whose one glimpse is the whole image.

    Glimpses are square; that of a longish image has its border on two sides.

    Args:
        image_size: Height and width in pixels.
    """
    return {"num_glimpses": 1, "patch_size": max(image_size), "num_scales": 1, "start": "center"}


class FullImageClassifier:
    """A classifier of whole images, trained by cross-entropy, that plays as an agent.

    Args:
        env: The environments to learn in, with `full_image_options`, dict actions and the autoreset
            mode `"Disabled"`.
        network: `"mlp"`, two hidden layers of 256 units, or `"cnn"`, two convolutions of 3x3 with
            2x2 max pooling, and a hidden layer of 256 units.
        learning_rate: Adam's at the beginning; it falls to 0 along a cosine.
        seed: Seed of weights and environments.
        device: Where it runs.

    Raises:
        ValueError: The environments are of another kind, or there is no such network.

    Attributes:
        observation_space: That of a single environment, for whom the agent was made.
        action_space: The same.

    Example:
        >>> from ram_env import GlimpseVectorEnv
        >>> env = GlimpseVectorEnv(num_envs=128, autoreset_mode="Disabled",
        ...                        **full_image_options((28, 28)))
        >>> agent = FullImageClassifier(env, "cnn").learn(total_timesteps=128)
        >>> actions, _ = agent.predict(env.reset()[0])
    """

    def __init__(
        self,
        env: GlimpseVectorEnv,
        network: Literal["mlp", "cnn"],
        *,
        learning_rate: float = 1e-3,
        seed: int = 0,
        device: Device = "auto",
    ) -> None:
        require_choice("network", network, NETWORKS)
        require_positive("learning_rate", learning_rate)
        require_integer("seed", seed, at_least=0)
        if not isinstance(env, GlimpseVectorEnv):
            raise ValueError(f"env={env} is no GlimpseVectorEnv, whose images have classes")
        options = full_image_options(env.task.image_size)
        needed = {**options, "autoreset_mode": AutoresetMode.DISABLED}
        found = {name: getattr(env.task, name) for name in options}
        found["autoreset_mode"] = env.autoreset_mode
        if found != needed:
            raise ValueError(
                f"the environments have {as_options(found)}; one glimpse of the whole image needs "
                f"{as_options(needed)}, see full_image_options"
            )
        self.env = env
        self.observation_space = env.single_observation_space
        self.action_space = env.single_action_space
        self.device = find_device(device)
        self._learning_rate = learning_rate
        self._seed = seed
        spaces = GlimpseSpaces.of(self.observation_space, self.action_space)
        with torch.random.fork_rng(devices=[]):  # leaves the caller's random numbers alone
            torch.default_generator.manual_seed(seed)
            make = {"mlp": _mlp, "cnn": _cnn}[network]
            self.network = make(spaces.glimpse_shape, spaces.num_classes).to(self.device)
        self.num_timesteps = 0

    def learn(
        self, total_timesteps: int, callback: Callable[[FullImageClassifier], None] | None = None
    ) -> FullImageClassifier:
        """Learns from this many images, rounded up to whole batches; `callback` after each.

        Each call draws images of its own, and its learning rate falls from the beginning to 0.

        Raises:
            ValueError: `total_timesteps` is not above 0.
        """
        require_positive("total_timesteps", total_timesteps)
        optimiser = torch.optim.Adam(self.network.parameters(), self._learning_rate)
        before = self.num_timesteps
        reset_seed: int | None = learning_seeds(self._seed, before).env
        while (learned := self.num_timesteps - before) < total_timesteps:
            for group in optimiser.param_groups:
                group["lr"] = self._learning_rate * decay("cosine", learned / total_timesteps)
            observation, _ = self.env.reset(seed=reset_seed)
            logits = self._logits(observation)
            _, _, _, _, info = self.env.step(_answer(logits))
            labels = torch.as_tensor(info["label"], device=self.device)
            optimiser.zero_grad()
            cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            self.num_timesteps += self.env.num_envs
            reset_seed = None
            if callback is not None:
                callback(self)
        return self

    @torch.no_grad()
    def predict(
        self,
        observation: dict[str, NDArray[Any]],
        state: None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[dict[str, NDArray[Any]], None]:
        """Returns the likeliest classes of a batch of observations; there is nothing to remember.

        Args:
            observation: A batch of observations.
            state: Not used.
            episode_start: Not used.
            deterministic: Not used: it always is.
        """
        return _answer(self._logits(observation)), None

    @torch.no_grad()
    def class_probabilities(
        self, observation: dict[str, NDArray[Any]], *_memory: Any
    ) -> NDArray[np.float32]:
        """Returns the probability of each class, `(B, K)`."""
        probabilities: NDArray[np.float32]
        probabilities = self._logits(observation).softmax(dim=-1).cpu().numpy()
        return probabilities

    def _logits(self, observation: dict[str, NDArray[Any]]) -> Tensor:
        images = torch.as_tensor(observation["glimpse"], device=self.device)
        logits: Tensor = self.network(images)
        return logits


def _answer(logits: Tensor) -> dict[str, NDArray[Any]]:
    labels = logits.argmax(dim=-1).cpu().numpy()
    return {"location": np.zeros((len(labels), 2), np.float32), "label": labels}


def _mlp(glimpse_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(glimpse_shape), HIDDEN_SIZE),
        nn.ReLU(),
        nn.Linear(HIDDEN_SIZE, HIDDEN_SIZE),
        nn.ReLU(),
        nn.Linear(HIDDEN_SIZE, num_classes),
    )


def _cnn(glimpse_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    _, side, _, *channels = glimpse_shape
    first, second = FILTERS
    return nn.Sequential(
        _ChannelsFirst(),
        nn.Conv2d(math.prod(channels), first, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * (side // 4) ** 2, HIDDEN_SIZE),
        nn.ReLU(),
        nn.Linear(HIDDEN_SIZE, num_classes),
    )


class _ChannelsFirst(nn.Module):
    """Makes images `(B, C, height, width)` of glimpses of one scale; grey ones have a channel."""

    def forward(self, glimpses: Tensor) -> Tensor:
        """Returns them of `(B, 1, height, width[, C])`."""
        return glimpses if glimpses.ndim == 4 else glimpses.squeeze(1).movedim(-1, 1)
