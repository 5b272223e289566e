"""Trained agents, from run folders of one's own and from those that come with the package."""

from __future__ import annotations

from pathlib import Path

from agents.base import Agent
from agents.hyperparameters import Device
from agents.reinforce import Reinforce
from experiments.run_folder import RunFolder
from ram_env.validation import require_choice

PRETRAINED = Path(__file__).parent / "pretrained"
PREFIX = "pretrained:"


def pretrained_names() -> list[str]:
    """Returns the names of the models that come with the package, as in `pretrained:NAME`."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))


def is_pretrained(run: str | Path) -> bool:
    """Returns whether a run, as it is named on the command line, came with the package."""
    return str(run).startswith(PREFIX)


def open_run(run: str | Path) -> RunFolder:
    """Returns a run folder by its path, or by `pretrained:NAME` one that came with the package.

    Raises:
        ValueError: There is no such folder or name; the message lists the names there are.
    """
    if not is_pretrained(run):
        if str(run) in pretrained_names() and not Path(run).exists():
            raise ValueError(
                f"there is no folder {run}; the model that came with the package is {PREFIX}{run}"
            )
        return RunFolder.open(run)
    name = str(run).removeprefix(PREFIX)
    require_choice("pretrained", name, pretrained_names())
    return RunFolder.open(PRETRAINED / name)


def load_best(run: RunFolder | str | Path, *, device: Device | None = None) -> Agent:
    """Returns the best model of a run, for `predict`.

    Args:
        run: The run, of `ram catch` too, or its name as for `open_run`.
        device: Where it is to run; None: as the run was configured.

    Raises:
        ValueError: There is no such model yet, or it is damaged.
    """
    if not isinstance(run, RunFolder):
        run = open_run(run)
    agent = run.read_agent()
    device = device or agent.device
    if agent.algorithm == "reinforce":
        return Reinforce.load(run.best, device=device)
    require_sb3()
    from agents.recurrent_ppo import load_recurrent_ppo

    return load_recurrent_ppo(run.best, device=device)


def require_sb3() -> None:
    """Raises a ValueError that says what to install, unless SB3 is there."""
    try:
        import sb3_contrib  # noqa: F401
    except ImportError as error:
        raise ValueError(
            'recurrent_ppo needs Stable-Baselines3: pip install "recurrent-attention[sb3]"'
        ) from error
