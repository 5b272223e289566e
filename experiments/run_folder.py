"""The run folder: what a training run writes, and where.

`config.json` and `metrics.csv` are written as the run goes on, `checkpoints/best.*` is the model
with the best validation accuracy so far, `checkpoints/latest.*` the state of the training after the
last whole epoch, `checkpoints/begun_with.json` what the training began with; `scores.json` and the
pictures come at the end.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from agents.checkpoint import DamagedCheckpointError
from agents.files import digest_of, replace_atomically
from agents.hyperparameters import Hyperparameters
from experiments.config import TrainConfig, agent_from_json
from experiments.tables import csv_table
from ram_env import __version__
from ram_env.validation import brief

Read = TypeVar("Read")

RUNS = Path("runs")
ALWAYS_IN_METRICS = {"epoch", "timesteps", "val_accuracy"}
# Fields that may differ when a run goes on: the data may have been moved.
MAY_CHANGE = {"epochs", "agent.device", "task.dataset"}


class Configuration(Protocol):
    """What a run is made of."""

    @property
    def agent(self) -> Hyperparameters:
        """The agent's."""

    @property
    def data(self) -> Path | None:
        """Where the data is; None if it comes with the package."""

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Returns what `to_json` described."""

    def to_json(self) -> dict[str, Any]:
        """Returns what JSON can hold."""


class RunFolder:
    """The files of one run.

    Args:
        path: The folder; use `create` or `open`.
        checkpoint_suffix: Of the files that hold models, which are the algorithm's.

    Attributes:
        path: The folder.
        config: `config.json`.
        metrics: `metrics.csv`, a row for each epoch.
        scores: `scores.json`.
        best: The model of the epoch with the best validation accuracy.
        latest: The training state after the last whole epoch.
        begun_with: What the training was begun with, to tell whether that has changed.
        tensorboard: TensorBoard's logs.
    """

    def __init__(self, path: str | Path, checkpoint_suffix: str = "") -> None:
        self.path = path = Path(path)
        self.config = path / "config.json"
        self.metrics = path / "metrics.csv"
        self.scores = path / "scores.json"
        self.best = path / "checkpoints" / f"best{checkpoint_suffix}"
        self.latest = path / "checkpoints" / f"latest{checkpoint_suffix}"
        self.begun_with = path / "checkpoints" / "begun_with.json"
        self.tensorboard = path / "tensorboard"

    @classmethod
    def create(cls, path: str | Path | None, *, name: str, config: Configuration) -> RunFolder:
        """Makes the folder of a new run.

        Args:
            path: The folder; None makes one in `runs/` of the name and the time.
            name: What the run is called.
            config: Written to `config.json`, with the package's version.

        Raises:
            ValueError: The folder holds a run, or something else, already.
        """
        path = path or _make_new(RUNS / f"{name}-{datetime.now():%Y%m%d-%H%M%S}")
        run = cls(path, config.agent.checkpoint_suffix)
        run.require_unused()
        write_json(run.config, {"version": __version__, **config.to_json()})
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Returns the folder of a run, of `ram catch` too.

        Raises:
            ValueError: There is none, or its configuration is damaged.
        """
        run = cls(path)
        if run.path.is_file() and run.path.name == run.config.name:
            raise ValueError(
                f"{path} is a file; give the run's folder, {run.path.parent}, or, for a new run "
                f"that is configured like it, ram train --preset {path}"
            )
        if not run.config.is_file():
            raise ValueError(f"{path} is not the folder of a run: it has no {run.config.name}")
        return cls(path, run.read_agent().checkpoint_suffix)

    def require_unused(self) -> None:
        """Raises a ValueError if the folder holds a run, or something else, already."""
        if not is_unused(self.path):
            kind = "holds another run" if self.config.exists() else "is not an empty folder"
            raise ValueError(
                f"{self.path} {kind}; give a new folder, or resume the run that it holds"
            )

    def note_beginning(self, config: Configuration) -> None:
        """Writes down what the training begins with, for `require_unchanged`."""
        document = {"version": __version__, **config.to_json(), "data": digest_of(config.data)}
        write_json(self.begun_with, document)

    def require_unchanged(self, config: Configuration) -> None:
        """Checks that the training began as the run is configured by now, and with the same data.

        The device, the number of epochs and the place of the data may be others. A run of a version
        that took no note of its beginning is not checked.

        Raises:
            DamagedCheckpointError: What tells it is damaged.
            ValueError: It was not; the message names what has changed.
        """
        if not self.begun_with.exists():
            return
        try:
            document = read_json(self.begun_with)
            data = document.pop("data", None)
            before = type(config).from_json(document)
        except ValueError as error:
            raise DamagedCheckpointError(
                f"{self.begun_with}: {error}; put the file back, or begin a new run"
            ) from error
        for name, then, now in differences(before.to_json(), config.to_json()):
            if name not in MAY_CHANGE:
                raise ValueError(
                    f"the run in {self.path} has learned with {name}={then!r}, its configuration "
                    f"says {now!r} by now; put that back, or begin a run in another folder"
                )
        is_there = config.data is None or config.data.exists()  # else the environments will tell
        if is_there and digest_of(config.data) != data:
            raise ValueError(
                f"the run in {self.path} has learned from other data than "
                f"{config.data or 'the package'} holds; put that back, or begin a run in another "
                "folder"
            )

    def read_config(self) -> TrainConfig:
        """Returns the configuration of a run of `ram train`; a ValueError if there is none."""
        return read_train_config(self.config)

    def read_agent(self) -> Hyperparameters:
        """Returns the agent's part of a run's configuration; a ValueError if there is none."""
        return read_as(agent_from_json, self.config)

    def read_metrics(self) -> list[dict[str, float]]:
        """Returns the rows of `metrics.csv`, none before the first epoch.

        Raises:
            ValueError: The file is damaged.
        """
        if not self.metrics.exists():
            return []
        try:
            text = self.metrics.read_text()
            names, *rows = csv.reader(text.splitlines())
            if not text.endswith("\n") or not ALWAYS_IN_METRICS.issubset(names):
                raise ValueError("it is not whole")
            return [dict(zip(names, map(_number, row), strict=True)) for row in rows]
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{self.metrics} is damaged: {error}") from error

    def write_metrics(self, rows: list[dict[str, float]]) -> None:
        """Writes all rows of `metrics.csv` anew, so that no half row is ever there."""
        names = list(rows[0])
        write_text(self.metrics, csv_table(names, [[row[name] for name in names] for row in rows]))


