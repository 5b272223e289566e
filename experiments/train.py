"""`ram train`: trains an agent, and writes the run folder."""

from __future__ import annotations

import dataclasses
import signal
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import FrameType
from typing import Annotated

import numpy as np
import tyro
from tqdm import tqdm

from agents.devices import find_device
from agents.hyperparameters import ALGORITHMS
from agents.processes import Share, joined_processes
from experiments.algorithms import find_trainer
from experiments.config import TrainConfig
from experiments.evaluate import describe, evaluate_best, evaluation_task, score
from experiments.presets import (
    DEFAULT_AGENT,
    DEFAULT_PRESET,
    PRESETS,
    find_preset,
    preset_of,
    preset_title,
)
from experiments.render import draw_run
from experiments.run_folder import RunFolder, write_json
from experiments.trainer import EpochTrainer, Trainer

NUM_RECENT = 50  # updates that the progress bar averages over
# Seconds between two states of the bar: on a terminal, and in a log, where each stays.
TERMINAL_SECONDS, LOG_SECONDS = 0.1, 30.0


class ProgressBar:
    """A bar on stderr, in environment steps, with means of the latest updates.

    Where stderr is a file or a pipe, it gets a new state each epoch, and each half minute.

    Args:
        trainer: Whose training.
        is_shown: Whether there is a bar at all.
    """

    def __init__(self, trainer: EpochTrainer, *, is_shown: bool = True) -> None:
        self._trainer = trainer
        self._recent: deque[tuple[float, float]] = deque(maxlen=NUM_RECENT)
        self._bar = tqdm(
            disable=not is_shown,
            total=trainer.total_timesteps,
            initial=trainer.agent.num_timesteps,
            unit="step",
            unit_scale=True,
            dynamic_ncols=True,
            mininterval=TERMINAL_SECONDS if sys.stderr.isatty() else LOG_SECONDS,
            smoothing=0.05,
        )
        self._name_epoch()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._bar.close()

    def on_update(self, loss: float, reward: float) -> None:
        """Moves the bar on."""
        self._recent.append((loss, reward))
        self._show_numbers()
        self._bar.update(self._trainer.agent.num_timesteps - self._bar.n)

    def on_epoch(self, row: dict[str, float]) -> None:
        """Names the epoch that follows, if one does."""
        self._show_numbers()
        self._recent.clear()
        if row["epoch"] < self._trainer.epochs:
            self._name_epoch()

    def _show_numbers(self) -> None:
        mean_loss, mean_reward = np.mean(self._recent, axis=0)
        rows = self._trainer.rows
        numbers = f"loss={mean_loss:.3f} reward={mean_reward:.3f}"
        numbers += f" val={rows[-1]['val_accuracy']:.2%}" if rows else ""
        self._bar.set_postfix_str(numbers, refresh=False)

    def _name_epoch(self) -> None:
        epochs = self._trainer.epochs
        self._bar.set_description(f"epoch {min(self._trainer.epochs_learned + 1, epochs)}/{epochs}")


@contextmanager
def stopping_cleanly(trainer: EpochTrainer) -> Iterator[None]:
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
    """Train an agent: the Recurrent Attention Model by REINFORCE, or SB3's recurrent PPO.

    Writes a run folder with the metrics, the best and the latest checkpoint and, at the end, the
    test scores and pictures. Ctrl-C stops it; `ram train --resume FOLDER` goes on: with REINFORCE
    exactly as if it had never stopped.
    """

    preset: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = DEFAULT_PRESET
    """Where the defaults of all other options come from: fglab, paper-28, paper-translated,
    paper-cluttered, paper-cluttered-100, mnih-2014, or a file such as the best.json of ram sweep.
    With --env alone, it is the preset of that environment."""
    algorithm: Annotated[
        tyro.extras.literal_type_from_choices(list(ALGORITHMS)),  # type: ignore[valid-type]
        tyro.conf.arg(name="agent"),
    ] = DEFAULT_AGENT
    """The agent; each has options of its own, see `ram train --agent NAME --help`."""
    run_dir: Path | None = None
    """Folder for the run, new or empty; by default a new one in runs/."""
    resume: Path | None = None
    """Folder of a run to go on with, as it was configured: no other option goes with it."""

    @property
    def config(self) -> TrainConfig:
        """The configuration alone."""
        names = [field.name for field in dataclasses.fields(TrainConfig)]
        values = {name: getattr(self, name) for name in names}
        return TrainConfig(**{**values, "task": self.task.with_absolute_path})


