from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.config import TaskConfig, TrainConfig
from experiments.presets import PRESETS

StartTraining = Callable[[list[str]], "subprocess.Popen[str]"]
WaitUntil = Callable[[Callable[[], bool], "subprocess.Popen[str]"], None]

PATIENCE = 120  # seconds


@pytest.fixture(scope="session")
def tiny_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 training and 60 test images of 8x8 pixels, of three classes that are easy to tell."""
    rng = np.random.default_rng(0)

    def make(num_items: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(3, size=num_items)
        images = rng.integers(0, 60, (num_items, 8, 8), dtype=np.uint8)
        for row, label in enumerate(labels):
            images[row, 2:6, 1 + 2 * label : 3 + 2 * label] += 180
        return images, labels

    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    (x_train, y_train), (x_test, y_test) = make(300), make(60)
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


@pytest.fixture(scope="session")
def tiny_options(tiny_npz: Path) -> list[str]:
    """Options of `ram train` that make an epoch take a moment."""
    options = {
        "env": "ram_env/MNIST-v0",
        "dataset": tiny_npz,
        "patch-size": 4,
        "num-glimpses": 3,
        "batch-size": 25,
        "hidden-size": 16,
        "image-hidden-size": 16,
        "glimpse-hidden-size": 8,
        "location-hidden-size": 8,
        "epochs": 3,
    }
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


@pytest.fixture(scope="session")
def start_training() -> StartTraining:
    """Starts `ram train` in a process of its own."""

    def start(arguments: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "experiments.cli", "train", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        )

    return start


@pytest.fixture(scope="session")
def wait_until() -> WaitUntil:
    """Waits for a condition; fails if the process ends before it holds, or it never does."""

    def wait(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        given_up = time.monotonic() + PATIENCE
        while not condition():
            assert process.poll() is None, process.communicate()
            if time.monotonic() > given_up:
                process.kill()
                pytest.fail(f"nothing after {PATIENCE} seconds: {process.communicate()}")
            time.sleep(0.005)

    return wait


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that would be written, laid out; drawing their pixels is slow."""
    kept: list[Figure] = []

    def savefig(figure: Figure, file: Path, **_options: object) -> None:
        figure.draw_without_rendering()
        file.touch()
        kept.append(figure)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return kept


@pytest.fixture(scope="session")
def tiny_config(tiny_npz: Path) -> TrainConfig:
    """A configuration whose epochs take a moment."""
    sizes = {"hidden_size": 16, "image_hidden_size": 16, "glimpse_hidden_size": 8}
    agent = dataclasses.replace(PRESETS["fglab"].agent, location_hidden_size=8, **sizes)
    task = TaskConfig(env="ram_env/MNIST-v0", dataset=str(tiny_npz), num_glimpses=3, patch_size=4)
    return TrainConfig(task=task, agent=agent, batch_size=25, epochs=1)
