"""`python -m experiments.fglab`: what FGLab starts in place of the Torch7 example."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

from experiments.cli import INTERRUPTED, is_out_of_memory
from experiments.fglab.options import read_arguments
from experiments.fglab.readme import option_table

BAD_INPUT = 2
STARTED = time.monotonic()


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the experiment that the arguments ask for; bad input ends with a line and status 2."""
    argv = sys.argv[1:] if argv is None else argv
    signal.signal(signal.SIGTERM, _exit)
    if argv and argv[0] in ("-h", "--help"):
        print(f"usage: python -m experiments.fglab [OPTION VALUE]... -_id ID\n\n{option_table()}")
        return
    try:
        request = read_arguments(argv)
        if request.gpu is not None:  # before PyTorch looks for one
            os.environ["CUDA_VISIBLE_DEVICES"] = str(request.gpu)
        from experiments.fglab.experiment import run

        run(request, STARTED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except (ValueError, MemoryError, OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        print(f"experiments.fglab: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)


def _exit(number: int, _frame: FrameType | None) -> None:
    """Ends the process as a signal asks, by way of all that has to be put in order."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
