"""What must hold of a run where there is a GPU; skipped where there is none."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.cli import main

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def accuracies(run: Path) -> list[float]:
    with (run / "metrics.csv").open(newline="") as lines:
        return [float(row["val_accuracy"]) for row in csv.DictReader(lines)]


def test_a_run_on_a_gpu_is_tested_on_a_cpu_with_the_same_score(
    tiny_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    main(["train", *tiny_options, "--device", "cuda", "--run-dir", str(run)])
    assert accuracies(run)[-1] > 0.5  # of three classes
    assert (run / "gaze.png").exists()
    printed = []
    for device in ("cpu", "cuda"):
        capsys.readouterr()
        main(["evaluate", str(run), "--device", device])
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != ""


def test_equal_seeds_give_nearly_equal_runs(tiny_options: list[str], tmp_path: Path) -> None:
    for name in ("first", "second"):
        main(["train", *tiny_options, "--device", "cuda", "--run-dir", str(tmp_path / name)])
    np.testing.assert_allclose(
        accuracies(tmp_path / "first"), accuracies(tmp_path / "second"), atol=0.05
    )
