from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from agents.processes import Share, joined_processes

SCRIPT = Path(__file__).with_name("learn_together.py")
PATIENCE = 300  # seconds


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("learn_together", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What two processes have learned from ten environments each, started as torchrun does it."""
    out = tmp_path_factory.mktemp("together") / "out.npz"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    of_both = {
        "TORCHELASTIC_RUN_ID": "test",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",  # no name to look up, whatever the machine is called
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(out)],
            env={**os.environ, **of_both, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    return dict(np.load(out))


@pytest.mark.parametrize(
    "name",
    ["hybrid", "lstm", "gaze that steps", "reward alone", "fixed raster", "random gaze", "map"],
)
def test_two_processes_learn_what_one_learns_from_the_whole_batch(
    together: dict[str, np.ndarray], script: ModuleType, name: str
) -> None:
    assert together["processes"] == 2
    weights, metrics, timesteps = script.learn(name, num_envs=20)
    assert together[f"{name} timesteps"] == timesteps == 4 * 20 * 3
    np.testing.assert_allclose(together[f"{name} metrics"], metrics, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(together[f"{name} weights"], weights, rtol=1e-4, atol=1e-5)


def test_it_would_not_pass_if_a_process_learned_from_half_of_the_batch(
    together: dict[str, np.ndarray], script: ModuleType
) -> None:
    weights, _, _ = script.learn("hybrid", num_envs=10)
    assert np.abs(together["hybrid weights"] - weights).max() > 1e-3


def test_what_one_process_says_all_hear(together: dict[str, np.ndarray]) -> None:
    assert together["stops"].tolist() == [True, True, False]


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_no_thread_of_the_group_outlives_it(together: dict[str, np.ndarray]) -> None:
    threads = together["threads"].tolist()
    assert len(threads) > 0
    assert [name for name in threads if "gloo" in name] == []


def test_alone_it_is_the_whole() -> None:
    with joined_processes(use_gpus=False) as share:
        assert share == Share.of_this_process() == Share(rank=0, processes=1)
        assert share.is_first
        assert share.size_of(7) == 7
        assert share.part_of(torch.arange(3)).tolist() == [0, 1, 2]
        assert share.mean(torch.tensor(3.0)) == 3
        assert share.any(True, torch.device("cpu"))
        assert share.from_first("x") == "x"


def test_a_share_is_a_part_of_the_whole() -> None:
    assert Share(1, 3).size_of(6) == 2
    assert Share(1, 3).part_of(torch.arange(6)).tolist() == [2, 3]
    with pytest.raises(ValueError, match=r"batch_size=7 cannot be shared.*3 processes"):
        Share(1, 3).size_of(7)


def test_a_process_without_a_gpu_of_its_own_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "3", "LOCAL_RANK": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with (
        pytest.raises(ValueError, match="process 2 has no GPU of its own: there are 2 here"),
        joined_processes(use_gpus=True),
    ):
        pass
