from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agents.checkpoint import read_checkpoint, write_checkpoint


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "model.safetensors"
    write_checkpoint(path, {"weight": torch.eye(2)}, {"epochs": 3, "name": "ram"})
    tensors, document = read_checkpoint(path)
    torch.testing.assert_close(tensors["weight"], torch.eye(2), rtol=0, atol=0)
    assert document == {"epochs": 3, "name": "ram"}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_checkpoint(path, {"weight": torch.ones(1)}, {"epochs": 1})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        write_checkpoint(path, {"weight": torch.zeros(1)}, {"epochs": float("nan")})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_halfway_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    write_checkpoint(path, {"weight": torch.ones(1)}, {"epochs": 1})
    before = path.read_bytes()

    def full(_file: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_checkpoint(path, {"weight": torch.zeros(1)}, {"epochs": 2})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="absent"):
        read_checkpoint(tmp_path / "absent.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 100])
def test_a_truncated_file_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "model.safetensors"
    write_checkpoint(path, {"weight": torch.eye(20)}, {"epochs": 1})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model\.safetensors.* is damaged"):
        read_checkpoint(path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    torch.save({"weight": torch.eye(2)}, path)
    with pytest.raises(ValueError, match="is damaged, or not a checkpoint"):
        read_checkpoint(path)
