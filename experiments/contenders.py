"""Who takes part in `ram benchmark`: agents by name, and how each of them is trained."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from torch import nn

from agents.base import Agent
from agents.files import digest_of
from agents.full_image import NETWORKS, FullImageClassifier, full_image_options
from agents.hyperparameters import ReinforceHyperparameters
from experiments.algorithms import go_on_or_start
from experiments.config import TaskConfig, TrainConfig
from experiments.evaluate import evaluate, evaluation_env, evaluation_task, make_env
from experiments.presets import DEFAULT_AGENT, FIXED_RASTERS, SCAN, find_preset
from experiments.run_folder import read_json, write_json
from experiments.saved_agents import load_best, require_sb3
from ram_env import load_dataset
from ram_env.validation import require_choice

PPO = "ppo"
RASTER, CENTER = "ram-raster", "ram-center"
# REINFORCE, and how each differs from the preset.
REINFORCE: dict[str, dict[str, Any]] = {
    "ram": {},
    "ram-reward": {
        "loss": "reinforce",
        "location_return": "reward",
        "baseline": "uninformed",
        "initialisation": "uniform",  # He's are too sure of one class to explore the others
    },
    RASTER: {"gaze": "raster"},
    "ram-random": {"gaze": "random"},
    CENTER: {"gaze": "raster", "raster": ()},
}
DESCRIPTIONS = {
    "ram": "hybrid REINFORCE, as the preset has it",
    "ram-reward": "REINFORCE from the reward alone, for classes as for locations",
    RASTER: "the same network, trained with a fixed raster, a wide one where digits move",
    "ram-random": "the same network, trained with a random gaze",
    CENTER: "the same network, trained with its gaze at the centre",
    PPO: "SB3's recurrent PPO, look or answer, from the reward alone",
    "mlp": "two hidden layers on the whole image at once, by cross-entropy",
    "cnn": "a small conv net on the whole image at once, by cross-entropy",
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training run of a benchmark.

    Attributes:
        agent: A name in `DESCRIPTIONS`, or `package.module:function`.
        task: A preset's name, or file.
        seed: Seed of weights, exploration and environments.
        epochs: Passes over as many episodes as there are training images.
        dataset: What to learn and to be tested on, in place of the preset's data set; None: that.
    """

    agent: str
    task: str
    seed: int
    epochs: int
    dataset: str | None = None

    def __str__(self) -> str:
        return f"{self.task}, {self.agent}, seed {self.seed}"

    @property
    def config(self) -> TrainConfig:
        """The preset with the cell's seed and epochs, and the agent's differences from it."""
        preset = find_preset(self.task, "recurrent_ppo" if self.agent == PPO else DEFAULT_AGENT)
        changes = {"seed": self.seed, **REINFORCE.get(self.agent, {})}
        if self.agent == RASTER:
            assert isinstance(preset.agent, ReinforceHyperparameters)
            own = preset.agent.raster or SCAN  # a gaze that begins at the centre is no raster
            changes["raster"] = FIXED_RASTERS.get(preset.task.env, own)
        agent = dataclasses.replace(preset.agent, **changes)
        return dataclasses.replace(preset, task=self._task, agent=agent, epochs=self.epochs)

    @property
    def _task(self) -> TaskConfig:
        task = find_preset(self.task).task
        if self.agent == CENTER:
            task = dataclasses.replace(task, start=None)  # an environment's own is the centre
        if self.dataset is None:
            return task
        return dataclasses.replace(task, dataset=self.dataset).with_absolute_path

    @cached_property
    def timesteps(self) -> int:
        """Environment steps, if every episode takes all its glimpses."""
        task = self.config.task
        num_glimpses = evaluation_task(task, "val").num_glimpses
        return self.epochs * len(load_dataset(task.dataset, "train")) * num_glimpses


class CurvePoint(NamedTuple):
    """How far learning was: environment steps, seconds from its beginning, and how good."""

    timesteps: int
    seconds: float
    val_accuracy: float


