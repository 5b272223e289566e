from __future__ import annotations

import dataclasses
import signal
from pathlib import Path
from typing import Any

import pytest

from experiments.algorithms import go_on_or_start
from experiments.config import TrainConfig
from experiments.reinforce_trainer import ReinforceTrainer
from experiments.run_folder import RunFolder


class Silent:
    def on_update(self, loss: float, reward: float) -> None:
        pass

    def on_epoch(self, row: dict[str, float]) -> None:
        pass


@pytest.fixture
def run(tiny_config: TrainConfig, tmp_path: Path) -> Path:
    """The folder of a run that is finished."""
    go_on_or_start(tmp_path / "run", tiny_config).train(Silent())
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_run_is_gone_on_with(run: Path, tiny_config: TrainConfig) -> None:
    before = contents(run)
    assert go_on_or_start(run, tiny_config).is_finished
    assert contents(run) == before


def test_a_run_that_cannot_be_gone_on_with_here_is_left_as_it_is(
    run: Path, tiny_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(run)
    data = Path(tiny_config.task.dataset)
    data.rename(data.with_suffix(".gone"))
    try:
        with pytest.raises(ValueError, match="tiny"):
            go_on_or_start(run, tiny_config)
    finally:
        data.with_suffix(".gone").rename(data)
    assert contents(run) == before
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def test_a_run_that_cannot_be_read_now_is_left_as_it_is(
    run: Path, tiny_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_text = Path.read_text

    def read(path: Path, *args: Any) -> str:
        if path.name == "config.json":
            raise OSError(5, "the storage is away")
        return read_text(path, *args)

    monkeypatch.setattr(Path, "read_text", read)
    with pytest.raises(OSError, match="storage"):
        go_on_or_start(run, tiny_config)
    assert [path.name for path in run.parent.iterdir()] == ["run"]


@pytest.mark.parametrize(
    "text",
    [
        "epoch,timesteps,val_accuracy\n1,825,0.5\n2,16",
        "epoch,timesteps,val_accuracy\n1,825,0.",
        "epoch,timesteps,val_accuracy\n1,825,0.5,7\n",
        "epoch,timesteps,val_accuracy\n1,825,half\n",
        "epoch,timesteps\n1,825\n",
        "",
    ],
    ids=["half a row", "half a number", "too long", "no number", "no accuracy", "empty"],
)
def test_metrics_that_are_not_whole_are_named(run: Path, text: str) -> None:
    (run / "metrics.csv").write_text(text)
    with pytest.raises(ValueError, match=r"metrics\.csv is damaged: .*; put the file back"):
        ReinforceTrainer.resume(RunFolder.open(run))


def test_a_stop_is_heeded_where_an_epoch_is_a_single_update(
    tiny_config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(tiny_config, batch_size=275, epochs=3)  # all training images
    trainer = go_on_or_start(tmp_path / "run", config)

    class Stopping(Silent):
        def on_update(self, loss: float, reward: float) -> None:
            trainer.stop_signal = signal.SIGINT

    trainer.train(Stopping())
    assert [row["epoch"] for row in trainer.rows] == [1]


@pytest.mark.parametrize(
    "file",
    ["config.json", "metrics.csv", "checkpoints/latest.safetensors", "checkpoints/begun_with.json"],
)
def test_a_damaged_run_is_set_aside_and_begun_anew(
    run: Path, tiny_config: TrainConfig, file: str
) -> None:
    (run / file).write_bytes((run / file).read_bytes()[:100])
    damaged = contents(run)
    trainer = go_on_or_start(run, tiny_config)
    assert trainer.rows == []
    assert trainer.agent.num_timesteps == 0
    assert contents(run.with_name("run-set-aside")) == damaged


@pytest.mark.parametrize("file", ["checkpoints/latest.safetensors", "checkpoints/best.safetensors"])
def test_a_run_without_its_state_or_its_best_model_is_not_begun_over_it(
    tmp_path: Path, tiny_config: TrainConfig, file: str
) -> None:
    run = tmp_path / "run"
    go_on_or_start(run, dataclasses.replace(tiny_config, epochs=2)).train(Silent())
    (run / file).unlink()
    before = contents(run)
    with pytest.raises(ValueError, match=rf"{Path(file).name}.* is gone.* put the file back"):
        ReinforceTrainer.resume(RunFolder.open(run))
    assert contents(run) == before


def test_what_is_finished_learns_nothing_and_writes_nothing(run: Path) -> None:
    before = contents(run)
    ReinforceTrainer.resume(RunFolder.open(run)).train(Silent())
    assert contents(run) == before


def test_another_run_is_set_aside_not_overwritten(run: Path, tiny_config: TrainConfig) -> None:
    before = contents(run)
    other = dataclasses.replace(tiny_config, epochs=tiny_config.epochs + 1)
    assert not go_on_or_start(run, other).is_finished
    go_on_or_start(run, tiny_config)
    assert contents(run.with_name("run-set-aside")) == before
    assert run.with_name("run-set-aside-2").is_dir()
