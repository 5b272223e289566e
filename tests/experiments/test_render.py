from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from agents.gaze import RasterGaze
from experiments.config import TaskConfig
from experiments.evaluate import evaluate, evaluation_env
from experiments.pictures import draw_glimpses, draw_patches
from experiments.render import draw_first_images, play_frames
from ram_env import GlimpseVectorEnv
from ram_env.env import TaskEnv

NUM_GLIMPSES = 3
PICTURED = 5


@pytest.fixture
def task(tiny_npz: Path) -> TaskConfig:
    return TaskConfig(
        env="ram_env/MNIST-v0",
        dataset=str(tiny_npz),
        num_glimpses=NUM_GLIMPSES,
        patch_size=4,
        location_range=0.5,
    )


class Corners:
    """Looks at one corner after the other, and says 0."""

    def predict(self, observation: Any, state: Any = None, *_: Any, **__: Any) -> Any:
        taken = (state or 0) + 1
        num_envs = len(observation["location"])
        gaze = RasterGaze(np.array([[-1, -1], [1, 1]]))
        location = gaze(np.full(num_envs, taken))
        return {"location": location, "label": np.zeros(num_envs, np.int64)}, taken


class AnswerAtOnce:
    def predict(self, observation: Any, *_: Any, **__: Any) -> Any:
        return np.full(len(observation["location"]), 9), None  # behind 3x3 cells, class 0


def pixels(path: Path) -> Any:
    return np.asarray(Image.open(path))


def test_the_pictures_show_what_the_agent_was_shown(tmp_path: Path, task: TaskConfig) -> None:
    env = evaluation_env(task, "test")
    draw_first_images(tmp_path, env, evaluate(Corners(), env))
    assert len(list(tmp_path.iterdir())) == 2 * NUM_GLIMPSES
    options = {**task.options, "split": "test"}
    played = GlimpseVectorEnv(num_envs=PICTURED, **options)
    observation, _ = played.reset(seed=0, options={"index": np.arange(PICTURED)})
    state = None
    for glimpse in range(1, NUM_GLIMPSES + 1):
        expected = draw_patches(observation["glimpse"])
        np.testing.assert_array_equal(pixels(tmp_path / f"patch{glimpse}.png"), expected)
        boxes = played.task.sensor.boxes((8, 8), 0.5 * observation["location"])
        expected = draw_glimpses(played.images, boxes)
        np.testing.assert_array_equal(pixels(tmp_path / f"glimpse{glimpse}.png"), expected)
        action, state = Corners().predict(observation, state)
        observation, *_ = played.step(action)


def test_the_last_glimpse_of_an_early_answer_stays(tmp_path: Path, task: TaskConfig) -> None:
    env = evaluation_env(task, "test", action_format="discrete", grid_size=3)
    draw_first_images(tmp_path, env, evaluate(AnswerAtOnce(), env))
    for kind in ("glimpse", "patch"):
        first, *others = (pixels(tmp_path / f"{kind}{t}.png") for t in range(1, NUM_GLIMPSES + 1))
        for other in others:
            np.testing.assert_array_equal(other, first)


class SurerAndSurer:
    """Stays where it is, on Catch, and is surer of that with every glimpse."""

    def predict(self, observation: Any, state: Any = None, **_: Any) -> Any:
        return {"location": np.zeros(2, np.float32), "move": 1}, (state or 0) + 1

    def class_probabilities(self, observation: Any, state: Any = None) -> Any:
        doubt = 1 / (3 + (state or 0))
        return np.array([doubt, 1 - 2 * doubt, doubt])


def test_the_last_frame_shows_what_the_last_action_came_of() -> None:
    env = gym.make("ram_env/Catch-v0", screen_size=4, patch_size=2, render_mode="rgb_array")
    beliefs = [
        cast(TaskEnv, env.unwrapped).belief[1].item() for _ in play_frames(env, SurerAndSurer())
    ]
    np.testing.assert_allclose(beliefs, [1 / 3, 2 / 4, 3 / 5, 3 / 5])
