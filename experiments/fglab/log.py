"""What FGLab shows live: whole lines on stdout, at once, and nothing that only a terminal knows."""

from __future__ import annotations

import os
import sys


def say(text: str) -> None:
    """Prints lines at once; that nobody listens any more is no reason to stop."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Or Python complains of it once more when it ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
