"""`make bench`: how fast environments step and agents learn here, beside peers and limits.

Read the ratios: a rate is of one machine at one hour.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from torch import Tensor, nn

from agents.devices import find_precision
from agents.hyperparameters import Precision
from agents.reinforce import Reinforce
from agents.sb3_vec_env import SB3VecEnv
from experiments.evaluate import EVALUATION_ENVS, evaluate
from experiments.presets import AGENT
from experiments.stopwatch import Task, measure
from experiments.tables import markdown_table
from ram_env import GlimpseEnv, GlimpseVectorEnv, load_dataset
from ram_env.episodes import Observation

Cell = tuple[str, str]  # row and column of a table
Rates = dict[Cell, float]

NUM_ENVS = (1, 16, 256, 1024)
SENSORS: dict[str, dict[str, Any]] = {
    "28x28, 8x8, 1 scale": {"num_scales": 1},
    "28x28, 8x8, 3 scales": {"num_scales": 3},
    "60x60 cluttered, 12x12, 3 scales": {
        "scene": "cluttered",
        "num_glimpses": 8,
        "patch_size": 12,
        "num_scales": 3,
    },
    "100x100 cluttered, 12x12, 4 scales": {
        "scene": "cluttered-100",
        "num_glimpses": 8,
        "patch_size": 12,
        "num_scales": 4,
    },
}
FGLAB_SENSOR = "28x28, 8x8, 3 scales"
NUM_GLIMPSES = 6
SB3_ENVS = 64
PEER_SENSOR = "28x28, 8x8, 1 scale"  # what ap_gym_peer.py has
PEER_STEPS = 7  # of an episode and the reset after it
TRAINING = [(FGLAB_SENSOR, 128), (FGLAB_SENSOR, 256), (FGLAB_SENSOR, 512), (PEER_SENSOR, 256)]
EVALUATED_IMAGES = 2000


@dataclass(frozen=True)
class SpeedCommand:
    """Measure how fast environments step and agents learn on this machine."""

    ap_gym_python: Path | None = None
    """Python of an environment that has ap-gym and ram_env, to be measured beside ours."""


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the tables as Markdown and, on the last line, everything as JSON."""
    command = tyro.cli(SpeedCommand, prog="make bench", args=argv)
    print(f"{describe_machine()}\n", flush=True)
    tasks = environment_tasks()
    if command.ap_gym_python is None:
        steps = measure(tasks)
    else:
        with ap_gym(command.ap_gym_python) as peer:
            steps = measure(tasks | peer_tasks(peer))
    print(environment_table(steps), flush=True)
    learning = measure_learning()
    print(learning_table(learning), flush=True)
    sb3 = measure(sb3_tasks())
    print(sb3_table(sb3))
    document = {
        "machine": describe_machine(),
        "glimpses_per_second": _by_row(steps),
        "learning": _by_row(learning),
        "sb3_steps_per_second": _by_row(sb3),
    }
    print(json.dumps(document))


def describe_machine() -> str:
    """Returns what the figures depend on, in one line."""
    models = [
        line.partition(":")[2].strip()
        for line in _lines("/proc/cpuinfo")
        if line.startswith("model name")
    ]
    return (
        f"{os.cpu_count()} cores of {models[0] if models else platform.processor()}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}, PyTorch {torch.__version__} "
        f"({torch.get_num_threads()} threads), Gymnasium {gym.__version__}"
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:  # not Linux
        return []


# --- environments ---------------------------------------------------------------------------------


def environment_tasks() -> dict[Cell, Task]:
    """Returns our environments, Gymnasium's own way of batching them, and the limit: copies."""
    tasks: dict[Cell, Task] = {}
    for sensor, options in SENSORS.items():
        tasks[_row(sensor, 0), "native"] = stepping_one(GlimpseEnv(**options))
        for num_envs in NUM_ENVS:
            row = _row(sensor, num_envs)
            native = GlimpseVectorEnv(num_envs=num_envs, **options)
            sync = SyncVectorEnv([lambda o=options: GlimpseEnv(**o)] * num_envs)  # type: ignore[misc]
            num_steps = native.task.num_glimpses + 1
            tasks[row, "native"] = stepping(native, num_steps)
            tasks[row, "SyncVectorEnv"] = stepping(sync, num_steps)
            tasks[row, "copy"] = copying(native)
    return tasks


def stepping(env: VectorEnv[Any, Any, Any], num_steps: int) -> Task:
    """Returns that many steps in all sub-environments; autoresets are among them."""
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(num_steps)]

    def run() -> None:
        for action in actions:
            env.step(action)

    return Task(run, env.num_envs * num_steps)


def stepping_one(env: GlimpseEnv) -> Task:
    """Returns an episode, its reset included."""
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(env.task.num_glimpses)]

    def run() -> None:
        env.reset()
        for action in actions:
            env.step(action)

    return Task(run, len(actions) + 1)


