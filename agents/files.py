"""Files that are there whole or not at all, and what tells whether they have changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a path to write to; what was written there then takes the place of `path` at once.

    Whoever reads meanwhile, or after the program was killed or the power failed, finds the old file
    or the new one. If the block raises, the old file stays, and nothing else.

    Args:
        path: The file to make or to replace; its folder is made if need be.

    Yields:
        A hidden path in the same folder, as only within a file system a move is atomic. Its name
        says nothing about the format, so writers have to be told.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield beside
        with beside.open("r+b") as file:
            os.fsync(file.fileno())  # the move must not be on disk before the contents are
        beside.replace(path)
    except OSError as error:
        if error.errno is not None:  # the system's, which does not say which disk is full
            error.filename = str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)


def digest_of(path: Path | None) -> str | None:
    """Returns what changes with the content of a file, or of the files in a folder."""
    if path is None or not path.exists():
        return None
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as contents:
            while part := contents.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()
