"""Training, epoch by epoch, into a run folder: what is the same for every task and algorithm."""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

from gymnasium.vector import AutoresetMode
from torch.utils.tensorboard import SummaryWriter

from agents.checkpoint import DamagedCheckpointError
from agents.processes import Share
from experiments.config import TrainConfig
from experiments.evaluate import evaluate, evaluation_env, evaluation_task, make_env
from experiments.run_folder import Configuration, RunFolder, sole_driver
from ram_env import GlimpseVectorEnv, load_dataset

# Seconds that a training waits for another in its folder: a worker may outlive its driver a little.
PATIENCE = 10.0


@contextmanager
def sole_writer(run: RunFolder) -> Iterator[None]:
    """Holds a run's folder; of processes that train together, the first does so for all.

    Raises:
        ValueError: Another command works there.
    """
    if not Share.of_this_process().is_first:
        yield
        return
    with sole_driver(run.path, PATIENCE):
        yield


class Progress(Protocol):
    """Who is told of how training goes."""

    def on_update(self, loss: float, reward: float) -> None:
        """Is told of an update: its loss, and the mean return of the episodes learned from."""

    def on_epoch(self, row: dict[str, float]) -> None:
        """Is told of an epoch, its row of the metrics, once all of it is written."""


class EpochTrainer(ABC):
    """Trains an agent epoch by epoch, and keeps the run folder up to date.

    After each epoch it validates, writes the model if it is the best so far, then the metrics, and
    at last the training state. So wherever it is killed, the training state on disk is that of a
    whole epoch, from which it goes on. Of several processes that train together
    (`agents.processes`), the first alone writes.

    Args:
        run: Where to write.
        config: What the run is made of.
        agent: The agent, as it was after the last whole epoch.
        epochs: How many epochs there are to be in all.
        episodes_per_epoch: How many episodes an epoch has, if each takes all its glimpses.
        timesteps_per_epoch: How many environment steps it has.

    Attributes:
        rows: The metrics of the whole epochs so far.
        stop_signal: Set it to make training stop after the current update.

    Raises:
        DamagedCheckpointError: The metrics or the model in the folder are not those of the agent's
            training.
    """

    def __init__(
        self,
        run: RunFolder,
        config: Configuration,
        agent: Any,
        *,
        epochs: int,
        episodes_per_epoch: int,
        timesteps_per_epoch: int,
    ) -> None:
        self.run = run
        self.config = config
        self.agent = agent
        self.epochs = epochs
        self.episodes_per_epoch = episodes_per_epoch
        self.timesteps_per_epoch = timesteps_per_epoch
        self.stop_signal: signal.Signals | None = None
        try:
            rows = run.read_metrics()
        except ValueError as error:
            raise DamagedCheckpointError(
                f"{error}; put the file back, or begin a new run"
            ) from error
        # A row beyond the training state is of an epoch that will be repeated.
        self.rows = [row for row in rows if row["timesteps"] <= agent.num_timesteps]
        if len(rows) > len(self.rows) + 1:
            raise DamagedCheckpointError(
                f"{run.metrics} has {len(rows)} epochs, the training state {run.latest} "
                f"{len(self.rows)}: it is gone, or an older one; put the file back, or begin a new "
                "run"
            )
        if self.rows and not run.best.exists():
            raise DamagedCheckpointError(
                f"{run.best} is gone, the best model so far; put the file back, or begin a new run"
            )
        last = self.rows[-1]["timesteps"] if self.rows else 0
        if last != agent.num_timesteps:
            raise DamagedCheckpointError(
                f"{run.metrics} ends at timestep {last:.0f}, the training state beside it at "
                f"{agent.num_timesteps}: rows are lost, and with them which model is the best; "
                "put the file back, or begin a new run"
            )

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Returns how good the agent is now, `val_accuracy` and perhaps more."""

    @abstractmethod
    def write_model(self, path: Path) -> None:
        """Writes what `predict` needs."""

    @abstractmethod
    def write_training_state(self, path: Path) -> None:
        """Writes the agent and all that learning on needs."""

    @abstractmethod
    def learn_epochs(self, progress: Progress) -> None:
        """Learns the epochs that are left, with `finish_epoch` after each."""

    @property
    def total_timesteps(self) -> int:
        """How many environment steps all epochs have."""
        return self.epochs * self.timesteps_per_epoch

    @property
    def epochs_learned(self) -> int:
        """How many whole epochs the agent has learned from."""
        learned: int = self.agent.num_timesteps // self.timesteps_per_epoch
        return learned

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to learn."""
        return self.epochs_learned >= self.epochs

    def train(self, progress: Progress) -> None:
        """Trains the epochs that are left, or until `stop_signal` is set.

        Raises:
            ValueError: Somebody trains in the folder already.
            LearningDivergedError: Weights or gradients are no longer numbers.
        """
        if self.is_finished:
            return
        if not Share.of_this_process().is_first:
            self._learn(progress)
            return
        with sole_writer(self.run):
            if not self.run.latest.exists():
                self.run.note_beginning(self.config)
            logs, next_epoch = str(self.run.tensorboard), self.epochs_learned + 1
            with SummaryWriter(logs, purge_step=next_epoch) as self._board:
                self._learn(progress)

    def _learn(self, progress: Progress) -> None:
        self._epoch_began = time.perf_counter()
        self.learn_epochs(progress)

    def finish_epoch(self, learned: dict[str, float], progress: Progress) -> None:
        """Writes what an epoch leaves behind, and last the training state, which counts it.

        Args:
            learned: The metrics of the epoch's learning.
            progress: Who is told.
        """
        seconds = time.perf_counter() - self._epoch_began
        done = {"epoch": self.epochs_learned, "timesteps": self.agent.num_timesteps}
        row = {**done, **learned, **self.validate()}
        self.rows.append(row)
        if Share.of_this_process().is_first:
            self._write_epoch(learned["episodes"] / seconds)
        progress.on_epoch(row)
        self._epoch_began = time.perf_counter()

    def _write_epoch(self, images_per_second: float) -> None:
        """Writes the model, the metrics and the training state, in this order, and the logs."""
        *earlier, row = self.rows
        if row["val_accuracy"] > max((past["val_accuracy"] for past in earlier), default=-1.0):
            self.write_model(self.run.best)
        self.run.write_metrics(self.rows)
        self.write_training_state(self.run.latest)
        epoch = int(row["epoch"])
        self._board.add_scalar("images_per_second", images_per_second, epoch)
        for name, value in row.items():
            self._board.add_scalar(name, value, epoch)


