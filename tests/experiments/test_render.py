from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from agents.gaze import RasterGaze
from experiments.config import TaskConfig, TrainConfig
from experiments.evaluate import Tested as Played
from experiments.evaluate import evaluate, evaluation_env
from experiments.pictures import draw_glimpses, draw_patches
from experiments.render import (
    draw_episodes,
    draw_first_images,
    draw_run,
    gaze_centres,
    main,
    play_frames,
)
from experiments.run_folder import RunFolder
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


def test_the_animation_begins_where_the_tested_episodes_do(
    tmp_path: Path, task: TaskConfig
) -> None:
    task = dataclasses.replace(task, start="random")
    begins = []

    class Watcher(Corners):
        def predict(self, observation: Any, state: Any, episode_start: Any, **_: Any) -> Any:
            begins.extend(observation["location"][episode_start])
            return super().predict(observation, state)

    tested = evaluate(Corners(), evaluation_env(task, "test")).locations[:, 0]
    draw_episodes(tmp_path / "episode.gif", Watcher(), TrainConfig(task=task))
    assert len(begins) == 3
    np.testing.assert_array_equal(begins, tested[:3])


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


def test_where_it_looked_is_told_in_pixels_of_its_image(task: TaskConfig) -> None:
    env = evaluation_env(task, "test")
    evaluation = evaluate(Corners(), env)
    # 1 is half of the way to the edge of an image of eight pixels, whose middle is between 3 and 4.
    reach = 0.5 * 8 / 2
    expected = 3.5 + reach * evaluation.locations
    np.testing.assert_allclose(gaze_centres(env, evaluation), expected, atol=0.5)


def test_the_last_glimpse_of_an_early_answer_stays(tmp_path: Path, task: TaskConfig) -> None:
    env = evaluation_env(task, "test", action_format="discrete", grid_size=3)
    draw_first_images(tmp_path, env, evaluate(AnswerAtOnce(), env))
    for kind in ("glimpse", "patch"):
        first, *others = (pixels(tmp_path / f"{kind}{t}.png") for t in range(1, NUM_GLIMPSES + 1))
        for other in others:
            np.testing.assert_array_equal(other, first)


class SurerAndSurer:
    """Stays where it is, on Catch, and is surer of that with every glimpse; of batches alone."""

    def __init__(self) -> None:
        self.action: Any = {"location": np.zeros((1, 2), np.float32), "move": np.ones(1, int)}

    def predict(
        self, observation: Any, state: Any, episode_start: Any, deterministic: bool = False
    ) -> Any:
        assert observation["glimpse"].shape == (1, 3, 2, 2)
        assert observation["location"].shape == (1, 2)
        assert deterministic
        return self.action, np.where(episode_start, 0, state) + 1

    def class_probabilities(self, observation: Any, state: Any, episode_start: Any) -> Any:
        assert observation["glimpse"].shape == (1, 3, 2, 2)
        doubt = 1 / (3 + np.where(episode_start, 0, state).astype(int))
        return np.stack([doubt, 1 - 2 * doubt, doubt], axis=1)


def test_the_last_frame_shows_what_the_last_action_came_of() -> None:
    env = gym.make("ram_env/Catch-v0", screen_size=4, patch_size=2, render_mode="rgb_array")
    beliefs = [
        cast(TaskEnv, env.unwrapped).belief[1].item() for _ in play_frames(env, SurerAndSurer())
    ]
    np.testing.assert_allclose(beliefs, [1 / 3, 2 / 4, 3 / 5, 3 / 5])


@pytest.mark.parametrize(
    ("action_format", "action"),
    [
        ("dict", {"location": np.full((1, 2), 0.5, np.float32), "label": np.array([2])}),
        ("multi_discrete", np.array([[2, 2, 2]])),
        ("discrete", np.array([9 + 2])),
    ],
)
def test_an_agent_that_takes_batches_alone_is_animated_with_every_kind_of_action(
    task: TaskConfig, action_format: str, action: Any
) -> None:
    class OfBatches:
        def predict(self, observation: Any, *_: Any, **__: Any) -> Any:
            assert observation["location"].shape == (1, 2)
            return action, None

    options = {**task.options, "action_format": action_format, "grid_size": 3}
    env = gym.make(task.env, split="test", render_mode="rgb_array", **options)
    frames = list(play_frames(env, OfBatches(), index=0))
    assert len(frames) == 1 + (1 if action_format == "discrete" else NUM_GLIMPSES)


def test_an_agent_whose_actions_are_no_batch_is_told_what_is_expected() -> None:
    agent = SurerAndSurer()
    agent.action = {"location": np.zeros(2, np.float32), "move": 1}
    env = gym.make("ram_env/Catch-v0", screen_size=4, patch_size=2, render_mode="rgb_array")
    with pytest.raises(ValueError, match=r"action\['location'\].*shape \(2,\).* \(1, 2\)"):
        list(play_frames(env, agent))


def test_a_folder_that_is_a_file_is_refused_before_anything_is_played(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "pictures"):
        with pytest.raises(ValueError, match=r"folder='.*file.*' is a file; give a folder"):
            main(["pretrained:paper-28", "--folder", str(folder)])


def test_the_pictures_of_a_run_go_into_a_folder_by_its_name(
    tiny_config: TrainConfig, task: TaskConfig, tmp_path: Path
) -> None:
    env = evaluation_env(task, "test")
    run = RunFolder.create(str(tmp_path / "run"), name="run", config=tiny_config)
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "mine.png").touch()
    drawn = draw_run(str(folder), run, Played(Corners(), env, evaluate(Corners(), env)))
    assert {"episode.gif", "gaze.png", "glimpse1.png", "patch1.png"} <= {
        path.name for path in drawn
    }
    assert set(drawn) == set(folder.iterdir()) - {folder / "mine.png"}
