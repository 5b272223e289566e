"""The command `ram`: one verb, one module, imported only when it is asked for."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

VERBS = {
    "train": "Train a Recurrent Attention Model and write a run folder.",
    "evaluate": "Print and save how good a trained model is.",
    "render": "Draw a trained model at work.",
    "benchmark": "Train several agents on several tasks and compare them.",
    "catch": "Train a Recurrent Attention Model on Catch, the paper's dynamic task.",
    "sweep": "Search for hyperparameters, on one machine or many.",
}
BAD_INPUT = 2
INTERRUPTED = 130
UNHEARD = 141  # as of a program that SIGPIPE ends


def main(argv: Sequence[str] | None = None) -> None:
    """Runs `ram VERB ...`; bad input is answered in one line, without a traceback."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return
    if argv[0] == "--version":
        from ram_env import __version__  # here, as the help needs no environment

        print(f"recurrent-attention {__version__}")
        return
    verb, *rest = argv
    if verb not in VERBS:
        sys.exit(_complain(f"unknown command {verb!r}; the commands are {', '.join(VERBS)}"))
    try:
        importlib.import_module(f"experiments.{verb}").main(rest)
        sys.stdout.flush()
    except ModuleNotFoundError as error:
        extra = (
            'what it needs is not installed; pip install "recurrent-attention[agents]" brings it'
        )
        sys.exit(_complain(f"{error}: {extra}"))
    except ValueError as error:
        sys.exit(_complain(str(error)))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever reads along, `head` say, has seen enough
        # So that flushing what is left, on the way out, does not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(UNHEARD)
    except MemoryError as error:
        sys.exit(_complain(f"there is not enough memory; give a smaller batch: {error}"))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        sys.exit(_complain(f"there is not enough memory; give a smaller batch: {error}"))
    except OSError as error:  # a file that is where a folder should be, a full disk
        sys.exit(_complain(str(error)))


def is_out_of_memory(error: RuntimeError) -> bool:
    """Returns whether PyTorch, which need not be imported by now, found too little memory."""
    return type(error).__name__ == "OutOfMemoryError" or "not enough memory" in str(error)


def _usage() -> str:
    lines = [f"  {verb:<10}{text}" for verb, text in VERBS.items()]
    return "\n".join(
        [
            "usage: ram COMMAND [OPTIONS]",
            "",
            *lines,
            "",
            "`ram COMMAND --help` lists a command's options, `ram --version` tells the version.",
        ]
    )


def _complain(message: str) -> int:
    print(f"ram: {message}", file=sys.stderr)
    return BAD_INPUT


if __name__ == "__main__":
    main()