class Trained(NamedTuple):
    """An agent, with how it learned.

    Attributes:
        agent: The agent.
        timesteps: Environment steps it learned from, None where that is not known.
        episodes: How many episodes these were, None where that is not known.
        curve: How good it was on the way, empty where that is not known.
        env_options: Options of the environments it plays in, where they differ from the task's.
        seconds_before: How long it had learned when its process died and another went on.
    """

    agent: Agent
    timesteps: int | None
    episodes: int | None
    curve: list[CurvePoint]
    env_options: dict[str, Any]
    seconds_before: float = 0.0


MakeAgent = Callable[..., Agent]
_digests: dict[str, str | None] = {}  # of the files of modules with agents of one's own


def find_contender(name: str) -> Callable[[Cell, Path], Trained]:
    """Returns what trains an agent for a cell, in a folder of its own.

    Args:
        name: A name in `DESCRIPTIONS`; or `package.module:function`, the path of a function that
            is called as `function(task, seed=..., timesteps=...)` with a `TaskConfig`, and returns
            a trained agent. Its attribute `action_space`, if it has one, says which of the
            environments' action formats it knows; without one, dict actions. Its attribute
            `num_timesteps`, if it has one, is how many environment steps it learned from.

    Raises:
        ValueError: There is no such agent, or it needs what is not installed.
    """
    if name == PPO:
        require_sb3()
    if name in (*REINFORCE, PPO):
        return _train_run
    if name in NETWORKS:
        return _train_full_image
    make_agent = _import_agent(name)

    def train(cell: Cell, _folder: Path) -> Trained:
        task = cell.config.task
        agent = make_agent(task, seed=cell.seed, timesteps=cell.timesteps)
        options = action_options(agent, evaluation_task(task, "val").num_classes)
        return Trained(agent, getattr(agent, "num_timesteps", None), None, [], options)

    return train


def code_of(name: str) -> str | None:
    """Returns what changes with the file in which an agent of one's own is made.

    It is of the file as it was imported here, whatever has become of it since; None for others, or
    if there is no file.

    Raises:
        ValueError: There is no such agent.
    """
    if name in DESCRIPTIONS:
        return None
    _import_agent(name)
    return _digests[name.partition(":")[0]]


def _import_agent(name: str) -> MakeAgent:
    """Returns the function at `package.module:function`."""
    module_name, colon, function_name = name.partition(":")
    if not colon:
        require_choice("agent", name, [*DESCRIPTIONS, "package.module:function"])
    if os.getcwd() not in sys.path:  # where `ram` is called, as `python -m` would have it
        sys.path.insert(0, os.getcwd())
    try:
        make_agent: MakeAgent = getattr(_import(module_name), function_name)
    except (ImportError, AttributeError, SyntaxError, TypeError, ValueError) as error:
        raise ValueError(
            f"agent={name!r} cannot be imported: {error}; give package.module:function, of a "
            "package not called as this one's (agents, experiments, ram_env)"
        ) from error
    try:
        inspect.signature(make_agent).bind("task", seed=0, timesteps=1)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"agent={name!r} cannot be called as function(task, seed=..., timesteps=...): {error}"
        ) from error
    return make_agent


def _import(module_name: str) -> ModuleType:
    """Returns a module, and notes the digest of its file as it was when it was imported here."""
    if module_name not in sys.modules:
        spec = importlib.util.find_spec(module_name)
        _digests[module_name] = None if spec is None else _digest_of_file(spec.origin)
    module = importlib.import_module(module_name)
    _digests.setdefault(module_name, _digest_of_file(getattr(module, "__file__", None)))
    return module


def _digest_of_file(path: str | None) -> str | None:
    return None if path is None else digest_of(Path(path))


