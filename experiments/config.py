"""What a run is made of: the command line fills it in, the run folder keeps it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import tyro

from agents.hyperparameters import ALGORITHMS, Hyperparameters, ReinforceHyperparameters
from ram_env import CLASSIFICATION_ENVIRONMENTS, __version__
from ram_env.registration import CATCH
from ram_env.scenes import SCENES
from ram_env.validation import Place, brief, is_place, require_choice, require_integer

SceneName = tyro.extras.literal_type_from_choices(list(SCENES))
Filled = TypeVar("Filled")


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """Which environment; an option that is None is as the environment's id has it."""

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
    start: Literal["center", "random"] | Place | None = None
    """Where the first glimpse is taken: center, random or a place (x, y) in [-1, 1]."""
    location_range: float | None = None
    """Farthest reachable offset from the centre, as a fraction of half the image's side."""

    train_scene: SceneName | None = None  # type: ignore[valid-type]
    """Scenes to train on, where they differ from those to be tested on: shifted moves the training
    images by up to a pixel, distorted also turns and bends them, so that the classifier does not
    learn them by heart."""

    def __post_init__(self) -> None:
        """Checks the id; the environment checks the rest. A list of x and y becomes a pair."""
        if is_place(self.start):
            object.__setattr__(self, "start", tuple(map(float, self.start)))
        if self.env == CATCH:
            raise ValueError(
                f"env={CATCH!r} has no classes to name and no data set: it is `ram catch` that "
                "trains on it, and experiments.catch.play that tests an agent"
            )
        require_choice("env", self.env, CLASSIFICATION_ENVIRONMENTS)

    @property
    def options(self) -> dict[str, Any]:
        """The environment's options: those that are not None."""
        values = dataclasses.asdict(self)
        del values["env"], values["train_scene"]
        return {name: value for name, value in values.items() if value is not None}

    @property
    def data(self) -> Path | None:
        """Where the data set is; None if it is the embedded one."""
        return None if self.dataset == TaskConfig.dataset else Path(self.dataset)

    @property
    def with_absolute_path(self) -> TaskConfig:
        """The same, with the data set's path made absolute."""
        if self.data is None or not self.data.exists():
            return self
        return dataclasses.replace(self, dataset=str(self.data.resolve()))

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

    @property
    def data(self) -> Path | None:
        """Where the data set is; None if it is the embedded one."""
        return self.task.data

    def to_json(self) -> dict[str, Any]:
        """Returns what JSON can hold and `from_json` takes."""
        return {**dataclasses.asdict(self), "algorithm": self.agent.algorithm}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> TrainConfig:
        """Returns the configuration that `to_json` described.

        Raises:
            ValueError: It does not describe one.
        """
        if is_of_catch(document):
            raise ValueError(
                "the configuration of a run of `ram catch`: `ram catch --resume` goes on with it, "
                "or prints its scores and draws its pictures again; from Python, its RunFolder's "
                "read_metrics and load_best of experiments.saved_agents work, and "
                "experiments.catch.play tests the model"
            )
        agent = agent_from_json(document)
        task = fill(TaskConfig, document["task"], name="task")
        if not isinstance(task.dataset, str):  # arrays, which Python may give, are not JSON's
            raise ValueError(
                f"dataset={brief(task.dataset)} is no text; give 'mnist', or the path of a file or "
                "folder"
            )
        values = {name: value for name, value in document.items() if name != "algorithm"}
        return fill(cls, {**values, "task": task, "agent": agent}, name="the configuration")


def is_of_catch(document: dict[str, Any]) -> bool:
    """Returns whether it is the configuration of a run of `ram catch`, not of `ram train`."""
    return "updates_per_epoch" in document


def agent_from_json(document: dict[str, Any]) -> Hyperparameters:
    """Returns the agent's hyperparameters in the configuration of a run, of `ram catch` too.

    Raises:
        ValueError: There are none.
    """
    if is_of_catch(document):
        return fill(ReinforceHyperparameters, document.get("agent"), name="agent")
    for key in ("task", "agent", "algorithm"):
        if key not in document:
            raise ValueError(
                f"the configuration has no {key!r}: a run's config.json and a preset file hold "
                "'task' and 'agent', objects of the options that are not as by default, "
                f"'algorithm', one of {sorted(ALGORITHMS)}, and perhaps 'epochs' and 'batch_size'; "
                f"if it is not yours, a version other than {__version__} may have written it"
            )
    require_choice("algorithm", document["algorithm"], ALGORITHMS)
    return fill(ALGORITHMS[document["algorithm"]], document["agent"], name="agent")


def fill(kind: type[Filled], values: object, *, name: str) -> Filled:
    """Returns a dataclass, filled from an object of JSON.

    Args:
        kind: The dataclass.
        values: Some of its fields by name. A `"version"`, of the package that wrote them, is for
            people alone.
        name: What it is called in an error.

    Raises:
        ValueError: It is no object, or has a key that is not known, or a value that is not allowed.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{name}={brief(values)} is not an object of options by name")
    values = {key: value for key, value in values.items() if key != "version"}
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise ValueError(
                f"{name} has the key {key!r}, which version {__version__} does not know: it is "
                "misspelt (`--help` of the command lists its options), or another version wrote it"
            )
    return kind(**values)
