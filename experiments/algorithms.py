"""Which code trains which algorithm; SB3, an extra, is imported only where it is used."""

from __future__ import annotations

from experiments.config import TrainConfig
from experiments.reinforce_trainer import ReinforceTrainer
from experiments.saved_agents import require_sb3
from experiments.trainer import Trainer


def find_trainer(config: TrainConfig) -> type[Trainer]:
    """Returns what trains the configuration's algorithm; a ValueError if SB3 is not installed."""
    if config.agent.algorithm == "reinforce":
        return ReinforceTrainer
    require_sb3()
    from experiments.recurrent_ppo_trainer import RecurrentPPOTrainer

    return RecurrentPPOTrainer
