"""One run of `ram train` over two processes that torchrun starts."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments.train import main

pytestmark = pytest.mark.slow

PATIENCE = 600  # seconds, on a machine with much else to do


def start(*words: str) -> subprocess.Popen[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.Popen(
        [*torchrun, "--nproc-per-node", "2", "-m", "experiments.cli", "train", *words],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def metrics(run: Path) -> list[list[float]]:
    with (run / "metrics.csv").open() as file:
        return [[float(number) for number in row] for row in list(csv.reader(file))[1:]]


@pytest.fixture
def options(tiny_options: list[str]) -> list[str]:
    return [*tiny_options, "--batch-size", "50", "--precision", "float32"]


def test_the_run_folder_is_that_of_one_process(options: list[str], tmp_path: Path) -> None:
    main([*options, "--run-dir", str(tmp_path / "one")])
    process = start(*options, "--run-dir", str(tmp_path / "two"))
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert out.count("test accuracy") == 1  # the first process alone says so
    assert err.count("run folder:") == 1
    one, two = (
        sorted(str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*")
               if "tfevents" not in path.name)
        for name in ("one", "two")
    )  # fmt: skip
    assert one == two
    np.testing.assert_allclose(metrics(tmp_path / "two"), metrics(tmp_path / "one"), rtol=1e-4)
    assert len(list((tmp_path / "two" / "tensorboard").iterdir())) == 1


def test_stopped_in_two_processes_it_goes_on_in_one(options: list[str], tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    # By a map, two processes and one are alike to 1e-7 for 13 epochs; then a glimpse of one falls a
    # pixel beside the other's, as they add up gradients in another order.
    options = [*options, "--epochs", "40", "--core", "rnn"]
    main([*options, "--run-dir", str(whole)])
    process = start(*options, "--run-dir", str(stopped))
    deadline = time.monotonic() + PATIENCE
    while not (stopped / "metrics.csv").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE)
    assert f"ram train --resume {stopped}" in err
    assert 1 <= len(metrics(stopped)) < 40
    main(["--resume", str(stopped)])
    np.testing.assert_allclose(metrics(stopped), metrics(whole), rtol=1e-2, atol=1e-2)


def test_what_cannot_be_shared_out_is_refused(options: list[str], tmp_path: Path) -> None:
    for words, message in (
        (["--batch-size", "25"], "batch_size=25 cannot be shared out evenly among 2 processes"),
        (["--agent", "recurrent_ppo"], "agent='recurrent_ppo' trains in one process"),
    ):
        base = options if "--agent" not in words else []
        process = start(*base, *words, "--run-dir", str(tmp_path / "run"))
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode != 0
        assert message in err
        assert not (tmp_path / "run").exists()
