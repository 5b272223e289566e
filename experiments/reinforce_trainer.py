"""Training of `Reinforce`, which goes on exactly where it was stopped or killed."""

from __future__ import annotations

import signal
from collections.abc import Collection
from pathlib import Path

import numpy as np
from gymnasium.vector import AutoresetMode

from agents.processes import Share
from agents.reinforce import Reinforce, UpdateMetrics
from experiments.config import TrainConfig
from experiments.trainer import EpochTrainer, Progress, Trainer, training_env


class LearnsByReinforce(EpochTrainer):
    """Training of `Reinforce`: what was lost when it was killed is repeated number by number."""

    def write_model(self, path: Path) -> None:
        """See `EpochTrainer.write_model`."""
        self.agent.save(path)

    def write_training_state(self, path: Path) -> None:
        """See `EpochTrainer.write_training_state`."""
        self.agent.save_training_state(path)

    def learn_epochs(self, progress: Progress) -> None:
        """See `EpochTrainer.learn_epochs`."""
        while not self.is_finished and not self._is_to_stop():
            epochs_before = self.epochs_learned
            learned = self._learn_epoch(progress)
            if self.epochs_learned > epochs_before:  # not stopped within the epoch
                self.finish_epoch(learned, progress)

    def _is_to_stop(self) -> bool:
        """Returns whether this process, or one that learns together with it, is to stop."""
        if Share.of_this_process().any(self.stop_signal is not None, self.agent.device):
            self.stop_signal = self.stop_signal or signal.SIGTERM
        return self.stop_signal is not None

    def _learn_epoch(self, progress: Progress) -> dict[str, float]:
        """Learns from one epoch's episodes and returns the means of the updates' metrics."""
        updates: list[UpdateMetrics] = []

        def on_update(_agent: Reinforce, metrics: UpdateMetrics) -> bool:
            updates.append(metrics)
            progress.on_update(metrics.loss, metrics.reward)
            return self.stop_signal is None

        self.agent.learn(
            self.timesteps_per_epoch,
            callback=on_update,
            reset_num_timesteps=False,
            schedule_timesteps=self.total_timesteps,
        )
        means = {f"train_{name}": mean for name, mean in _mean(updates)._asdict().items()}
        return {"episodes": self.episodes_per_epoch, **means}


class ReinforceTrainer(LearnsByReinforce, Trainer):
    """Trains `Reinforce` to classify."""

    @classmethod
    def new_agent(cls, config: TrainConfig) -> Reinforce:
        """See `Trainer.new_agent`."""
        # Every rollout resets all environments.
        return Reinforce(training_env(config, AutoresetMode.DISABLED), **vars(config.agent))

    @classmethod
    def read_training_state(cls, path: Path, config: TrainConfig) -> Reinforce:
        """See `Trainer.read_training_state`."""
        env = training_env(config, AutoresetMode.DISABLED)
        return Reinforce.load_training_state(path, env, device=config.agent.device)


def _mean(updates: Collection[UpdateMetrics]) -> UpdateMetrics:
    return UpdateMetrics(*np.mean(list(updates), axis=0).tolist())
