"""Trained agents, from their files."""

from __future__ import annotations

from agents.base import Agent
from agents.devices import find_device
from agents.hyperparameters import Device
from agents.reinforce import Reinforce
from experiments.run_folder import RunFolder


def load_best(run: RunFolder, *, device: Device | None = None) -> Agent:
    """Returns the best model of a run, for `predict`.

    Args:
        run: The run.
        device: Where it is to run; None: as the run was configured.

    Raises:
        ValueError: There is no such model yet, or it is damaged.
    """
    agent = run.read_config().agent
    device = device or agent.device
    if agent.algorithm == "reinforce":
        return Reinforce.load(run.best, device=device)
    require_sb3()
    from sb3_contrib import RecurrentPPO

    if not run.best.is_file():
        raise ValueError(f"there is no checkpoint {str(run.best)!r}")
    return RecurrentPPO.load(run.best, device=find_device(device))


def require_sb3() -> None:
    """Raises a ValueError that says what to install, unless SB3 is there."""
    try:
        import sb3_contrib  # noqa: F401
    except ImportError as error:
        raise ValueError(
            'recurrent_ppo needs Stable-Baselines3: pip install "recurrent-attention[sb3]"'
        ) from error
