"""`ram catch`: trains the Recurrent Attention Model on Catch, the paper's dynamic task.

Beside `ram train`, whose splits, labels and confusions are those of classification: Catch has
episodes that are chosen by their seeds, and all there is to know of one is caught or missed.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import tyro
from numpy.typing import NDArray

from agents.base import Agent
from agents.gaze import RandomGaze, WithGaze, center_gaze
from agents.hyperparameters import ReinforceHyperparameters
from agents.reinforce import Reinforce
from experiments.config import agent_from_json, fill, is_of_catch
from experiments.contenders import action_options
from experiments.evaluate import play_steps, require_spaces, wilson_interval
from experiments.pictures import write_episodes
from experiments.plots import plot_training
from experiments.reinforce_trainer import LearnsByReinforce
from experiments.render import play_frames
from experiments.run_folder import RunFolder, read_as, write_json
from experiments.train import ProgressBar, require_resume_alone, stopping_cleanly
from experiments.trainer import sole_writer
from ram_env import CatchTask, CatchVectorEnv, __version__
from ram_env.registration import CATCH
from ram_env.validation import require_integer

# The episodes to choose by and those to report on, the same for all.
VAL_SEEDS = range(1_000_000, 1_002_000)
TEST_SEEDS = range(2_000_000, 2_010_000)
EPISODES_AT_ONCE = 1_000

NUM_ANIMATED = 5
SECONDS_PER_GLIMPSE = 0.2
SECONDS_AT_THE_END = 1.2

# The locations' REINFORCE has a small weight: their score is some ten times as large as that of the
# moves (a tenth of `location_std` against a probability), and at weight 1 its noise drowns what the
# core learns of the ball. A ball is one pixel, a sixteenth of white where 4x4 pixels are averaged:
# without the white level it is lost among the first layer's weights, and nothing is learned.
AGENT = ReinforceHyperparameters(
    loss="reinforce",
    core="lstm",
    glimpse_hidden_size=64,
    location_hidden_size=64,
    image_hidden_size=128,
    hidden_size=128,
    white_level=20.0,
    location_std=0.15,
    reinforce_weight=0.03,
    entropy_weight=0.01,
    learning_rate=2e-3,
    location_learning_rate=0.1,
    schedule="cosine",
    max_grad_norm=1.0,
    precision="auto",
)


@dataclass(frozen=True, kw_only=True)
class CatchConfig:
    """A training run on Catch."""

    agent: ReinforceHyperparameters = AGENT
    epochs: int = 26
    """How often it is validated, and the training saved."""
    updates_per_epoch: int = 100
    """Updates before each of these times."""
    batch_size: int = 512
    """Episodes side by side, each update learns from one batch of them."""

    def __post_init__(self) -> None:
        """Checks the values."""
        for name in ("epochs", "updates_per_epoch", "batch_size"):
            require_integer(name, getattr(self, name), at_least=1)

    @property
    def data(self) -> None:
        """There is none to read: its episodes are made of their seeds."""

    def to_json(self) -> dict[str, Any]:
        """Returns what JSON can hold and `from_json` takes."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> CatchConfig:
        """Returns the configuration that `to_json` described; a ValueError if it is none."""
        if not is_of_catch(document):
            raise ValueError(
                "not the configuration of a run of `ram catch`, which has 'updates_per_epoch'; if "
                "it is one of `ram train`, `ram train --resume` goes on with it"
            )
        return fill(cls, {**document, "agent": agent_from_json(document)}, name="the configuration")


@dataclass(frozen=True, kw_only=True)
class CatchCommand(CatchConfig):
    """Train the Recurrent Attention Model on Catch by REINFORCE, test it, draw it.

    Writes a folder with the metrics, the best model, the state of the training and, at the end,
    scores and pictures. `ram catch --resume FOLDER` goes on exactly after the last whole epoch; of
    a run that is finished it prints the scores and draws the pictures again. There are no labels on
    Catch, so what needs them (--loss hybrid, --baseline informed, a --location-return of
    likelihoods) is refused.
    """

    run_dir: Path | None = None
    """Folder for the run, new or empty; by default a new one in runs/."""
    resume: Path | None = None
    """Folder of a run to go on with, as it was configured: no other option goes with it."""


class CatchTrainer(LearnsByReinforce):
    """Trains an agent on Catch, and validates it on episodes of their own.

    Args:
        run: Where to write, and to go on from if there is a training state.
        config: What to train.
    """

    def __init__(self, run: RunFolder, config: CatchConfig) -> None:
        env = make_envs(config.batch_size, autoreset_mode="Disabled")
        with sole_writer(run):  # whoever was at work there has written all that it will
            if run.latest.exists():
                run.require_unchanged(config)
                agent = Reinforce.load_training_state(run.latest, env, device=config.agent.device)
            else:
                agent = Reinforce(env, **vars(config.agent))
        episodes = config.updates_per_epoch * config.batch_size
        super().__init__(
            run,
            config,
            agent,
            epochs=config.epochs,
            episodes_per_epoch=episodes,
            timesteps_per_epoch=episodes * (env.task.num_glimpses - 1),
        )

    def validate(self) -> dict[str, float]:
        """Returns how many balls are caught, as the accuracy."""
        return {"val_accuracy": float(play(self.agent, VAL_SEEDS).mean())}


