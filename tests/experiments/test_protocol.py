"""What is learned from, chosen by and tested on: `train`, `val`, `test`, and the best epoch."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.full_image import FullImageClassifier
from agents.reinforce import Reinforce
from experiments import benchmark, train
from experiments.algorithms import go_on_or_start
from experiments.config import TrainConfig
from experiments.run_folder import write_json
from experiments.saved_agents import load_best

SPLIT_OF_GREY = {51: "train", 102: "val", 153: "test"}
TRAIN, VAL, TEST = SPLIT_OF_GREY


@pytest.fixture
def preset(tiny_config: TrainConfig, tmp_path: Path) -> Path:
    """A preset of images of one grey, which tells their split."""
    images, labels = np.full((300, 8, 8), TRAIN, np.uint8), np.arange(300) % 3
    images[-25:] = VAL  # a twelfth of the training images, the last
    tests = np.full((60, 8, 8), TEST, np.uint8)
    data = tmp_path / "grey.npz"
    np.savez(data, x_train=images, y_train=labels, x_test=tests, y_test=labels[:60])
    task = dataclasses.replace(tiny_config.task, dataset=str(data))
    path = tmp_path / "preset.json"
    write_json(path, dataclasses.replace(tiny_config, task=task, epochs=2).to_json())
    return path


def note_splits(monkeypatch: pytest.MonkeyPatch, kind: type, method: str) -> dict[str, list[str]]:
    """Returns which splits an agent sees while it learns, and while it acts, in their order."""
    seen: dict[str, list[str]] = {"learning": [], "acting": []}
    look = getattr(kind, method)

    def noting(agent: Any, observation: dict[str, np.ndarray]) -> Any:
        split = SPLIT_OF_GREY[round(255 * float(observation["glimpse"].max()))]
        seen["learning" if torch.is_grad_enabled() else "acting"].append(split)
        return look(agent, observation)

    monkeypatch.setattr(kind, method, noting)
    return seen


def in_order(splits: list[str]) -> list[str]:
    return [split for split, _ in itertools.groupby(splits)]


def test_it_learns_from_train_is_chosen_by_val_and_tested_on_test_at_the_end(
    preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = note_splits(monkeypatch, Reinforce, "_tensors")
    train.main(["--preset", str(preset), "--run-dir", str(tmp_path / "run")])
    assert in_order(seen["learning"]) == ["train"]
    assert in_order(seen["acting"]) == ["val", "test"]


@pytest.mark.parametrize(
    ("agent", "kind", "method"),
    [("ram", Reinforce, "_tensors"), ("mlp", FullImageClassifier, "_logits")],
)
def test_so_are_the_agents_of_a_benchmark(
    preset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    agent: str,
    kind: type,
    method: str,
) -> None:
    seen = note_splits(monkeypatch, kind, method)
    folder = str(tmp_path / "benchmark")
    options = ["--agents", agent, "--tasks", str(preset), "--seeds", "1", "--folder", folder]
    benchmark.main(options)
    assert in_order(seen["learning"]) == ["train"]
    assert in_order(seen["acting"]) == ["val", "test"]


def test_the_model_of_the_best_epoch_is_kept(tiny_config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(tiny_config, epochs=4)
    trainer = go_on_or_start(tmp_path / "run", config)
    accuracies = iter([0.5, 0.9, 0.7, 0.9])  # of those that are equal, the first
    trainer.validate = lambda: {"val_accuracy": next(accuracies)}  # type: ignore[method-assign]
    after_epochs: list[torch.Tensor] = []

    class Noting:
        def on_update(self, loss: float, reward: float) -> None:
            pass

        def on_epoch(self, row: dict[str, float]) -> None:
            weights = trainer.agent.acting_network.action_network.weight
            after_epochs.append(weights.detach().clone())

    trainer.train(Noting())
    best = load_best(trainer.run).acting_network.action_network.weight
    assert [torch.equal(best, weights) for weights in after_epochs] == [False, True, False, False]
