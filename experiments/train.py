"""`ram train`: trains a Recurrent Attention Model, and writes the run folder."""

from __future__ import annotations

import dataclasses
import signal
import sys
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Protocol

import numpy as np
import tyro
from gymnasium.vector import AutoresetMode
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from agents.reinforce import Reinforce, UpdateMetrics
from experiments.config import TrainConfig
from experiments.evaluate import Evaluation, describe, evaluate, evaluation_env, make_env, score
from experiments.presets import DEFAULT_PRESET, PRESETS, find_preset
from experiments.render import draw_run
from experiments.run_folder import RunFolder, write_json
from ram_env import GlimpseVectorEnv, load_dataset
from ram_env.datasets import official_splits

NUM_RECENT = 50  # updates that the progress bar averages over


class Progress(Protocol):
    """Who is told of how training goes."""

    def on_update(self, metrics: UpdateMetrics) -> None:
        """Is told of an update."""

    def on_epoch(self, row: dict[str, float]) -> None:
        """Is told of an epoch, its row of the metrics, once all of it is written."""


class Trainer:
    """Trains an agent epoch by epoch, and keeps the run folder up to date.

    After each epoch it evaluates on `val`, writes the model if it is the best so far, then the
    metrics, and at last the training state. So wherever it is killed, the training state on disk
    is that of a whole epoch, and going on from it repeats what was lost, number by number.

    Args:
        run: Where to write.
        config: What to train.
        agent: The agent, as it was after the last whole epoch.

    Attributes:
        rows: The metrics of the whole epochs so far.
        episodes_per_epoch: How many episodes an epoch has.
        stop_signal: Set it to make training stop after the current update.
    """

    def __init__(self, run: RunFolder, config: TrainConfig, agent: Reinforce) -> None:
        self.run = run
        self.config = config
        self.agent = agent
        self.stop_signal: signal.Signals | None = None
        self._validation_env = evaluation_env(config.task, "val")
        num_items = len(load_dataset(config.task.dataset, "train"))
        self.episodes_per_epoch = max(1, num_items // config.batch_size) * config.batch_size
        self._timesteps_per_epoch = self.episodes_per_epoch * self._validation_env.task.num_glimpses
        # Rows beyond the training state are of an epoch that will be repeated.
        self.rows = run.read_metrics()[: agent.num_timesteps // self._timesteps_per_epoch]

    @classmethod
    def start(cls, run: RunFolder, config: TrainConfig) -> Trainer:
        """Returns a trainer with a new agent."""
        return cls(run, config, Reinforce(_training_env(config), **vars(config.agent)))

    @classmethod
    def resume(cls, run: RunFolder) -> Trainer:
        """Returns a trainer that goes on after the last whole epoch of a run.

        Raises:
            ValueError: The folder's configuration or training state is damaged.
        """
        config = run.read_config()
        if not run.latest.exists():  # stopped within the first epoch
            return cls.start(run, config)
        env = _training_env(config)
        agent = Reinforce.load_training_state(run.latest, env, device=config.agent.device)
        return cls(run, config, agent)

    def train(self, progress: Progress) -> None:
        """Trains the epochs that are left, or until `stop_signal` is set."""
        first = len(self.rows)
        with SummaryWriter(str(self.run.tensorboard), purge_step=first + 1) as board:
            for epoch in range(first + 1, self.config.epochs + 1):
                began = time.perf_counter()
                means = self._learn_epoch(progress)
                if self.stop_signal is not None:
                    return
                images_per_second = self.episodes_per_epoch / (time.perf_counter() - began)
                row = {"epoch": epoch, "timesteps": self.agent.num_timesteps, **means}
                self._finish_epoch(row | self._validate())
                board.add_scalar("images_per_second", images_per_second, epoch)
                for name, value in self.rows[-1].items():
                    board.add_scalar(name, value, epoch)
                progress.on_epoch(self.rows[-1])

    def _learn_epoch(self, progress: Progress) -> dict[str, float]:
        """Learns from one epoch's episodes and returns the means of the updates' metrics."""
        updates: list[UpdateMetrics] = []

        def on_update(agent: Reinforce, metrics: UpdateMetrics) -> bool:
            updates.append(metrics)
            progress.on_update(metrics)
            return self.stop_signal is None

        self.agent.learn(
            self._timesteps_per_epoch,
            callback=on_update,
            reset_num_timesteps=False,
            schedule_timesteps=self.config.epochs * self._timesteps_per_epoch,
        )
        return {f"train_{name}": mean for name, mean in _mean(updates)._asdict().items()}

    def _validate(self) -> dict[str, float]:
        evaluation = evaluate(self.agent, self._validation_env)
        return {"val_cross_entropy": evaluation.cross_entropy, "val_accuracy": evaluation.accuracy}

    def _finish_epoch(self, row: dict[str, float]) -> None:
        """Writes what an epoch leaves behind, and last the training state, which counts it."""
        best_so_far = max((earlier["val_accuracy"] for earlier in self.rows), default=-1.0)
        if row["val_accuracy"] > best_so_far:
            self.agent.save(self.run.best)
        self.rows.append(row)
        self.run.write_metrics(self.rows)
        self.agent.save_training_state(self.run.latest)


class ProgressBar:
    """A bar on stderr, in images, with means of the latest updates.

    Args:
        trainer: Whose training.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._recent: deque[UpdateMetrics] = deque(maxlen=NUM_RECENT)
        self._bar = tqdm(
            total=trainer.config.epochs * trainer.episodes_per_epoch,
            initial=len(trainer.rows) * trainer.episodes_per_epoch,
            unit="img",
            unit_scale=True,
            dynamic_ncols=True,
            smoothing=0.05,
        )
        self._name_epoch()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._bar.close()

    def on_update(self, metrics: UpdateMetrics) -> None:
        """Moves the bar on."""
        self._recent.append(metrics)
        recent, rows = _mean(self._recent), self._trainer.rows
        numbers = f"loss={recent.loss:.3f} reward={recent.reward:.3f} acc={recent.accuracy:.1%}"
        numbers += f" val={rows[-1]['val_accuracy']:.2%}" if rows else ""
        self._bar.set_postfix_str(numbers, refresh=False)
        self._bar.update(self._trainer.config.batch_size)

    def on_epoch(self, row: dict[str, float]) -> None:
        """Names the epoch that follows, if one does."""
        self._recent.clear()
        if row["epoch"] < self._trainer.config.epochs:
            self._name_epoch()

    def _name_epoch(self) -> None:
        epochs = self._trainer.config.epochs
        self._bar.set_description(f"epoch {min(len(self._trainer.rows) + 1, epochs)}/{epochs}")


class Tested(NamedTuple):
    """The best model of a run, tested.

    Attributes:
        agent: The model.
        env: The evaluation environments it was tested in.
        evaluation: What it did there.
        scores: What `score` makes of that.
    """

    agent: Reinforce
    env: GlimpseVectorEnv
    evaluation: Evaluation
    scores: dict[str, Any]


def score_best(run: RunFolder, config: TrainConfig) -> Tested:
    """Tests the best model of a run, once, and writes the scores."""
    agent = Reinforce.load(run.best, device=config.agent.device)
    env = evaluation_env(config.task, "test")
    evaluation = evaluate(agent, env)
    scores = score(agent, env, evaluation)
    write_json(run.scores, scores)
    return Tested(agent, env, evaluation, scores)


def _mean(updates: Collection[UpdateMetrics]) -> UpdateMetrics:
    return UpdateMetrics(*np.mean(list(updates), axis=0).tolist())


def _training_env(config: TrainConfig) -> GlimpseVectorEnv:
    """Returns the environments to learn in; every rollout resets them all.

    Raises:
        ValueError: The scenes to train on have another size than those to be tested on.
    """
    env = make_env(
        config.task,
        "train",
        num_envs=config.batch_size,
        autoreset_mode=AutoresetMode.DISABLED,
        **config.task.training_scene,
    )
    tested = evaluation_env(config.task, "val").task.image_size
    if env.task.image_size != tested:
        raise ValueError(
            f"train_scene={config.task.train_scene!r} makes images of {env.task.image_size} "
            f"pixels, those to be tested on have {tested}; give another --train-scene, or None"
        )
    return env


@contextmanager
def stopping_cleanly(trainer: Trainer) -> Iterator[None]:
    """Makes Ctrl-C and SIGTERM stop the trainer after its current update; a second one kills."""

    def stop(number: int, _frame: FrameType | None) -> None:
        trainer.stop_signal = signal.Signals(number)
        signal.signal(number, signal.SIG_DFL)

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@dataclass(frozen=True, kw_only=True)
class TrainCommand(TrainConfig):
    """Train a Recurrent Attention Model by REINFORCE.

    Writes a run folder with the metrics, the best and the latest checkpoint and, at the end, the
    test scores and pictures. Ctrl-C stops it; `ram train --resume FOLDER` goes on exactly.
    """

    preset: tyro.extras.literal_type_from_choices(list(PRESETS)) = DEFAULT_PRESET  # type: ignore[valid-type]
    """Where the defaults of all other options come from."""
    run_dir: Path | None = None
    """Folder for the run, used as it is; by default a new one in runs/."""
    resume: Path | None = None
    """Folder of a run to go on with, as it was configured: no other option goes with it."""

    @property
    def config(self) -> TrainConfig:
        """The configuration alone."""
        names = [field.name for field in dataclasses.fields(TrainConfig)]
        return TrainConfig(**{name: getattr(self, name) for name in names})


def main(argv: Sequence[str] | None = None) -> None:
    """Runs `ram train`."""
    argv = sys.argv[1:] if argv is None else list(argv)
    command = tyro.cli(
        TrainCommand,
        prog="ram train",
        args=argv,
        default=_defaults(argv),
        config=(tyro.conf.OmitArgPrefixes,),
    )
    if command.resume is None:
        run, trainer = _start(command)
    else:
        if len(argv) > len(["--resume", "FOLDER"]):
            raise ValueError(f"--resume goes on with a run as it was configured, alone; got {argv}")
        run = RunFolder.open(command.resume)
        trainer = Trainer.resume(run)
    with stopping_cleanly(trainer), ProgressBar(trainer) as progress:
        trainer.train(progress)
    if trainer.stop_signal is not None:
        print(f"stopped; go on with: ram train --resume {run.path}", file=sys.stderr)
        sys.exit(128 + trainer.stop_signal)
    tested = score_best(run, trainer.config)
    print(describe(tested.scores))
    draw_run(run, trainer.config.task, tested.agent, tested.env, tested.evaluation)
    print(f"\n{run.path}: " + ", ".join(sorted(path.name for path in run.path.iterdir())))


def _start(command: TrainCommand) -> tuple[RunFolder, Trainer]:
    config = command.config
    if not official_splits(config.task.dataset):
        raise ValueError(
            f"--dataset {config.task.dataset} has no test set of its own to report on; training "
            "needs x_train, y_train, x_test and y_test, or a folder of IDX files"
        )
    # Made first, to tell at once what is wrong with the task, before anything is written.
    evaluation_env(config.task, "test")
    agent = Reinforce(_training_env(config), **vars(config.agent))
    run = RunFolder.create(command.run_dir, name=command.preset, config=config)
    print(f"run folder: {run.path}", file=sys.stderr)
    return run, Trainer(run, config, agent)


def _defaults(argv: list[str]) -> TrainCommand:
    """Returns the options' defaults: the preset's that is asked for, or the environment's own."""
    env = _option(argv, "--env")
    own = [name for name, preset in PRESETS.items() if preset.task.env == env]
    name = _option(argv, "--preset") or next(iter(own), DEFAULT_PRESET)
    return TrainCommand(**vars(find_preset(name)), preset=name)


def _option(argv: list[str], option: str) -> str | None:
    """Returns the value that follows an option, None if it is not there."""
    for argument, following in zip_longest(argv, argv[1:]):
        if argument == option:
            return following
        if argument.startswith(f"{option}="):
            return argument.removeprefix(f"{option}=")
    return None


if __name__ == "__main__":
    main()
