"""How fast code runs: medians of repeats taken in turn, so that a noisy machine slows all alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np

NUM_REPEATS = 9
SECONDS_A_REPEAT = 0.05

Name = TypeVar("Name", bound=Hashable)


class Task(NamedTuple):
    """Something to be timed.

    Attributes:
        run: Does it.
        amount: How much one run does, in whatever the rate is to be of.
    """

    run: Callable[[], object]
    amount: float


def measure(tasks: Mapping[Name, Task]) -> dict[Name, float]:
    """Returns how much of each task is done in a second, the median of `NUM_REPEATS`.

    Each repeat takes all tasks in turn. A task that is quick runs more than once in a repeat, so
    that each takes about `SECONDS_A_REPEAT`; how often is found out in a turn that does not count.
    """
    runs = {name: _runs_in_a_repeat(task) for name, task in tasks.items()}
    seconds: dict[Name, list[float]] = {name: [] for name in tasks}
    for _ in range(NUM_REPEATS):
        for name, task in tasks.items():
            seconds[name].append(_seconds(task, runs[name]))
    return {
        name: task.amount * runs[name] / float(np.median(seconds[name]))
        for name, task in tasks.items()
    }


def _runs_in_a_repeat(task: Task) -> int:
    task.run()  # what is done at the first time only is not what is to be measured
    return max(1, math.ceil(SECONDS_A_REPEAT / _seconds(task, runs=1)))


def _seconds(task: Task, runs: int) -> float:
    began = time.perf_counter()
    for _ in range(runs):
        task.run()
    return time.perf_counter() - began
