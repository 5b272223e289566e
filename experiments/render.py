"""`ram render`: pictures of a run, of where its agent looks and what it sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import gymnasium as gym
import numpy as np
import tyro
from numpy.typing import NDArray

from agents.base import Agent, AgentWithProbabilities, ask, ask_probabilities
from agents.hyperparameters import Device
from experiments.config import TrainConfig
from experiments.evaluate import Evaluation, Tested, evaluate_best
from experiments.pictures import draw_glimpses, draw_patches, write_episodes, write_png
from experiments.plots import plot_gaze, plot_training
from experiments.run_folder import RUNS, RunFolder
from experiments.saved_agents import is_pretrained, open_run
from ram_env import CatchEnv, GlimpseEnv, GlimpseVectorEnv, load_dataset

NUM_PICTURED = 5
NUM_ANIMATED = 3
SECONDS_PER_GLIMPSE = 0.7
SECONDS_AT_THE_END = 2.5


def draw_run(folder: str | Path, run: RunFolder, tested: Tested) -> list[Path]:
    """Writes every picture of a run, and returns their paths.

    Args:
        folder: Where to write.
        run: The run, with its metrics.
        tested: Its best model on the test split.
    """
    folder = Path(folder)
    agent, env, evaluation = tested
    loss, episodes, gaze = (folder / name for name in ("loss.png", "episode.gif", "gaze.png"))
    drawn = [episodes, gaze]
    if rows := run.read_metrics():
        plot_training(rows, loss)
        drawn.append(loss)
    drawn += draw_first_images(folder, env, evaluation)
    draw_episodes(episodes, agent, run.read_config())
    draw_gaze(gaze, env, evaluation)
    return drawn


def draw_first_images(folder: Path, env: GlimpseVectorEnv, evaluation: Evaluation) -> list[Path]:
    """Writes `glimpse<t>.png` and `patch<t>.png` for each time step t of the first images.

    On `glimpse<t>.png` the images stand side by side with the boxes of all scales on them;
    `patch<t>.png` has what the agent saw there, a column for each image. The last glimpse of an
    agent that has answered early stays.

    Args:
        folder: Where to write.
        env: Evaluation environments.
        evaluation: An agent's evaluation there.

    Returns:
        The paths of the pictures.
    """
    drawn = []
    images = _first_images(env, min(NUM_PICTURED, len(evaluation.labels)))
    sensor, location_range = env.task.sensor, env.task.location_range
    place = np.zeros((len(images), 2), np.float32)
    for glimpse in range(evaluation.locations.shape[1]):
        location = evaluation.locations[: len(images), glimpse]
        place = np.where(np.isnan(location), place, location * location_range)
        boxes = sensor.boxes(env.task.image_size, place)
        glimpses, patches = (folder / f"{name}{glimpse + 1}.png" for name in ("glimpse", "patch"))
        write_png(glimpses, draw_glimpses(images, boxes))
        write_png(patches, draw_patches(sensor(images, place)))
        drawn += [glimpses, patches]
    return drawn


def draw_episodes(path: Path, agent: Agent, config: TrainConfig) -> None:
    """Writes an animation of the agent on the first test images, one after the other."""
    task = config.task
    options = {**task.options, **config.agent.env_options}
    env = gym.make(task.env, split="test", render_mode="rgb_array", **options)
    num_episodes = min(NUM_ANIMATED, len(load_dataset(task.dataset, "test")))
    write_episodes(
        path,
        # Seeded as `evaluate` does, so that those that start anywhere do so where they were tested.
        (play_frames(env, agent, index, seed=index) for index in range(num_episodes)),
        seconds=SECONDS_PER_GLIMPSE,
        seconds_at_the_end=SECONDS_AT_THE_END,
    )


def play_frames(
    env: gym.Env[Any, Any], agent: Agent, index: int | None = None, *, seed: int = 0
) -> Iterator[NDArray[np.uint8]]:
    """Yields the frames of a deterministic episode, with the agent's class probabilities if any.

    Args:
        env: A single environment with `render_mode="rgb_array"`.
        agent: Who plays, as in a batch of one environment.
        index: The item to play on, where there are items.
        seed: The episode's.

    Raises:
        ValueError: The agent is none, or its actions are not a batch of the environment's.
    """
    task_env = cast(GlimpseEnv | CatchEnv, env.unwrapped)
    observation, _ = env.reset(seed=seed, options=None if index is None else {"index": index})
    state, starts, belief, terminated = None, np.ones(1, bool), None, False
    while not terminated:
        before = ({name: value[None] for name, value in observation.items()}, state, starts)
        if isinstance(agent, AgentWithProbabilities):
            (belief,) = ask_probabilities(agent, *before, task_env.task.num_choices)
            task_env.belief = belief
        yield cast(NDArray[np.uint8], env.render())
        actions, state = ask(agent, *before, deterministic=True)
        task_env.task.actions.decode(actions, (1,))  # refuses what is no batch of one
        observation, _, terminated, _, _ = env.step(_only_one(actions))
        starts = np.zeros(1, bool)
    if belief is not None:
        task_env.belief = belief  # what the last action came of
    yield cast(NDArray[np.uint8], env.render())


def _only_one(actions: Any) -> Any:
    """Returns the action in a batch of one."""
    if isinstance(actions, dict):
        return {name: values[0] for name, values in actions.items()}
    return actions[0]


def draw_gaze(path: Path, env: GlimpseVectorEnv, evaluation: Evaluation) -> None:
    """Writes a heat map of where the agent looks, for each time step."""
    centres = gaze_centres(env, evaluation)
    plot_gaze(centres, mean_image(env), path, glimpse_side=env.task.patch_size)


def gaze_centres(env: GlimpseVectorEnv, evaluation: Evaluation) -> NDArray[np.float64]:
    """Returns where the agent looked, `(x, y)` in pixels of the image, `(N, T, 2)`, or NaN."""
    locations = evaluation.locations * env.task.location_range
    return env.task.sensor.centres(env.task.image_size, locations)


def mean_image(env: GlimpseVectorEnv) -> NDArray[np.float64]:
    """Returns the mean image of the split's first items, one for each of the environments."""
    images = _first_images(env, min(env.num_envs, len(env.task.items)))
    mean: NDArray[np.float64] = images.mean(axis=0)
    return mean


def _first_images(env: GlimpseVectorEnv, count: int) -> NDArray[np.uint8]:
    """Returns the first images of the environments' split, as many as there are or fewer."""
    env.reset(seed=0, options={"index": np.arange(env.num_envs) % count})
    return env.images[:count].copy()


@dataclass(frozen=True)
class RenderCommand:
    """Draw a trained model at work: the pictures that training ends with, once more."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run, or pretrained:NAME for a model that came with the package."""
    folder: Path | None = None
    """Where the pictures go; by default into the run's folder, of a pretrained model into
    runs/pretrained-NAME."""
    device: Device = "auto"
    """Where the model runs."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs `ram render`."""
    command = tyro.cli(RenderCommand, prog="ram render", args=argv)
    run = open_run(command.run)
    own = RUNS / f"pretrained-{run.path.name}" if is_pretrained(command.run) else run.path
    folder = command.folder or own
    if any(path.is_file() for path in (folder, *folder.parents)):
        raise ValueError(f"folder={str(folder)!r} is a file; give a folder, new or not")
    for path in sorted(draw_run(folder, run, evaluate_best(run, device=command.device))):
        print(path)
