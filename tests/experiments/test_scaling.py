from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments import scaling
from experiments.launcher import Workers
from experiments.scaling import CORES, Epoch, load_of, measure_launch, measure_ledger


def test_the_load_of_many_machines_is_that_of_one_times_their_number() -> None:
    epoch = Epoch(seconds=1.9, checkpoint_seconds=0.1, state_bytes=3_000_000, model_bytes=1_000_000)
    load = load_of(5, epoch, epochs=10, launch_seconds=1.0, driver_seconds=0.05)
    # 5 x 16 cores, a trial takes 10 x 1.9 + 1 = 20 s: 4 end every second, with 40 epochs.
    assert CORES == 16
    assert load.trials_per_hour == pytest.approx(4 * 3600)
    assert load.driver == pytest.approx(0.2)
    assert load.megabytes_per_second == pytest.approx(160)
    assert load.files_per_second == pytest.approx(160)


def test_busy_jobs_are_more_than_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(scaling.time, "perf_counter", lambda: next(clock))

    def launch(jobs: Any, run: Any, place: Workers) -> None:
        while (job := jobs.next()) is not None:
            jobs.on_end(job, None)

    monkeypatch.setattr(scaling, "launch", launch)
    assert scaling.measure_busy(Workers(workers=16)) == 1  # a job ends at each tick


def test_what_costs_are_measured_of_is_run(tmp_path: Path) -> None:
    start, each = measure_launch(Workers(threads=1))
    assert 0 < each < 10
    assert 0 < start < 10
    assert 0 < measure_ledger(2, tmp_path / "sweep") < 10