def make_envs(num_envs: int, **options: Any) -> CatchVectorEnv:
    """Returns the environments."""
    return cast(CatchVectorEnv, gym.make_vec(CATCH, num_envs=num_envs, **options).unwrapped)


def play(agent: Agent, seeds: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Plays one deterministic episode of each seed, on Catch as it is by default.

    Args:
        agent: Who plays. Its attribute `action_space`, if it has one, says whether its actions are
            of the format `"multi_discrete"`, and on which grid.
        seeds: The episodes.

    Returns:
        Whether the ball was caught, `(len(seeds),)`.

    Raises:
        ValueError: The agent is none, or is made for other actions; or there are no seeds.
    """
    if len(seeds) == 0:
        raise ValueError(f"seeds={seeds!r} are no episodes to play; give at least one")
    options = action_options(agent, CatchTask().num_choices)
    caught = []
    for first in range(0, len(seeds), EPISODES_AT_ONCE):
        batch: list[int | None] = [int(seed) for seed in seeds[first : first + EPISODES_AT_ONCE]]
        env = make_envs(len(batch), autoreset_mode="Disabled", **options)
        require_spaces(agent, env)
        observation, _ = env.reset(seed=batch)
        *_, last = play_steps(agent, env, observation, deterministic=True)
        caught.append(last.info["is_success"])
    return np.concatenate(caught)


def score(agent: Reinforce) -> dict[str, Any]:
    """Returns how many balls are caught in the test episodes, with scripted gazes too, for JSON."""
    caught = play(agent, TEST_SEEDS)
    scripted = {
        name: float(play(WithGaze(agent, gaze), TEST_SEEDS).mean())
        for name, gaze in (("random", RandomGaze(seed=0)), ("center", center_gaze))
    }
    return {
        "version": __version__,
        "num_episodes": len(caught),
        "catch_rate": float(caught.mean()),
        "confidence_interval_95": list(wilson_interval(int(caught.sum()), len(caught))),
        "catch_rate_by_gaze": {"own": float(caught.mean()), **scripted},
    }


def describe(scores: dict[str, Any]) -> str:
    """Returns the scores as text for a person."""
    low, high = scores["confidence_interval_95"]
    gazes = [f"{name} {rate:.2%}" for name, rate in scores["catch_rate_by_gaze"].items()]
    return (
        f"caught {scores['catch_rate']:.2%} of {scores['num_episodes']:,} balls (95% confidence "
        f"interval {low:.2%} to {high:.2%})\ngaze: {', '.join(gazes)}"
    )


def draw(run: RunFolder, agent: Reinforce) -> None:
    """Writes the chart of the training and an animation of the first test episodes."""
    plot_training(run.read_metrics(), run.path / "loss.png", errors_are="balls missed")
    env = gym.make(CATCH, render_mode="rgb_array")
    write_episodes(
        run.path / "episode.gif",
        (play_frames(env, agent, seed=seed) for seed in TEST_SEEDS[:NUM_ANIMATED]),
        seconds=SECONDS_PER_GLIMPSE,
        seconds_at_the_end=SECONDS_AT_THE_END,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Runs `ram catch`."""
    argv = sys.argv[1:] if argv is None else list(argv)
    command = tyro.cli(
        CatchCommand, prog="ram catch", args=argv, config=(tyro.conf.OmitArgPrefixes,)
    )
    run, config = _begin(command, argv)
    print(f"run folder: {run.path}", file=sys.stderr)
    trainer = CatchTrainer(run, config)
    with stopping_cleanly(trainer), ProgressBar(trainer) as progress:
        trainer.train(progress)
    if trainer.stop_signal is not None:
        print(f"stopped; go on with: ram catch --resume {run.path}", file=sys.stderr)
        sys.exit(128 + trainer.stop_signal)
    agent = Reinforce.load(run.best, device=config.agent.device)
    scores = score(agent)
    print(describe(scores), flush=True)
    write_json(run.scores, scores)
    draw(run, agent)


def _begin(command: CatchCommand, argv: list[str]) -> tuple[RunFolder, CatchConfig]:
    if command.resume is not None:
        require_resume_alone(argv)
        run = RunFolder.open(command.resume)
        return run, read_as(CatchConfig.from_json, run.config)
    names = [field.name for field in dataclasses.fields(CatchConfig)]
    config = CatchConfig(**{name: getattr(command, name) for name in names})
    # Made first, to tell at once what is wrong with it, before anything is written.
    Reinforce(make_envs(1), **vars(config.agent))
    return RunFolder.create(command.run_dir, name="catch", config=config), config