@contextmanager
def sole_driver(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Holds a folder, so that no other command works there at the same time.

    The system lets go of it when the process ends, whatever ends it.

    Args:
        folder: Made if it is not there, and taken away again if nothing gets in.
        patience: Seconds to wait for another command to end.

    Raises:
        ValueError: Another command works there, or it is a file.
        OSError: The folder cannot be made.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"folder={str(folder)!r} is a file; give a folder, new or not")
    if sys.platform == "win32":  # which has no such locks
        yield
        return
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        given_up = time.monotonic() + patience
        with suppress(OSError):  # where the file system has no locks, it goes without
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() >= given_up:
                        raise ValueError(
                            f"{folder}: another command is at work there; wait until it has "
                            "ended, or stop it"
                        ) from error
                time.sleep(0.1)
        try:
            yield
        finally:
            with suppress(OSError):  # it is not empty
                folder.rmdir()
    finally:
        os.close(descriptor)


def is_unused(path: Path) -> bool:
    """Returns whether there is nothing, or an empty folder."""
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def write_text(path: Path, text: str) -> None:
    """Writes a text, whole or not at all."""
    with replace_atomically(path) as beside:
        beside.write_text(text)


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Writes strict JSON, whole or not at all; a number of NumPy and a path as JSON has them."""
    text = json.dumps(document, indent=2, allow_nan=False, default=_as_json)
    write_text(path, text + "\n")


def _as_json(value: object) -> Any:
    """Returns what JSON has for a value that it does not know."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise ValueError(f"{brief(value)} cannot be written as JSON, which has text, numbers and lists")


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file.

    Raises:
        ValueError: There is no such file, or it holds none; the message names it.
        OSError: It cannot be read now, whatever it holds.
    """
    try:
        document = json.loads(path.read_text())
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path} holds {type(document).__name__}, not an object")
    return document


def read_train_config(path: Path) -> TrainConfig:
    """Returns the configuration in a file; a ValueError names the file that holds none."""
    return read_as(TrainConfig.from_json, path)


def read_as(parse: Callable[[dict[str, Any]], Read], path: Path) -> Read:
    """Returns what is made of the object in a JSON file; a ValueError names the file."""
    document = read_json(path)
    try:
        return parse(document)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def differences(before: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yields the dotted names of what differs between two documents of JSON, and both values."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        if before != now:
            yield name, before, now
        return
    for key in dict.fromkeys((*before, *now)):
        of = f"{name}.{key}" if name else key
        yield from differences(before.get(key), now.get(key), of)


def _number(text: str) -> float:
    """Returns a number that is written as it was read: 3 is not 3.0."""
    return int(text) if text.isdecimal() else float(text)


def numbered(path: Path) -> Iterator[Path]:
    """Yields the path, and then with a number behind it, from 2 on."""
    yield path
    for number in count(2):
        yield path.with_name(f"{path.name}-{number}")


def _make_new(path: Path) -> Path:
    """Makes a folder that was not there, also if others do the same at this moment."""
    for candidate in numbered(path):
        with suppress(FileExistsError):
            candidate.mkdir(parents=True)
            return candidate
    raise AssertionError("there is always another number")