def main(argv: Sequence[str] | None = None) -> None:
    """Runs `ram train`."""
    argv = sys.argv[1:] if argv is None else list(argv)
    command = tyro.cli(
        TrainCommand,
        prog="ram train",
        args=argv,
        default=_defaults(argv),
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.AvoidSubcommands),
    )
    if command.resume is not None:
        require_resume_alone(argv)
    resumed = None if command.resume is None else RunFolder.open(command.resume)
    config = command.config if resumed is None else resumed.read_config()
    with joined_processes(use_gpus=find_device(config.agent.device).type == "cuda") as share:
        _require_shareable(config, share)
        if resumed is None:
            trainer = _start(command, share)
        else:
            trainer = find_trainer(config).resume(resumed)
        with stopping_cleanly(trainer), ProgressBar(trainer, is_shown=share.is_first) as progress:
            trainer.train(progress)
    if trainer.stop_signal is not None:
        if share.is_first:
            print(f"stopped; go on with: ram train --resume {trainer.run.path}", file=sys.stderr)
        sys.exit(128 + trainer.stop_signal)
    if share.is_first:
        _conclude(trainer.run)


def require_resume_alone(argv: Sequence[str]) -> None:
    """Checks that `--resume FOLDER`, or `--resume=FOLDER`, is all that there is."""
    if len(argv) != 1 + (argv[0] == "--resume") or not argv[0].startswith("--resume"):
        raise ValueError(f"--resume goes on with a run as it was configured, alone; got {argv}")


def _conclude(run: RunFolder) -> None:
    """Tests the best model, once, and writes and prints what comes of it."""
    tested = evaluate_best(run)
    scores = score(*tested)
    print(describe(scores), flush=True)
    write_json(run.scores, scores)
    draw_run(run.path, run, tested)
    print(f"\n{run.path}: " + ", ".join(sorted(path.name for path in run.path.iterdir())))


def _require_shareable(config: TrainConfig, share: Share) -> None:
    if not share.is_whole and config.agent.algorithm != DEFAULT_AGENT:
        raise ValueError(
            f"agent={config.agent.algorithm!r} trains in one process; only {DEFAULT_AGENT!r} can "
            "be shared out by torchrun"
        )


def _start(command: TrainCommand, share: Share) -> Trainer:
    config = command.config
    # Made first, to tell at once what is wrong with the task, before anything is written.
    evaluation_task(config.task, "test")
    trainer_of = find_trainer(config)
    agent = trainer_of.new_agent(config)
    run = _make_folder(command, config, share)
    return trainer_of(run, config, agent)


def _make_folder(command: TrainCommand, config: TrainConfig, share: Share) -> RunFolder:
    """Returns the run's folder, which the first process makes for all."""
    path = command.run_dir
    if share.is_first:
        path = RunFolder.create(path, name=preset_title(command.preset), config=config).path
        print(f"preset: {command.preset}\nrun folder: {path}", file=sys.stderr)
    path = share.from_first(path)
    assert path is not None
    return RunFolder.open(path)


def _defaults(argv: list[str]) -> TrainCommand:
    """Returns the options' defaults: the preset's that is asked for, or the environment's own."""
    name = _option(argv, "--preset") or preset_of(_option(argv, "--env"))
    _require_no_folder(name)
    config = find_preset(name, _option(argv, "--agent"))
    return TrainCommand(**vars(config), preset=name, algorithm=config.agent.algorithm)


def _require_no_folder(preset: str) -> None:
    config = RunFolder(preset).config
    if preset not in PRESETS and config.is_file():
        raise ValueError(
            f"preset={preset!r} is the folder of a run: --preset {config} begins a new one that is "
            f"configured like it, --resume {preset} goes on with it"
        )


def _option(argv: list[str], option: str) -> str | None:
    """Returns the value that follows an option, the last time it is there; None if it is not."""
    value: str | None = None
    for argument, following in zip_longest(argv, argv[1:]):
        if argument == option:
            value = following
        elif argument.startswith(f"{option}="):
            value = argument.removeprefix(f"{option}=")
    return value
