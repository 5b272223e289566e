"""What a run is made of: the command line fills it in, the run folder keeps it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tyro

from agents.hyperparameters import ALGORITHMS, Hyperparameters, ReinforceHyperparameters
from ram_env import CLASSIFICATION_ENVIRONMENTS
from ram_env.scenes import SCENES
from ram_env.validation import require_choice, require_integer

SceneName = tyro.extras.literal_type_from_choices(list(SCENES))


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """Which environment; what is None is as the environment's id has it."""

    env: str = "ram_env/FoveatedMNIST-v0"
    """Id of the environment."""
    dataset: str = "mnist"
    """mnist, a folder of IDX files, or an .npz file with x_train, y_train, x_test and y_test."""
    num_glimpses: int | None = None
    """Glimpses of an episode."""
    patch_size: int | None = None
    """Side of a glimpse's patches, in values."""
    num_scales: int | None = None
    """How many concentric squares are seen at once."""
    scale_factor: int | None = None
    """By how much the side grows from one scale to the next."""
    start: Literal["center", "random"] | None = None
    """Where the first glimpse is taken."""
    location_range: float | None = None
    """Farthest reachable offset from the centre, as a fraction of half the image's side."""

    train_scene: SceneName | None = None  # type: ignore[valid-type]
    """Scenes to train on, where they differ from those to be tested on: shifted moves the training
    images by up to a pixel, distorted also turns and bends them, so that the classifier does not
    learn them by heart."""

    def __post_init__(self) -> None:
        """Checks the id; the environment checks the rest."""
        require_choice("env", self.env, CLASSIFICATION_ENVIRONMENTS)

    @property
    def options(self) -> dict[str, Any]:
        """The environment's options: those that are not None."""
        values = dataclasses.asdict(self)
        del values["env"], values["train_scene"]
        return {name: value for name, value in values.items() if value is not None}

    @property
    def with_absolute_path(self) -> TaskConfig:
        """The same, with the data set's path made absolute."""
        path = Path(self.dataset)
        if self.dataset == TaskConfig.dataset or not path.exists():
            return self
        return dataclasses.replace(self, dataset=str(path.resolve()))

    @property
    def training_scene(self) -> dict[str, Any]:
        """The environment's option for scenes to train on, where they differ from its own."""
        return {} if self.train_scene is None else {"scene": self.train_scene}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run."""

    task: TaskConfig = field(default_factory=TaskConfig)
    agent: Hyperparameters = field(default_factory=ReinforceHyperparameters)
    epochs: int = 12
    """Passes over as many episodes as there are training images."""
    batch_size: int = 128
    """Environments side by side (Gymnasium's num_envs; not SB3's batch_size): each update of
    REINFORCE learns from one batch of their episodes."""

    def __post_init__(self) -> None:
        """Checks the values."""
        require_integer("epochs", self.epochs, at_least=1)
        require_integer("batch_size", self.batch_size, at_least=1)

    def to_json(self) -> dict[str, Any]:
        """Returns what JSON can hold and `from_json` takes."""
        return {**dataclasses.asdict(self), "algorithm": self.agent.algorithm}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> TrainConfig:
        """Returns the configuration that `to_json` described.

        Raises:
            ValueError: It does not describe one.
        """
        if "updates_per_epoch" in document:
            raise ValueError(
                "the configuration of a run of `ram catch`: `ram catch --resume` goes on with it, "
                "or prints its scores and draws its pictures again"
            )
        try:
            values = dict(document)
            task = TaskConfig(**values.pop("task"))
            algorithm = ALGORITHMS[values.pop("algorithm")]
            agent = algorithm(**values.pop("agent"))
            return cls(task=task, agent=agent, **values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the configuration of a run: {error}") from error
