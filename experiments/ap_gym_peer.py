"""Steps ap-gym's image classification environment, to be measured beside ours.

Runs in an environment of its own, with ap-gym and `ram_env`, and is told what to do line by line:
for each `NUM_ENVS NUM_STEPS` on stdin it makes so many steps and answers with a line.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from ap_gym.envs.image import ImageClassificationDataset, ImagePerceptionConfig
from ap_gym.envs.image_classification import ImageClassificationEnv, ImageClassificationVectorEnv

from ram_env import load_dataset

PATCH_SIZE = 8
NUM_GLIMPSES = 6


class Mnist(ImageClassificationDataset):  # type: ignore[misc]
    """The images that our environment shows."""

    def __init__(self) -> None:
        self._items = load_dataset("mnist", "train")

    def _get_length(self) -> int:
        return len(self._items)

    def _get_num_classes(self) -> int:
        return self._items.num_classes

    def _get_num_channels(self) -> int:
        return 1

    def _get_data_point_batch(self, idx: Any) -> tuple[Any, Any]:
        return self._items.images[idx], self._items.labels[idx]


@cache
def make_env(num_envs: int) -> tuple[Any, Any]:
    """Returns the environment, the single one for `num_envs` 0, and an action for it."""
    config = ImagePerceptionConfig(
        Mnist(), sensor_size=(PATCH_SIZE, PATCH_SIZE), step_limit=NUM_GLIMPSES
    )
    if num_envs == 0:
        env = ImageClassificationEnv(config)
    else:
        env = ImageClassificationVectorEnv(num_envs, config)
    env.reset(seed=0)
    env.action_space.seed(0)
    return env, env.action_space.sample()


def make_steps(num_envs: int, num_steps: int) -> None:
    """Steps the environment; the single one is reset where an episode ends."""
    env, action = make_env(num_envs)
    for _ in range(num_steps):
        _, _, terminated, _, _ = env.step(action)
        if num_envs == 0 and terminated:
            env.reset()


def main() -> None:
    """Answers until stdin ends."""
    for line in sys.stdin:
        num_envs, num_steps = map(int, line.split())
        make_steps(num_envs, num_steps)
        print("done", flush=True)


if __name__ == "__main__":
    main()
