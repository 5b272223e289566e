"""How the cost of the environment grows: time and memory against what makes it larger.

`python -m experiments.growth FILE.png` measures on this machine, prints the figures and draws them.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import tyro
from gymnasium.vector import AutoresetMode

from experiments.plots import GRID, new_figure, save_figure
from experiments.tables import markdown_table
from ram_env import GlimpseVectorEnv, load_dataset
from ram_env.scenes import TranslatedScene

# What everything but the axis at hand is.
BASE: dict[str, Any] = {
    "num_envs": 64,
    "scene": TranslatedScene(60),
    "patch_size": 8,
    "num_scales": 3,
    "num_glimpses": 64,
}
NUM_EPISODES = 15
WIDTH, HEIGHT = 11.0, 5.0  # inches


class Cost(NamedTuple):
    """What an environment costs, by sub-environment.

    Attributes:
        look: Microseconds of a step.
        reset: Microseconds of a reset.
        memory: Kilobytes held; the data set, which all environments of a process share, is not
            among them.
    """

    look: float
    reset: float
    memory: float


AXES: dict[str, dict[int, dict[str, Any]]] = {
    "image side in pixels": {
        side: {"scene": TranslatedScene(side)} for side in (28, 60, 120, 240, 500, 1024)
    },
    "number of glimpses": {count: {"num_glimpses": count} for count in (8, 16, 32, 64, 128)},
    "number of scales": {
        count: {"num_scales": count, "scene": TranslatedScene(100)} for count in (1, 2, 3, 4, 5)
    },
    "number of environments": {
        count: {"num_envs": count} for count in (1, 4, 16, 64, 256, 1024, 4096)
    },
}


@dataclass(frozen=True)
class GrowthCommand:
    """Measure how the cost of the environment grows, and draw it."""

    path: Annotated[Path, tyro.conf.Positional]
    """File for the chart, a PNG."""


def main(argv: Sequence[str] | None = None) -> None:
    """Prints what was measured, and draws it."""
    command = tyro.cli(GrowthCommand, prog="python -m experiments.growth", args=argv)
    costs = measure_costs()
    for axis, points in costs.items():
        rows = [
            (f"{value}", f"{cost.look:.2f}", f"{cost.reset:.2f}", f"{cost.memory:,.1f}")
            for value, cost in points.items()
        ]
        print(markdown_table((axis, "us a step", "us a reset", "kB"), rows))
    plot_growth(costs, command.path)


def measure_costs() -> dict[str, dict[int, Cost]]:
    """Returns the cost at every point of every axis."""
    load_dataset("mnist", "train")  # once, for all
    return {
        axis: {value: cost_of({**BASE, **options}) for value, options in points.items()}
        for axis, points in AXES.items()
    }


def cost_of(options: dict[str, Any]) -> Cost:
    """Returns what an environment costs, medians over episodes in which nobody answers."""
    env, kilobytes = make_env(options)
    action = env.action_space.sample()
    num_looks = env.task.num_glimpses - 1
    looks, resets = [], []
    for _ in range(NUM_EPISODES):
        began = time.perf_counter()
        env.reset()
        reset = time.perf_counter()
        for _ in range(num_looks):
            env.step(action)
        resets.append(reset - began)
        looks.append((time.perf_counter() - reset) / num_looks)
    microseconds = 1e6 / env.num_envs
    return Cost(
        float(np.median(looks)) * microseconds, float(np.median(resets)) * microseconds, kilobytes
    )


def make_env(options: dict[str, Any]) -> tuple[GlimpseVectorEnv, float]:
    """Returns an environment, and the kilobytes that each of its sub-environments holds."""
    tracemalloc.start()
    env = GlimpseVectorEnv(autoreset_mode=AutoresetMode.DISABLED, **options)
    env.reset(seed=0)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    env.action_space.seed(0)
    return env, held / 1e3 / env.num_envs


def plot_growth(costs: dict[str, dict[int, Cost]], path: Path) -> None:
    """Draws time and memory against each axis, on logarithmic scales."""
    figure = new_figure(WIDTH, HEIGHT)
    panels = figure.subplots(2, len(costs), sharex="col", sharey="row")
    for column, (axis, points) in zip(panels.T, costs.items(), strict=True):
        values = list(points)
        looks, resets, kilobytes = zip(*points.values(), strict=True)
        column[0].plot(values, looks, "o-", label="a step")
        column[0].plot(values, resets, "o-", label="a reset")
        column[1].plot(values, kilobytes, "o-", color="#009e73")
        for panel in column:
            panel.set(xscale="log", yscale="log")
            panel.set_xticks(values, [str(value) for value in values], fontsize=8)
            panel.minorticks_off()
            panel.grid(color=GRID)
            panel.spines[["top", "right"]].set_visible(False)
        column[1].set_xlabel(axis)
    panels[0, 0].set_ylabel("microseconds,\nby sub-environment")
    panels[1, 0].set_ylabel("kilobytes held,\nby sub-environment")
    panels[0, 0].legend(frameon=False)
    save_figure(figure, path)


if __name__ == "__main__":
    main()
