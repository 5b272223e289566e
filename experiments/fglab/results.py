"""The results folder, as FGMachine watches it.

What is here was measured on the real FGMachine: it uploads a file about two seconds after the file
stopped changing, parses every `.json` at that moment (and dies of one that is not JSON), sees only
folders that appear once it is ready, loses files that appear in a burst unless something appears
later on, and deletes the folder ten seconds after the program has ended.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS_UNTIL_WATCHED = 1.0  # from the start of the process
SECONDS_BETWEEN_UPDATES = 3.0  # of one file; faster ones are not uploaded each
SECONDS_AFTER_A_BURST = 1.5
NUM_REMINDERS = 2  # one was too few for 1 of 20 experiments on a busy machine
SECONDS_UNTIL_UPLOADED = 3.0


class Results:
    """The results folder of one experiment, in which every file is there whole or not at all.

    Args:
        watched: The folder that FGMachine watches; it is made if need be.
        experiment_id: The experiment's id, the name of its folder in there.

    Raises:
        ValueError: There is a folder of that name already, which FGMachine would not look at.

    Attributes:
        path: The folder.
    """

    def __init__(self, watched: Path, experiment_id: str) -> None:
        self.path = watched / experiment_id
        self._beside = watched / f".{experiment_id}.{os.getpid()}.tmp"
        self._last_update: dict[str, float] = {}
        if self.path.exists():
            raise ValueError(
                f"{self.path} is there already, and FGMachine uploads nothing of a folder that it "
                "has not seen appear; remove it, or give another _id"
            )

    def appear(self, process_started: float) -> None:
        """Makes the folder, when FGMachine is ready to see it.

        Args:
            process_started: `time.monotonic()` when the process began.
        """
        time.sleep(max(0.0, process_started + SECONDS_UNTIL_WATCHED - time.monotonic()))
        self.path.mkdir(parents=True)

    def write_json(self, name: str, document: dict[str, Any]) -> None:
        """Writes an object that is not empty as strict JSON.

        Raises:
            ValueError: It is empty, or holds a number that JSON has not.
        """
        if not document:
            raise ValueError(f"{name}: FGMachine does not survive an empty object")
        text = json.dumps(document, allow_nan=False)
        with self._replacing(name) as beside:
            beside.write_text(text + "\n")
        self._last_update[name] = time.monotonic()

    def is_due(self, name: str) -> bool:
        """Returns whether a file may be written again so that FGMachine notices."""
        return time.monotonic() >= self._last_update.get(name, 0.0) + SECONDS_BETWEEN_UPDATES

    def add(self, file: Path) -> None:
        """Copies a file, under its own name."""
        with self._replacing(file.name) as beside:
            shutil.copyfile(file, beside)

    def finish(self, last: dict[str, Any]) -> None:
        """Writes `notes.json` as the last file, and stays until FGMachine has uploaded all.

        A file that appears after a burst of others makes FGMachine look for what it has missed.
        """
        for _ in range(NUM_REMINDERS):
            time.sleep(SECONDS_AFTER_A_BURST)
            self.write_json("notes.json", last)
        time.sleep(SECONDS_UNTIL_UPLOADED)

    @contextmanager
    def _replacing(self, name: str) -> Iterator[Path]:
        """Yields a hidden path beside the experiment's folder; a file moves in as a whole."""
        try:
            yield self._beside
            self._beside.replace(self.path / name)
        finally:
            self._beside.unlink(missing_ok=True)
