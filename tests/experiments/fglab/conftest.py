"""A stand-in for FGMachine, and an experiment that takes a moment."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments import presets
from experiments.fglab import results


class Watcher(threading.Thread):
    """Does what FGMachine's watcher does: uploads files that have stopped changing.

    Args:
        folder: The folder it watches.
        experiment_id: Whose results it waits for.
        seconds_to_settle: For how long a file must stay as it is.

    Attributes:
        appeared: When the results folder appeared, as `time.monotonic()` has it; None: it has not.
        uploads: What was uploaded, by name: all versions, JSON as objects, all else as bytes.
        errors: What would have ended FGMachine.
        strangers: Names that were ever there beside the results folder, or hidden within it.
    """

    def __init__(self, folder: Path, experiment_id: str, *, seconds_to_settle: float) -> None:
        super().__init__(daemon=True)
        self.appeared: float | None = None
        self.uploads: dict[str, list[Any]] = {}
        self.errors: list[str] = []
        self.strangers: set[str] = set()
        self._folder = folder / experiment_id
        self._seconds_to_settle = seconds_to_settle
        self._seen: dict[str, tuple[Any, float, bool]] = {}
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.is_set():
            self._look()
            time.sleep(0.005)

    def finish(self) -> Watcher:
        """Looks on until everything has settled."""
        time.sleep(2 * self._seconds_to_settle)
        self.stop()
        return self

    def stop(self) -> None:
        """Looks no more."""
        self._done.set()
        self.join()

    def _look(self) -> None:
        if not self._folder.is_dir():
            return
        now = time.monotonic()
        self.appeared = self.appeared or now
        for path in self._folder.rglob("*"):
            if path.name.startswith(".") or path.is_dir():
                self.strangers.add(path.name)
                continue
            content = path.read_bytes()
            if path.suffix == ".json":
                self._require_an_object(path.name, content)
            before, since, uploaded = self._seen.get(path.name, (None, now, False))
            if content != before:
                since, uploaded = now, False
            elif not uploaded and now - since >= self._seconds_to_settle:
                uploaded = True
                document = json.loads(content) if path.suffix == ".json" else content
                self.uploads.setdefault(path.name, []).append(document)
            self._seen[path.name] = (content, since, uploaded)

    def _require_an_object(self, name: str, content: bytes) -> None:
        """FGMachine reads JSON at any time after a change, strictly, and dies of what is none."""
        try:
            document = json.loads(content, parse_constant=float.fromhex)
        except ValueError as error:
            self.errors.append(f"{name}: {error}")
            return
        if not isinstance(document, dict) or not document:
            self.errors.append(f"{name}: not an object, or empty")
        elif any(key.startswith("$") or "." in key for key in document):
            self.errors.append(f"{name}: keys that the database refuses")


@pytest.fixture
def watch() -> Iterator[Callable[..., Watcher]]:
    """Starts watchers; takes the arguments of `Watcher`."""
    watchers: list[Watcher] = []

    def start(folder: Path, experiment_id: str, *, seconds_to_settle: float) -> Watcher:
        watchers.append(Watcher(folder, experiment_id, seconds_to_settle=seconds_to_settle))
        watchers[-1].start()
        return watchers[-1]

    yield start
    for watcher in watchers:
        watcher.stop()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tiny_npz: Path) -> list[str]:
    """Makes task 28 a tiny one and FGMachine's times short; returns options that go with it."""
    preset = presets.PRESETS["fglab"]
    task = replace(preset.task, dataset=str(tiny_npz))
    monkeypatch.setitem(presets.PRESETS, "fglab", replace(preset, task=task))
    monkeypatch.setattr(results, "SECONDS_UNTIL_WATCHED", 0.1)
    monkeypatch.setattr(results, "SECONDS_BETWEEN_UPDATES", 0.05)
    monkeypatch.setattr(results, "SECONDS_AFTER_A_BURST", 0.1)
    monkeypatch.setattr(results, "SECONDS_UNTIL_UPLOADED", 0.2)
    sizes = ("locationHiddenSize", "glimpseHiddenSize", "imageHiddenSize", "hiddenSize")
    values = {
        **dict.fromkeys(sizes, 16),
        "glimpsePatchSize": 4,
        "glimpseDepth": 2,
        "unitPixels": 3,
        "rho": 3,
        "batchSize": 25,
        "optimiser": "adam",
        "epochs": 4,
    }
    return [f"--{name}={value}" for name, value in values.items()]
