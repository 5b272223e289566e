from __future__ import annotations

from pathlib import Path

import pytest

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


def test_what_costs_are_measured_of_is_run(tmp_path: Path) -> None:
    start, each = measure_launch(Workers(threads=1))
    assert 0 < each < 10
    assert 0 < start < 10
    assert 0 < measure_ledger(2, tmp_path / "sweep") < 10
