"""Which code trains which algorithm; SB3, an extra, is imported only where it is used."""

from __future__ import annotations

import shutil
from pathlib import Path

from experiments.config import TrainConfig
from experiments.reinforce_trainer import ReinforceTrainer
from experiments.run_folder import RunFolder
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

    For runs that others start, and start again where their process has died; what cannot be gone on
    with, or is another run, is begun anew.
    """
    trainer_of = find_trainer(config)
    if RunFolder(folder).config.exists():
        try:
            run = RunFolder.open(folder)
            if run.read_config() == config:
                return trainer_of.resume(run)
        except ValueError:  # damaged
            pass
    shutil.rmtree(folder, ignore_errors=True)
    return trainer_of.start(RunFolder.create(folder, name=folder.name, config=config), config)
