from __future__ import annotations

import csv
import dataclasses
import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments import sweep as sweep_module
from experiments import train
from experiments.config import TrainConfig
from experiments.launcher import SOME_FAILED, Report, Workers, launch
from experiments.presets import find_preset
from experiments.run_folder import sole_driver, write_json, write_text
from experiments.space import read_space
from experiments.sweep import DIVERGED, Sweep, SweepCommand, Trial, main, run_trial
from experiments.sweep_plots import plot_parallel
from experiments.sweep_results import Result, TrialState, as_markdown

SPACE = """
preset: {preset}
space:
  epochs: [2]
  agent.learning_rate: {{low: 1e-4, high: 1e-1, log: true}}
  agent.core: [rnn, lstm]
"""
GRID = "{{preset: {preset}, space: {{agent.core: [rnn, lstm], batch_size: [25, 50, 275]}}}}"


@pytest.fixture(scope="module")
def preset(tiny_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("presets") / "tiny.json"
    write_json(path, tiny_config.to_json())
    return path


@pytest.fixture
def space(preset: Path, tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE.format(preset=preset))
    return path


@pytest.fixture
def grid(preset: Path, tmp_path: Path) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(GRID.format(preset=preset))
    return path


def sweep(space: Path, folder: Path, **options: Any) -> None:
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    flags = ["--resume"] if "resume" in options else []
    words = [word for word in words if word not in ("--resume", "True")]
    words = [word.replace("_", "-") if word.startswith("--") else word for word in words]
    main([str(space), "--folder", str(folder), *words, *flags])


def trials(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def points(folder: Path) -> list[tuple[str, str]]:
    return [(row["agent.learning_rate"], row["agent.core"]) for row in trials(folder)]


def fake(monkeypatch: pytest.MonkeyPatch, curves: dict[int, list[float]]) -> list[tuple[int, int]]:
    """Has trials report these accuracies in place of training; returns what was trained."""
    trained: list[tuple[int, int]] = []

    def run(trial: Trial, report: Report) -> None:
        for epoch, accuracy in enumerate(curves[trial.number], 1):
            trained.append((trial.number, epoch))
            report({"seed": 0, "epoch": epoch, "val_accuracy": accuracy, "seconds": 1.0})

    monkeypatch.setattr(sweep_module, "run_trial", run)
    monkeypatch.setattr(Result, "val_accuracy", property(lambda self: curves[self.number][-1]))
    return trained


@pytest.fixture(scope="module")
def finished(preset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A sweep of five trials with two seeds each, that nothing interrupted."""
    folder = tmp_path_factory.mktemp("sweeps") / "whole"
    path = folder.with_suffix(".yaml")
    path.write_text(SPACE.format(preset=preset))
    sweep(path, folder, search="random", trials=5, seeds=2, threads=1)
    return path, folder


def test_every_trial_is_in_the_table_with_the_mean_over_its_seeds(
    finished: tuple[Path, Path],
) -> None:
    _, folder = finished
    rows = trials(folder)
    assert [row["trial"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert {row["state"] for row in rows} == {"done"}
    for row in rows:
        best = []
        for seed in (0, 1):
            run = folder / "trials" / row["trial"] / f"seed-{seed}"
            with (run / "metrics.csv").open() as file:
                best.append(max(float(epoch["val_accuracy"]) for epoch in csv.DictReader(file)))
            config = json.loads((run / "config.json").read_text())
            assert config["agent"]["seed"] == seed
            assert config["agent"]["learning_rate"] == float(row["agent.learning_rate"])
            assert config["agent"]["core"] == row["agent.core"]
        assert float(row["val_accuracy"]) == pytest.approx(sum(best) / 2)
        assert float(row["std"]) == pytest.approx(abs(best[0] - best[1]) / 2**0.5)
        assert row["epochs_run"] == "4"
        assert 1e-4 <= float(row["agent.learning_rate"]) <= 1e-1


def test_nothing_is_ever_tested(finished: tuple[Path, Path]) -> None:
    assert not list(finished[1].rglob("scores.json"))


def test_charts_are_drawn(finished: tuple[Path, Path]) -> None:
    for name in ("parallel.png", "learning.png"):
        width, height = Image.open(finished[1] / name).size
        assert width > 1000
        assert height > 150


def test_the_best_trial_is_drawn_over_the_others_though_one_that_failed_was_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(
        "experiments.sweep_plots.save_figure", lambda figure, _path: figures.append(figure)
    )
    plot_parallel({"agent.hidden_size": [64, 16, 32]}, [0.9, 0.8, 0.95], tmp_path / "parallel.png")
    lines = figures[0].axes[0].lines[:3]
    widths = [line.get_linewidth() for line in lines]
    assert widths[2] > widths[0] == widths[1]
    assert lines[2].get_ydata()[0] == 1  # 64, the largest of the sizes


def test_importances_are_drawn_where_trials_are_enough_to_tell_them(
    finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = finished
    assert not (folder / "importance.png").exists()  # of five
    monkeypatch.setattr("experiments.sweep_results.MIN_TRIALS_FOR_IMPORTANCES", 3)
    sweep(path, tmp_path / "sweep", search="random", trials=3, threads=1)
    assert Image.open(tmp_path / "sweep" / "importance.png").size[0] > 1000


def test_tensorboard_has_curves_and_hyperparameters(finished: tuple[Path, Path]) -> None:
    _, folder = finished
    events = EventAccumulator(str(folder / "tensorboard" / "trial-3")).Reload()
    assert [event.step for event in events.Scalars("val_accuracy")] == [1, 2]
    expected = float(trials(folder)[3]["val_accuracy"])
    assert events.Scalars("best_val_accuracy")[0].value == pytest.approx(expected)
    hparams = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"agent.learning_rate" in hparams
    assert b"agent.core" in hparams


def test_the_best_configuration_is_a_preset_that_train_takes(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    _, folder = finished
    best = max(trials(folder), key=lambda row: float(row["val_accuracy"]))
    config = find_preset(str(folder / "best.json"))
    assert config.agent.learning_rate == float(best["agent.learning_rate"])
    run = tmp_path / "run"
    train.main(["--preset", str(folder / "best.json"), "--run-dir", str(run)])
    # The same run as the sweep's first seed: so what was found is what one gets.
    first = folder / "trials" / best["trial"] / "seed-0"
    assert (run / "metrics.csv").read_text() == (first / "metrics.csv").read_text()


def test_a_sweep_that_goes_on_runs_nothing_twice(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    path, whole = finished
    folder = tmp_path / "sweep"
    sweep(path, folder, search="random", trials=3, seeds=2, threads=1)
    before = {run: run.stat().st_mtime_ns for run in folder.rglob("latest*")}
    assert len(before) == 6
    sweep(path, folder, search="random", trials=5, seeds=2, threads=1, resume=True)
    assert {run: run.stat().st_mtime_ns for run in before} == before
    # And what it proposes is what it would have without a break.
    assert points(folder) == points(whole)


def test_a_trial_that_was_killed_goes_on_from_its_last_epoch(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    path, whole = finished
    folder = tmp_path / "sweep"
    command = SweepCommand(space=path, search="random", trials=1, seeds=2, folder=folder)
    killed = Sweep(folder, read_space(path), command)
    trial = killed.next()
    assert trial is not None

    def until_the_third_epoch(progress: dict[str, float]) -> None:
        killed.on_report(trial, progress)
        if (progress["seed"], progress["epoch"]) == (1, 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(trial, until_the_third_epoch)
    first = folder / "trials" / "0" / "seed-0"
    before = {file: file.stat().st_mtime_ns for file in first.rglob("*") if file.is_file()}
    sweep(path, folder, search="random", trials=1, seeds=2, threads=1, resume=True)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    (row,) = trials(folder)
    assert row["epochs_run"] == "4"
    assert row["val_accuracy"] == trials(whole)[0]["val_accuracy"]
    for seed in (0, 1):
        metrics = Path("trials", "0", f"seed-{seed}", "metrics.csv")
        assert (folder / metrics).read_text() == (whole / metrics).read_text()


@pytest.mark.parametrize("killed_at", ["agent.learning_rate", "agent.core", "epochs"])
def test_a_trial_in_whose_proposal_it_was_killed_is_proposed_whole(
    finished: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    killed_at: str,
) -> None:
    path, whole = finished
    folder = tmp_path / "sweep"
    suggest = optuna.trial.Trial._suggest

    def killed(trial: optuna.trial.Trial, name: str, distribution: Any) -> Any:
        if (trial.number, name) == (1, killed_at):
            raise KeyboardInterrupt
        return suggest(trial, name, distribution)

    curves = {0: [0.5, 0.5], 1: [0.5, 0.6]}
    fake(monkeypatch, curves)
    monkeypatch.setattr(optuna.trial.Trial, "_suggest", killed)
    with pytest.raises(KeyboardInterrupt):
        sweep(path, folder, search="random", trials=2)
    monkeypatch.undo()
    fake(monkeypatch, curves)
    sweep(path, folder, search="random", trials=2, resume=True)
    assert [row["state"] for row in trials(folder)] == ["done", "done"]
    assert points(folder) == points(whole)[:2]


def test_a_grid_is_run_whole(grid: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    sweep(grid, folder, search="grid", trials=4, threads=1)
    sweep(grid, folder, search="grid", threads=1, resume=True)
    rows = [(row["agent.core"], row["batch_size"]) for row in trials(folder)]
    assert rows == [(core, size) for core in ("rnn", "lstm") for size in ("25", "50", "275")]


def test_values_that_do_not_go_together_fail_their_trial_and_the_rest_goes_on(
    preset: Path, tmp_path: Path
) -> None:
    path, folder = tmp_path / "space.yaml", tmp_path / "sweep"
    path.write_text(
        f"{{preset: {preset}, space: {{agent.location_return: [reward], epochs: [1], "
        "agent.loss: [reinforce, hybrid], agent.baseline: [informed, uninformed]}}"
    )
    with pytest.raises(SystemExit) as stopped:
        sweep(path, folder, search="grid", threads=1)
    assert stopped.value.code == SOME_FAILED
    states = {(row["agent.loss"], row["agent.baseline"]): row["state"] for row in trials(folder)}
    assert states.pop(("reinforce", "informed")) == "failed"
    assert list(states.values()) == ["done"] * 3
    (failure,) = folder.glob("trials/*/failure.txt")
    assert "give location_return='reward', baseline='uninformed'" in failure.read_text()


def test_tpe_learns_where_to_look(preset: Path, tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(f"{{preset: {preset}, space: {{agent.momentum: {{low: 0, high: 0.99}}}}}}")

    def run(trial: Trial, report: Report) -> None:
        accuracy = 1 - abs(trial.config(seed=0).agent.momentum - 0.7)
        report({"seed": 0, "epoch": 1, "val_accuracy": accuracy, "seconds": 1.0})

    monkeypatch.setattr(sweep_module, "run_trial", run)
    monkeypatch.setattr(
        Result, "val_accuracy", property(lambda self: 1 - abs(self.point["agent.momentum"] - 0.7))
    )
    sweep(path, tmp_path / "sweep", search="tpe", trials=30)
    found = [float(row["agent.momentum"]) for row in trials(tmp_path / "sweep")]
    before, after = found[:10], found[20:]
    distance = [sum(abs(x - 0.7) for x in part) / 10 for part in (before, after)]
    assert distance[1] < distance[0] / 2


def test_a_trial_that_diverges_is_a_bad_one_and_no_failure(
    preset: Path, tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / "space.yaml"
    rates = "agent.optimiser: [sgd], agent.learning_rate: [0.001, 1.0e+30]"
    path.write_text(f"{{preset: {preset}, space: {{{rates}}}}}")
    folder = tmp_path / "sweep"
    sweep(path, folder, search="grid", threads=1)  # and does not exit as one that failed
    states = {float(row["agent.learning_rate"]): row["state"] for row in trials(folder)}
    assert states == {0.001: "done", 1e30: "diverged"}
    (reason,) = folder.glob("trials/*/diverged.txt")
    assert "seed 0: learning has diverged at timestep" in reason.read_text()
    assert "learning has diverged at timestep" in capsys.readouterr().err


def test_tpe_does_not_come_back_to_where_learning_diverges(
    preset: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    path = tmp_path / "space.yaml"
    rates = "{low: 0.0001, high: 10, log: true}"
    path.write_text(f"{{preset: {preset}, space: {{agent.learning_rate: {rates}}}}}")

    def accuracy_at(rate: float) -> float:
        return 1 - abs(math.log10(rate) + 3) / 10

    def run(trial: Trial, report: Report) -> None:
        rate = trial.config(seed=0).agent.learning_rate
        if rate > 0.1:
            write_text(trial.folder / DIVERGED, "seed 0: learning has diverged")
            return
        report({"seed": 0, "epoch": 1, "val_accuracy": accuracy_at(rate), "seconds": 1.0})

    monkeypatch.setattr(sweep_module, "run_trial", run)
    monkeypatch.setattr(
        Result,
        "val_accuracy",
        property(lambda self: accuracy_at(self.point["agent.learning_rate"])),
    )
    sweep(path, tmp_path / "sweep", search="tpe", trials=40)
    states = [row["state"] for row in trials(tmp_path / "sweep")]
    assert len(states) == 40  # it has not given up
    assert states[:10].count("diverged") >= 2  # two fifths of the range, at random
    assert states[20:].count("diverged") <= 4


def test_asha_stops_those_that_lag_behind(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rungs after epochs 1 and 3. At each, the best third of those that came so far goes on, and
    # while there are fewer than three, the best: so 0 passes, 1 and 2 are worse, 3 is best of four.
    curves = {
        0: [0.5, 0.5, 0.5, 0.5],
        1: [0.4, 0.9, 0.9, 0.9],
        2: [0.3, 0.9, 0.9, 0.9],
        3: [0.6, 0.6, 0.4, 0.7],
    }
    space.write_text(space.read_text().replace("epochs: [2]", "epochs: [4]"))
    trained = fake(monkeypatch, curves)
    options = {"search": "random", "early_stopping": "asha", "reduction": 3, "trials": 4}
    sweep(space, tmp_path / "sweep", **options)
    assert trained == [
        *((0, epoch) for epoch in (1, 2, 3, 4)),
        (1, 1),
        (2, 1),
        *((3, epoch) for epoch in (1, 2, 3, 4)),
    ]
    states = [row["state"] for row in trials(tmp_path / "sweep")]
    assert states == ["done", "stopped early", "stopped early", "done"]


def test_the_seconds_of_an_epoch_count_once_however_often_it_is_reported(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(trial: Trial, report: Report) -> None:
        for seed in (0, 1):
            for epoch in (1, 1, 2):
                report({"seed": seed, "epoch": epoch, "val_accuracy": 0.9, "seconds": 1.5})

    monkeypatch.setattr(sweep_module, "run_trial", run)
    monkeypatch.setattr(Result, "val_accuracy", 0.9)
    sweep(space, tmp_path / "sweep", search="random", seeds=2, trials=1)
    (row,) = trials(tmp_path / "sweep")
    assert float(row["seconds"]) == 4 * 1.5


def test_a_trial_that_raises_is_reported_and_the_rest_goes_on(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def run(trial: Trial, report: Report) -> None:
        if trial.number == 1:
            raise RuntimeError("no such luck")
        report({"seed": 0, "epoch": 1, "val_accuracy": 0.5, "seconds": 1.0})

    monkeypatch.setattr(sweep_module, "run_trial", run)
    monkeypatch.setattr(Result, "val_accuracy", 0.5)
    folder = tmp_path / "sweep"
    with pytest.raises(SystemExit, match=str(SOME_FAILED)):
        sweep(space, folder, search="random", trials=3)
    assert [row["state"] for row in trials(folder)] == ["done", "failed", "done"]
    assert "no such luck" in (folder / "trials" / "1" / "failure.txt").read_text()
    assert "trial 1: failed: RuntimeError: no such luck" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        sweep(space, folder, search="random", trials=3, resume=True)  # it has ended, so it stays
    assert [row["state"] for row in trials(folder)] == ["done", "failed", "done"]


def test_a_sweep_does_not_go_on_with_other_data(
    tiny_npz: Path, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    data = tmp_path / "data.npz"
    data.write_bytes(tiny_npz.read_bytes())
    config = dataclasses.replace(
        tiny_config, task=dataclasses.replace(tiny_config.task, dataset=str(data))
    )
    write_json(tmp_path / "preset.json", config.to_json())
    space = tmp_path / "data.yaml"
    space.write_text(f"preset: {tmp_path / 'preset.json'}\nspace: {{epochs: [1]}}\n")
    sweep(space, tmp_path / "sweep", search="random", trials=1)
    with np.load(data) as arrays:
        np.savez(data, **{**arrays, "y_test": arrays["y_test"][::-1]})
    with pytest.raises(ValueError, match=r"begun with data\..*data\.npz=.*give another --folder"):
        sweep(space, tmp_path / "sweep", search="random", trials=1, resume=True)


def test_two_commands_do_not_work_in_one_folder(space: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    with sole_driver(folder):
        for options in ({"resume": True}, {}):
            with pytest.raises(ValueError, match=r"sweep: another command is at work there"):
                sweep(space, folder, search="random", trials=1, **options)
    assert not folder.exists()  # as nothing got in
    with pytest.raises(ValueError, match="holds no sweep"):  # it is free again
        sweep(space, folder, search="random", trials=1, resume=True)


def test_a_sweep_in_which_all_fails_gives_up_and_can_go_on(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    is_full = True

    def run(trial: Trial, report: Report) -> None:
        if is_full or trial.number % 2:  # what fails now and then is no reason to give up
            raise OSError("No space left on device")
        report({"seed": 0, "epoch": 1, "val_accuracy": 0.5, "seconds": 1.0})

    monkeypatch.setattr(sweep_module, "run_trial", run)
    monkeypatch.setattr(Result, "val_accuracy", 0.5)
    folder = tmp_path / "sweep"
    with pytest.raises(SystemExit, match=str(SOME_FAILED)):
        sweep(space, folder, search="random", trials=40)
    assert [row["state"] for row in trials(folder)] == ["failed"] * 10
    assert "gave up after 10 failures in a row" in capsys.readouterr().err
    is_full = False
    with pytest.raises(SystemExit, match=str(SOME_FAILED)):
        sweep(space, folder, search="random", trials=40, resume=True)
    assert [row["state"] for row in trials(folder)].count("done") == 15
    assert "gave up" not in capsys.readouterr().err


def test_a_trial_that_is_stopped_early_is_between_failures_what_a_finished_one_is(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(trial: Trial, report: Report) -> None:
        if trial.number % 2:
            raise OSError("a point that fails")
        report({"seed": 0, "epoch": 1, "val_accuracy": 0.5, "seconds": 1.0})

    monkeypatch.setattr(sweep_module, "run_trial", run)
    monkeypatch.setattr(optuna.trial.Trial, "should_prune", lambda _: True)
    folder = tmp_path / "sweep"
    with pytest.raises(SystemExit, match=str(SOME_FAILED)):
        sweep(space, folder, search="random", trials=24)
    assert [row["state"] for row in trials(folder)] == ["stopped early", "failed"] * 12


def test_after_max_hours_trials_are_left_to_go_on_with(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curves = {0: [0.5, 0.6], 1: [0.5, 0.6]}
    trained = fake(monkeypatch, curves)
    began = time.time()

    def clock() -> float:
        return began + 3600 * (2.5 if len(trained) >= in_time else 0.1)

    monkeypatch.setattr(sweep_module.time, "time", clock)
    folder = tmp_path / "sweep"
    in_time = 3
    sweep(space, folder, search="random", max_hours=2, trials=9)
    assert trained == [(0, 1), (0, 2), (1, 1)]
    assert [row["state"] for row in trials(folder)] == ["done", "unfinished"]
    trained.clear()
    in_time = 2
    sweep(space, folder, search="random", max_hours=2, trials=9, resume=True)
    assert trained == [(1, 1), (1, 2)]  # and its last epoch was too late, but was its last
    assert [row["state"] for row in trials(folder)] == ["done", "done"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--search tpe has no end of its own"),
        ({"trials": 0}, "trials=0"),
        ({"trials": 1, "seeds": 0}, "seeds=0"),
        ({"max_hours": 0}, "max_hours=0"),
        ({"max_hours": float("nan")}, "max_hours=nan"),
        ({"trials": 1, "reduction": 1}, "reduction=1"),
        ({"trials": 1, "workers": 0}, "workers=0"),
        ({"trials": 1, "threads": 0}, "threads=0"),
        ({"trials": 1, "gpus": 1}, "gpus=1"),
        ({"trials": 1, "gpus": float("nan")}, "gpus=nan"),
    ],
)
def test_bad_options_are_named_and_nothing_is_written(
    space: Path, tmp_path: Path, capsys: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        sweep(space, tmp_path / "new", **options)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 1, "resume": True}, "holds no sweep"),
        ({"search": "grid"}, r"space\.agent\.learning_rate is a range"),
    ],
)
def test_what_cannot_be_begun_leaves_nothing_behind(
    space: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sweep(space, tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_a_folder_with_a_sweep_needs_resume_and_the_same_plan(
    finished: tuple[Path, Path],
) -> None:
    path, folder = finished
    with pytest.raises(ValueError, match="go on with it by --resume"):
        sweep(path, folder, search="random", trials=5, seeds=2)
    with pytest.raises(ValueError, match="begun with seeds=2, it cannot go on with 3"):
        sweep(path, folder, search="random", trials=5, seeds=3, resume=True)


def test_a_plan_that_differs_is_told_by_what_differs_alone(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    path, folder = finished
    changed = tmp_path / "changed.yaml"
    changed.write_text(path.read_text())
    plan = json.loads((folder / "sweep.json").read_text())
    plan["base"]["agent"]["weight_decay"] = 0.25
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps(plan))
    message = r"begun with base\.agent\.weight_decay=0\.25, it cannot go on with 0\.0;"
    with pytest.raises(ValueError, match=message):
        sweep(path, tmp_path / "sweep", search="random", trials=5, seeds=2, resume=True)


def test_a_sweep_that_is_older_than_a_field_goes_on_with_its_default(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    path, folder = finished
    older = tmp_path / "older"
    shutil.copytree(folder, older)
    plan = json.loads((older / "sweep.json").read_text())
    del plan["base"]["agent"]["patches"]
    (older / "sweep.json").write_text(json.dumps(plan))
    sweep(path, older, search="random", trials=5, seeds=2, threads=1, resume=True)
    assert trials(older) == trials(folder)


def test_metrics_of_an_ended_trial_that_are_damaged_are_named_and_the_others_told(
    finished: tuple[Path, Path], tmp_path: Path, capsys: Any
) -> None:
    path, folder = finished
    copy = shutil.copytree(folder, tmp_path / "sweep")
    (copy / "trials" / "1" / "seed-0" / "metrics.csv").write_text("garbage")
    sweep(path, copy, search="random", trials=5, seeds=2, resume=True)
    assert "trial 1: " in (told := capsys.readouterr().err)
    assert "metrics.csv is damaged" in told
    accuracies = [row["val_accuracy"] for row in trials(copy)]
    assert accuracies[1] in ("", "nan")
    assert accuracies[:1] + accuracies[2:] == [
        row["val_accuracy"] for row in trials(folder) if row["trial"] != "1"
    ]


def test_a_plan_that_is_damaged_is_named(finished: tuple[Path, Path], tmp_path: Path) -> None:
    path, _ = finished
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    with pytest.raises(
        ValueError, match=r"sweep\.json does not hold what a sweep searches: 'base'"
    ):
        sweep(path, tmp_path / "sweep", search="random", trials=5, seeds=2, resume=True)


def test_a_folder_that_holds_something_else_is_left_alone(space: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "tensorboard" / "events"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(ValueError, match="mine is not an empty folder"):
        sweep(space, tmp_path / "mine", trials=1)
    assert [path.name for path in (tmp_path / "mine").rglob("*")] == ["tensorboard", "events"]


def test_a_half_written_line_of_the_ledger_is_cut_off(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    path, _ = finished
    folder = tmp_path / "sweep"
    sweep(path, folder, search="random", trials=1, threads=1)
    with (folder / "study.journal").open("a") as journal:
        journal.write('{"op_code":4,"worker_id":"half')
    sweep(path, folder, search="random", trials=2, threads=1, resume=True)
    sweep(path, folder, search="random", trials=2, threads=1, resume=True)
    assert [row["state"] for row in trials(folder)] == ["done", "done"]


def test_the_table_has_the_best_first_and_the_failed_last(preset: Path, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(f"{{preset: {preset}, space: {{epochs: [1, 2], agent.momentum: [0.125]}}}}")
    point = {"epochs": 2, "agent.momentum": 0.125}
    results = [
        Result(0, TrialState.FAIL, False, point, [], 0.0),
        Result(1, TrialState.COMPLETE, False, point, [[0.5, 0.9], [0.8, 0.7]], 61.0),
        Result(2, TrialState.COMPLETE, False, point, [[0.95]], 1.0),
        Result(3, TrialState.PRUNED, False, point, [[0.99]], 1.0),
        Result(4, TrialState.PRUNED, True, point, [[0.97]], 1.0),
    ]
    lines = as_markdown(read_space(path), results).splitlines()[2:]
    assert lines == [
        "| 2 | done | 2 | 0.125 | 95.00 | 1 | 1 |",
        # mean of 0.9 and 0.8, standard deviation 0.1 / sqrt(2)
        "| 1 | done | 2 | 0.125 | 85.00 ± 7.07 | 4 | 61 |",
        "| 3 | stopped early | 2 | 0.125 | 99.00 | 1 | 1 |",
        "| 4 | diverged | 2 | 0.125 | 97.00 | 1 | 1 |",
        "| 0 | failed | 2 | 0.125 | - | 0 | 0 |",
    ]


def test_jobs_share_the_cores_unless_they_are_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(12)), raising=False)
    assert Workers(workers=4).threads_of_a_job == 3
    assert Workers(workers=99).threads_of_a_job == 1
    assert Workers(workers=4, threads=2).threads_of_a_job == 2
    assert Workers(cluster="auto").threads_of_a_job == 1


def test_here_jobs_use_the_threads_they_are_given() -> None:
    import torch

    used = []

    class One:
        left = 1

        def next(self) -> int | None:
            self.left -= 1
            return None if self.left < 0 else 7

        def on_report(self, job: int, progress: dict[str, float]) -> bool:
            return True

        def on_end(self, job: int, failure: str | None) -> None:
            assert failure is None

    before = torch.get_num_threads()
    launch(
        One(), lambda job, report: used.append((job, torch.get_num_threads())), Workers(threads=1)
    )
    assert used == [(7, 1)]
    assert torch.get_num_threads() == before