def action_options(agent: Agent, num_classes: int) -> dict[str, Any]:
    """Returns the environment options that make its actions those that an agent knows.

    Args:
        agent: With an `action_space`, of a single environment, or for dict actions.
        num_classes: K.

    Raises:
        ValueError: No environment has such actions.
    """
    match getattr(agent, "action_space", None):
        case spaces.Discrete(n=n):
            grid_size = math.isqrt(max(int(n) - num_classes, 0))
            if grid_size < 1 or grid_size**2 + num_classes != n:
                raise ValueError(
                    f"action_space=Discrete({n}) is not of {num_classes} classes and the cells of "
                    f"a square grid; allowed are Discrete(g * g + {num_classes})"
                )
            return {"action_format": "discrete", "grid_size": grid_size}
        case spaces.MultiDiscrete(nvec=nvec):
            grid_size = int(nvec.flat[0])
            if nvec.tolist() != [grid_size, grid_size, num_classes]:
                raise ValueError(
                    f"action_space=MultiDiscrete({nvec.tolist()}) is not a column, a row and one "
                    f"of {num_classes} classes; allowed are MultiDiscrete([g, g, {num_classes}])"
                )
            return {"action_format": "multi_discrete", "grid_size": grid_size}
    return {}


def count_parameters(agent: Agent) -> int | None:
    """Returns how many weights an agent's network has; None if it has none that we know of."""
    for name in ("network", "policy"):
        network = getattr(agent, name, None)
        if isinstance(network, nn.Module):
            return sum(parameter.numel() for parameter in network.parameters())
    return None


class _Curve:
    """Notes the validation accuracy after each epoch.

    Args:
        path: File that keeps the points, for those who go on after the process died; None: none.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.points: list[CurvePoint] = []
        self._path = path
        if path is not None and path.exists():
            with suppress(ValueError, KeyError, TypeError):  # damaged: its times are lost
                self.points = [CurvePoint(**point) for point in read_json(path)["points"]]
        self.seconds_before = self.points[-1].seconds if self.points else 0.0
        self._began = time.perf_counter()

    def on_update(self, loss: float, reward: float) -> None:
        """Nothing to note."""

    def on_epoch(self, row: dict[str, float]) -> None:
        """Notes a row of the metrics."""
        self.add(int(row["timesteps"]), row["val_accuracy"])

    def add(self, timesteps: int, val_accuracy: float) -> None:
        """Notes a point."""
        seconds = self.seconds_before + time.perf_counter() - self._began
        self.points.append(CurvePoint(timesteps, seconds, val_accuracy))
        if self._path is not None:
            write_json(self._path, {"points": [point._asdict() for point in self.points]})


def _train_run(cell: Cell, folder: Path) -> Trained:
    config = cell.config
    trainer = go_on_or_start(folder / "run", config)
    if not trainer.rows:  # what there is of a curve is another run's
        (folder / "curve.json").unlink(missing_ok=True)
    curve = _Curve(folder / "curve.json")
    for row in trainer.rows[len(curve.points) :]:  # an epoch that was not noted any more
        curve.on_epoch(row)
    if not trainer.is_finished:
        trainer.train(curve)
    return Trained(
        agent=load_best(trainer.run),
        timesteps=trainer.agent.num_timesteps,
        episodes=int(sum(row["episodes"] for row in trainer.rows)),
        curve=curve.points,
        env_options=config.agent.env_options,
        seconds_before=curve.seconds_before,
    )


def _train_full_image(cell: Cell, _folder: Path) -> Trained:
    config, curve = cell.config, _Curve()
    options = full_image_options(evaluation_task(config.task, "val").image_size)
    validation_env = evaluation_env(config.task, "val", **options)
    env = make_env(
        config.task,
        "train",
        num_envs=config.batch_size,
        autoreset_mode=AutoresetMode.DISABLED,
        **config.task.training_scene,
        **options,
    )
    agent = FullImageClassifier(
        env, cast(Any, cell.agent), seed=cell.seed, device=config.agent.device
    )
    images = cell.epochs * len(load_dataset(config.task.dataset, "train"))

    def validate(agent: FullImageClassifier) -> None:
        if agent.num_timesteps >= (len(curve.points) + 1) * images / cell.epochs:
            curve.add(agent.num_timesteps, evaluate(agent, validation_env).accuracy)

    agent.learn(images, callback=validate)
    return Trained(agent, agent.num_timesteps, agent.num_timesteps, curve.points, options)