class Trainer(EpochTrainer):
    """Trains an agent to classify, and validates it on `val`.

    Args:
        run: Where to write.
        config: What to train.
        agent: The agent, as it was after the last whole epoch.
    """

    def __init__(self, run: RunFolder, config: TrainConfig, agent: Any) -> None:
        self._validation_env = evaluation_env(config.task, "val", **config.agent.env_options)
        episodes = episodes_of_an_epoch(config)
        super().__init__(
            run,
            config,
            agent,
            epochs=config.epochs,
            episodes_per_epoch=episodes,
            timesteps_per_epoch=episodes * self._validation_env.task.num_glimpses,
        )

    @classmethod
    @abstractmethod
    def new_agent(cls, config: TrainConfig) -> Any:
        """Returns an agent that has not learned yet; a ValueError says what it cannot be."""

    @classmethod
    @abstractmethod
    def read_training_state(cls, path: Path, config: TrainConfig) -> Any:
        """Returns the agent as it was when its training state was written.

        Raises:
            DamagedCheckpointError: The file is not such a state.
            ValueError: It cannot be gone on with here: there is no such GPU, or no such data.
        """

    @classmethod
    def start(cls, run: RunFolder, config: TrainConfig) -> Self:
        """Returns a trainer with a new agent."""
        return cls(run, config, cls.new_agent(config))

    @classmethod
    def resume(cls, run: RunFolder) -> Self:
        """Returns a trainer that goes on after the last whole epoch of a run.

        Raises:
            DamagedCheckpointError: The training state, or the metrics beside it, are not whole.
            ValueError: Another command works there; or the configuration is damaged, or another
                than the run was begun with, or the run cannot be gone on with here.
        """
        with sole_writer(run):  # whoever was at work there has written all that it will
            config = run.read_config()
            if not run.latest.exists():  # stopped within the first epoch
                return cls.start(run, config)
            run.require_unchanged(config)
            return cls(run, config, cls.read_training_state(run.latest, config))

    def validate(self) -> dict[str, float]:
        """See `EpochTrainer.validate`."""
        evaluation = evaluate(self.agent, self._validation_env)
        accuracy = {"val_accuracy": evaluation.accuracy}
        if evaluation.probabilities is None:
            return accuracy
        return {"val_cross_entropy": evaluation.cross_entropy, **accuracy}


def episodes_of_an_epoch(config: TrainConfig) -> int:
    """Returns how many episodes an epoch has: as many whole batches as training images fill."""
    num_items = len(load_dataset(config.task.dataset, "train"))
    return max(1, num_items // config.batch_size) * config.batch_size


def training_env(config: TrainConfig, autoreset_mode: AutoresetMode) -> GlimpseVectorEnv:
    """Returns the environments to learn in, of several processes this one's share.

    Args:
        config: What is trained.
        autoreset_mode: As the algorithm needs it.

    Raises:
        ValueError: The scenes to train on have another size than those to be tested on, or the
            batch cannot be shared out among the processes.
    """
    env = make_env(
        config.task,
        "train",
        num_envs=Share.of_this_process().size_of(config.batch_size),
        autoreset_mode=autoreset_mode,
        **config.task.training_scene,
        **config.agent.env_options,
    )
    tested = evaluation_task(config.task, "val").image_size
    if env.task.image_size != tested:
        raise ValueError(
            f"train_scene={config.task.train_scene!r} makes images of {env.task.image_size} "
            f"pixels, those to be tested on have {tested}; give another --train-scene, or None"
        )
    return env
