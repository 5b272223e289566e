from __future__ import annotations

import time

import pytest

from experiments.stopwatch import NUM_REPEATS, SECONDS_A_REPEAT, Task, measure


class FakeClock:
    """Time passes only in tasks: `first` seconds in a task's first run, `later` in the others."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.runs: list[str] = []
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def task(self, name: str, *, first: float, later: float, amount: float) -> Task:
        def run() -> None:
            self.now += later if name in self.runs else first
            self.runs.append(name)

        return Task(run, amount)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    return FakeClock(monkeypatch)


def test_rates_are_amounts_by_seconds_but_for_the_first_run(clock: FakeClock) -> None:
    rates = measure(
        {
            "fast": clock.task("fast", first=100, later=0.5, amount=10),
            "slow": clock.task("slow", first=100, later=2.0, amount=10),
        }
    )
    assert rates == {"fast": 20.0, "slow": 5.0}


def test_tasks_are_repeated_in_turn(clock: FakeClock) -> None:
    names = ["a", "b"]
    measure({name: clock.task(name, first=1, later=1, amount=1) for name in names})
    assert clock.runs[-2 * NUM_REPEATS :] == names * NUM_REPEATS


def test_a_quick_task_runs_often_enough_to_be_timed(clock: FakeClock) -> None:
    quick = clock.task("quick", first=1, later=SECONDS_A_REPEAT / 8, amount=1)
    assert measure({"quick": quick}) == {"quick": pytest.approx(8 / SECONDS_A_REPEAT)}
    assert len(clock.runs) == 2 + 8 * NUM_REPEATS
