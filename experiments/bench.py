"""`make bench`: how fast the environments step and the agent learns, on this machine.

Medians of repeats taken in turn, so that a noisy machine disturbs all rows alike: read the ratios.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from agents.reinforce import Reinforce
from experiments.presets import AGENT
from ram_env import GlimpseEnv, GlimpseVectorEnv

NUM_ENVS = 256
NUM_STEPS = 24
NUM_REPEATS = 9
SENSOR: dict[str, Any] = {"num_scales": 3, "patch_size": 8}


def main() -> None:
    """Prints a table, and the same as JSON on the last line."""
    native = GlimpseVectorEnv(num_envs=NUM_ENVS, **SENSOR)
    sync = SyncVectorEnv([lambda: GlimpseEnv(**SENSOR)] * NUM_ENVS)
    agent = Reinforce(
        GlimpseVectorEnv(num_envs=NUM_ENVS, autoreset_mode=AutoresetMode.DISABLED, **SENSOR),
        **vars(AGENT),
    )
    timesteps = NUM_ENVS * native.task.num_glimpses
    rates = measure(
        {
            "native vector environment, glimpses/s": (lambda: step(native), NUM_ENVS * NUM_STEPS),
            "SyncVectorEnv, glimpses/s": (lambda: step(sync), NUM_ENVS * NUM_STEPS),
            "REINFORCE training, images/s": (lambda: agent.learn(4 * timesteps), 4 * NUM_ENVS),
        }
    )
    for name, rate in rates.items():
        print(f"{name:<40}{rate:>12,.0f}")
    native_rate, sync_rate, _ = rates.values()
    print(f"{'native to SyncVectorEnv':<40}{native_rate / sync_rate:>12.1f}")
    print(json.dumps(rates))


def step(env: VectorEnv[Any, Any, Any]) -> None:
    """Steps an environment of `NUM_ENVS` sub-environments for `NUM_STEPS` steps."""
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(NUM_STEPS):
        env.step(env.action_space.sample())


def measure(tasks: dict[str, tuple[Callable[[], object], int]]) -> dict[str, float]:
    """Returns the median rate of each task, all run in turn after one turn that does not count.

    Args:
        tasks: By name: what to run, and how much it does.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(NUM_REPEATS + 1):
        for name, (run, _) in tasks.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return {
        name: amount / float(np.median(seconds[name][1:])) for name, (_, amount) in tasks.items()
    }


if __name__ == "__main__":
    main()
