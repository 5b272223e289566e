from __future__ import annotations

import time

import pytest

from experiments.bench import NUM_REPEATS, measure


def test_rates_are_amounts_by_median_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    turns = []

    def task(name: str, seconds: float):
        def run() -> None:
            first_turn = name not in turns
            turns.append(name)
            clock[0] += 100.0 if first_turn else seconds

        return run

    rates = measure({"fast": (task("fast", 0.5), 10), "slow": (task("slow", 2.0), 10)})
    assert rates == {"fast": 20.0, "slow": 5.0}  # the first turn does not count
    assert turns == ["fast", "slow"] * (NUM_REPEATS + 1)  # in turn
