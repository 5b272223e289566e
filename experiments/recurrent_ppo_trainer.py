"""Training of SB3's recurrent PPO, by SB3's own loop, callbacks and logger."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure

from agents.base import LearningDivergedError
from agents.files import replace_atomically
from agents.hyperparameters import RecurrentPPOHyperparameters
from agents.recurrent_ppo import (
    RecurrentPPO,
    learning_environments,
    load_recurrent_ppo,
    make_recurrent_ppo,
)
from agents.seeds import learning_seeds
from experiments.config import TrainConfig
from experiments.trainer import Progress, Trainer, episodes_of_an_epoch, training_env

# What SB3 logs of an update, means over its minibatches (of the loss, the last one's), and what
# that is called here.
METRICS = {
    "train/loss": "train_loss",
    "train/policy_gradient_loss": "train_policy_gradient_loss",
    "train/value_loss": "train_value_loss",
    "train/entropy_loss": "train_entropy_loss",
}
SB3_LOGS = "sb3"  # folder of SB3's own logs, whose steps are environment steps


class RecurrentPPOTrainer(Trainer):
    """See `Trainer`; episodes and exploration after a resume are others than they would have been.

    SB3 does not keep what they depend on: its rollouts end in the middle of episodes.
    """

    @classmethod
    def new_agent(cls, config: TrainConfig) -> RecurrentPPO:
        """See `Trainer.new_agent`; a rollout may not be longer than an epoch."""
        assert isinstance(config.agent, RecurrentPPOHyperparameters)
        env = training_env(config, AutoresetMode.SAME_STEP)
        rollout = config.agent.n_steps * config.batch_size
        epoch = episodes_of_an_epoch(config) * env.task.num_glimpses
        if rollout > epoch:
            raise ValueError(
                f"n_steps={config.agent.n_steps} in each of batch_size={config.batch_size} "
                f"environments make a rollout of {rollout} steps, and an epoch has {epoch}; give a "
                "smaller batch_size or n_steps"
            )
        return make_recurrent_ppo(env, **vars(config.agent))

    @classmethod
    def read_training_state(cls, path: Path, config: TrainConfig) -> RecurrentPPO:
        """See `Trainer.read_training_state`."""
        env = learning_environments(training_env(config, AutoresetMode.SAME_STEP))
        agent = load_recurrent_ppo(path, env, device=config.agent.device)
        agent.set_random_seed(learning_seeds(config.agent.seed, agent.num_timesteps).env)
        return agent

    def write_model(self, path: Path) -> None:
        """See `Trainer.write_model`; SB3's files hold the optimiser's state, too."""
        with replace_atomically(path) as beside:
            self.agent.save(beside)

    def write_training_state(self, path: Path) -> None:
        """See `Trainer.write_training_state`."""
        self.write_model(path)

    def learn_epochs(self, progress: Progress) -> None:
        """See `Trainer.learn_epochs`."""
        self.agent.set_logger(configure(str(self.run.tensorboard / SB3_LOGS), ["tensorboard"]))
        try:
            self.agent.learn(
                self.total_timesteps - self.agent.num_timesteps,
                callback=_Epochs(self, progress),
                reset_num_timesteps=False,
            )
        except ValueError as error:
            if not str(error).startswith("Expected parameter"):  # PyTorch's, of probabilities
                raise
            raise LearningDivergedError(
                f"learning has diverged at timestep {self.agent.num_timesteps}: probabilities are "
                "no longer numbers; give a lower learning_rate"
            ) from error


class _Returns:
    """Counts episodes, and adds up their rewards."""

    def __init__(self) -> None:
        self.episodes = 0
        self._rewards = 0.0

    def add(self, dones: NDArray[np.bool_], rewards: NDArray[np.floating[Any]]) -> None:
        """Adds a step of every environment."""
        self.episodes += int(dones.sum())
        self._rewards += float(rewards.sum())

    @property
    def mean(self) -> float:
        """The mean return of an episode; 0 before the first has ended."""
        return self._rewards / max(1, self.episodes)


class _Epochs(BaseCallback):
    """Tells of every update, finishes the epochs, and stops when the trainer is to stop."""

    def __init__(self, trainer: RecurrentPPOTrainer, progress: Progress) -> None:
        super().__init__()
        self._trainer = trainer
        self._progress = progress
        self._epoch = _Returns()
        self._rollout = _Returns()
        self._is_updating = False  # SB3 learns from a whole rollout
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._updates = 0

    def _on_step(self) -> bool:
        for returns in (self._epoch, self._rollout):
            returns.add(self.locals["dones"], self.locals["rewards"])
        return self._trainer.stop_signal is None

    def _on_rollout_end(self) -> None:
        self._is_updating = True

    def _on_rollout_start(self) -> None:
        self._after_update()
        self._rollout = _Returns()

    def _on_training_end(self) -> None:
        self._after_update()

    def _after_update(self) -> None:
        """Takes note of the update that SB3 has just made, if it has made one."""
        if not self._is_updating:
            return
        self._is_updating = False
        values = self.logger.name_to_value
        self._updates += 1
        for name in METRICS:
            self._sums[name] += float(values[name])
        self._progress.on_update(values["train/loss"], self._rollout.mean)
        trainer = self._trainer
        if trainer.epochs_learned > (trainer.rows[-1]["epoch"] if trainer.rows else 0):
            trainer.finish_epoch(self._metrics_of_epoch(), self._progress)

    def _metrics_of_epoch(self) -> dict[str, float]:
        """Returns the metrics since the last epoch, and begins to count anew."""
        means = {METRICS[name]: total / self._updates for name, total in self._sums.items()}
        learned = {
            "episodes": self._epoch.episodes,
            "train_reward": self._epoch.mean,
            "train_accuracy": self._epoch.mean,  # of sampled actions: 1 for the right class
            **means,
        }
        self._epoch, self._updates = _Returns(), 0
        self._sums.clear()
        return learned