def copying(env: GlimpseVectorEnv) -> Task:
    """Returns a copy of as many bytes as an observation has."""
    observation, _ = env.reset(seed=0)

    def run() -> Observation:
        return {name: values.copy() for name, values in observation.items()}

    return Task(run, env.num_envs)


@contextmanager
def ap_gym(python: Path) -> Iterator[subprocess.Popen[str]]:
    """Yields ap-gym in a process of its own, which `peer_tasks` talks to."""
    command = [str(python), "-m", "experiments.ap_gym_peer"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


def peer_tasks(peer: subprocess.Popen[str]) -> dict[Cell, Task]:
    """Returns the same steps in ap-gym's environment, on the same images."""
    assert peer.stdin is not None
    assert peer.stdout is not None
    requests, answers = peer.stdin, peer.stdout

    def stepping_there(num_envs: int) -> Task:
        def run() -> None:
            print(num_envs, PEER_STEPS, file=requests, flush=True)
            if not answers.readline():
                raise ValueError("ap-gym ended; what it says is on stderr")

        return Task(run, max(1, num_envs) * PEER_STEPS)

    return {
        (_row(PEER_SENSOR, num_envs), "ap-gym"): stepping_there(num_envs)
        for num_envs in (0, *NUM_ENVS)
    }


def environment_table(rates: Rates) -> str:
    """Returns the rates of all environments as a Markdown table."""
    columns = (
        *("glimpses/s", "ours", "SyncVectorEnv", "ap-gym"),
        *("ours to SyncVectorEnv", "ours to ap-gym", "ours to a copy"),
    )
    rows = []
    for row, of in _by_row(rates).items():
        sync, peer, copy = (of.get(name) for name in ("SyncVectorEnv", "ap-gym", "copy"))
        ours = of["native"]
        cells = [
            row,
            f"{ours:,.0f}",
            *("" if rate is None else f"{rate:,.0f}" for rate in (sync, peer)),
            *("" if rate is None else f"{ours / rate:.1f}" for rate in (sync, peer)),
            "" if copy is None else f"{ours / copy:.3f}",
        ]
        rows.append(cells)
    return markdown_table(columns, rows)


def _row(sensor: str, num_envs: int) -> str:
    return f"{sensor}: {f'{num_envs} envs' if num_envs else 'single env'}"


def _by_row(rates: Rates) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    for (row, column), rate in rates.items():
        rows.setdefault(row, {})[column] = rate
    return rows


# --- learning -------------------------------------------------------------------------------------


def measure_learning() -> Rates:
    """Returns images a second of training and of evaluation, and what training's consist of.

    Columns: `images/s`; of training also `limit`, the rate at which this machine does the same
    matrix products and nothing else, and `environment`, the environment's share of the time.
    """
    fastest = find_precision("auto", torch.device("cpu"))
    precisions: list[Precision] = ["float32"]
    precisions += ["bfloat16"] if fastest is torch.bfloat16 else []
    tasks: dict[Cell, Task] = {}
    envs: dict[str, TimedEnv] = {}
    for precision in precisions:
        for sensor, batch_size in TRAINING:
            row = f"training, {sensor}: batch {batch_size}, {precision}"
            envs[row] = TimedEnv(_training_env(sensor, batch_size))
            agent = Reinforce(envs[row], **vars(replace(AGENT, precision=precision, device="cpu")))
            tasks[row, "images/s"] = learning(agent, envs[row])
            tasks[row, "limit"] = multiplying(agent, batch_size)
    # The last agent, whose sensor is the last one.
    tasks[f"evaluation, {sensor}", "images/s"] = evaluating(agent, sensor)
    rates = measure(tasks)
    return rates | {(row, "environment"): env.share for row, env in envs.items()}


class TimedEnv(VectorWrapper[Any, Any, Any, Any, Any]):
    """Environments that know how much time was spent in them.

    Attributes:
        seconds_inside: In `reset` and `step`.
        seconds: All there were; for the caller to count.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        self.seconds_inside = 0.0
        self.seconds = 0.0

    @property
    def share(self) -> float:
        """The part of the time that was spent in the environments."""
        return self.seconds_inside / self.seconds

    def reset(self, **arguments: Any) -> Any:
        """Resets and takes the time."""
        began = time.perf_counter()
        result = self.env.reset(**arguments)
        self.seconds_inside += time.perf_counter() - began
        return result

    def step(self, actions: Any) -> Any:
        """Steps and takes the time."""
        began = time.perf_counter()
        result = self.env.step(actions)
        self.seconds_inside += time.perf_counter() - began
        return result


def learning(agent: Reinforce, env: TimedEnv) -> Task:
    """Returns a few updates of an agent."""
    num_updates = 8

    def run() -> None:
        began = time.perf_counter()
        agent.learn(num_updates * env.num_envs * NUM_GLIMPSES)
        env.seconds += time.perf_counter() - began

    return Task(run, num_updates * env.num_envs)


def multiplying(agent: Reinforce, batch_size: int) -> Task:
    """Returns the matrix products of one update's glimpse network and core, and nothing else.

    For each layer and time step: its output, its weights' gradient and, but for the layers that
    read the observation, its input's gradient. The heads are left out, they are below 2 %.
    """
    dtype = find_precision(agent.hyperparameters.precision, agent.device)
    network = agent.network
    first = (network.glimpse_network.what, network.glimpse_network.where)
    layers = [*network.glimpse_network.modules(), *network.core.modules()]
    products: list[tuple[Tensor, Tensor]] = []
    for layer in layers:
        if isinstance(layer, nn.Linear):
            rows = torch.randn(batch_size, layer.in_features, dtype=dtype)
            gradients = torch.randn(batch_size, layer.out_features, dtype=dtype)
            weight = layer.weight.detach().to(dtype)
            products += [(rows, weight.T), (gradients.T, rows)]
            products += [] if layer in first else [(gradients, weight)]

    def run() -> None:
        for _ in range(NUM_GLIMPSES):
            for left, right in products:
                torch.mm(left, right)

    return Task(run, batch_size)


def evaluating(agent: Reinforce, sensor: str) -> Task:
    """Returns the evaluation of an agent on test images."""
    items = load_dataset("mnist", "test")
    images, labels = items.images[:EVALUATED_IMAGES], items.labels[:EVALUATED_IMAGES]
    env = GlimpseVectorEnv(
        (images, labels), split="test", num_envs=EVALUATION_ENVS, **SENSORS[sensor]
    )
    return Task(lambda: evaluate(agent, env), EVALUATED_IMAGES)


def _training_env(sensor: str, batch_size: int) -> GlimpseVectorEnv:
    return GlimpseVectorEnv(
        num_envs=batch_size,
        scene="shifted",
        autoreset_mode=AutoresetMode.DISABLED,
        **SENSORS[sensor],
    )


def learning_table(rates: Rates) -> str:
    """Returns the rates of training and evaluation as a Markdown table."""
    columns = ("images/s", "ours", "matrix products alone", "ours to these", "environment's share")
    rows = []
    for row, of in _by_row(rates).items():
        ours, limit, share = of["images/s"], of.get("limit"), of.get("environment")
        cells = [
            row,
            f"{ours:,.0f}",
            "" if limit is None else f"{limit:,.0f}",
            "" if limit is None else f"{ours / limit:.2f}",
            "" if share is None else f"{share:.0%}",
        ]
        rows.append(cells)
    return markdown_table(columns, rows)


# --- SB3 ------------------------------------------------------------------------------------------


def sb3_tasks() -> dict[Cell, Task]:
    """Returns SB3's steps and learning, on our environments and on its own way of batching them."""
    options = {**SENSORS[FGLAB_SENSOR], "action_format": "discrete"}
    tasks: dict[Cell, Task] = {}
    for column in ("SB3VecEnv", "DummyVecEnv"):
        for row, make_task in (("steps", sb3_stepping), ("RecurrentPPO", sb3_learning)):
            env: VecEnv
            if column == "SB3VecEnv":
                native = GlimpseVectorEnv(num_envs=SB3_ENVS, autoreset_mode="SameStep", **options)
                env = SB3VecEnv(native)
            else:
                env = DummyVecEnv([lambda: GlimpseEnv(**options)] * SB3_ENVS)
            tasks[f"{row}, {FGLAB_SENSOR}: {SB3_ENVS} envs", column] = make_task(env)
    return tasks


def sb3_stepping(env: VecEnv) -> Task:
    """Returns steps in all sub-environments."""
    env.action_space.seed(0)
    env.reset()
    actions = [
        np.array([env.action_space.sample() for _ in range(env.num_envs)]) for _ in range(10)
    ]

    def run() -> None:
        for action in actions:
            env.step(action)

    return Task(run, env.num_envs * len(actions))


def sb3_learning(env: VecEnv) -> Task:
    """Returns a rollout of RecurrentPPO and the learning from it."""
    num_steps = 4 * NUM_GLIMPSES
    agent = RecurrentPPO(
        "MultiInputLstmPolicy",
        env,
        n_steps=num_steps,
        batch_size=512,
        n_epochs=4,
        seed=0,
        device="cpu",
    )
    return Task(lambda: agent.learn(num_steps * env.num_envs), num_steps * env.num_envs)


def sb3_table(rates: Rates) -> str:
    """Returns the rates of SB3 as a Markdown table."""
    rows = []
    for row, of in _by_row(rates).items():
        ours, dummy = of["SB3VecEnv"], of["DummyVecEnv"]
        rows.append([row, f"{ours:,.0f}", f"{dummy:,.0f}", f"{ours / dummy:.1f}"])
    return markdown_table(("SB3, steps/s", "our adapter", "DummyVecEnv", "ratio"), rows)


if __name__ == "__main__":
    main()
