"""Which code trains which algorithm; SB3, an extra, is imported only where it is used."""

from __future__ import annotations

from pathlib import Path

from agents.checkpoint import DamagedCheckpointError
from experiments.config import TrainConfig
from experiments.reinforce_trainer import ReinforceTrainer
from experiments.run_folder import RunFolder, numbered
from experiments.saved_agents import require_sb3
from experiments.trainer import Trainer


def find_trainer(config: TrainConfig) -> type[Trainer]:
    """Returns what trains the configuration's algorithm; a ValueError if SB3 is not installed."""
    if config.agent.algorithm == "reinforce":
        return ReinforceTrainer
    require_sb3()
    from experiments.recurrent_ppo_trainer import RecurrentPPOTrainer

    return RecurrentPPOTrainer


def go_on_or_start(folder: Path, config: TrainConfig) -> Trainer:
    """Returns a trainer that goes on with the run in a folder, or starts it if it is not there.

    For runs that others start, and start again where their process has died. What is there but is
    damaged, or another run, is set aside under another name.

    Raises:
        ValueError: The run cannot be gone on with, or begun, here: there is no such GPU, or no such
            data, or other data than it was begun with. Nothing is changed.
    """
    trainer_of = find_trainer(config)
    if _holds(folder, config):
        try:
            return trainer_of.resume(RunFolder.open(folder))
        except DamagedCheckpointError:
            pass
    agent = trainer_of.new_agent(config)
    if folder.exists():
        names = numbered(folder.with_name(f"{folder.name}-set-aside"))
        folder.rename(next(path for path in names if not path.exists()))
    return trainer_of(RunFolder.create(folder, name=folder.name, config=config), config, agent)


def _holds(folder: Path, config: TrainConfig) -> bool:
    """Returns whether a folder holds a run of this configuration."""
    try:
        return RunFolder.open(folder).read_config() == config
    except ValueError:
        return False
