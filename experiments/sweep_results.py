"""What comes out of a sweep: its table, charts, TensorBoard logs, and the best configuration."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
from optuna.trial import TrialState
from torch.utils.tensorboard import SummaryWriter

from experiments.run_folder import write_json, write_text
from experiments.space import SEED, Point, Space
from experiments.sweep_plots import plot_curves, plot_importances, plot_parallel
from experiments.tables import csv_table, markdown_table

STATES = {
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "unfinished",
}
# With fewer, importances say little: where one parameter of three makes all the difference, its
# share comes out as 43 to 90 % with twenty random trials, as 25 to 70 % with ten (eight seeds
# each); with Optuna's best tenth of trials in place of the better half, as 14 to 84 % with twenty.
MIN_TRIALS_FOR_IMPORTANCES = 20
GOOD_TRIALS = 0.5  # quantile


class Result(NamedTuple):
    """What a trial has come to.

    Attributes:
        number: Its number.
        state: Whether it is done.
        has_diverged: Whether it was stopped early because learning had diverged.
        point: Its place in the space.
        accuracies: Validation accuracy after each epoch, for each seed that has one.
        seconds: Training time of all its seeds.
    """

    number: int
    state: TrialState
    has_diverged: bool
    point: Point
    accuracies: list[list[float]]
    seconds: float

    @property
    def state_name(self) -> str:
        """What people call the state."""
        return "diverged" if self.has_diverged else STATES[self.state]

    @property
    def epochs(self) -> int:
        """The epochs of all seeds together."""
        return sum(map(len, self.accuracies))

    @property
    def val_accuracy(self) -> float:
        """What is searched for: the mean of the seeds' best; NaN before the first epoch."""
        return float(np.mean([max(seed) for seed in self.accuracies])) if self.epochs else math.nan

    @property
    def std(self) -> float:
        """Their standard deviation (n - 1); NaN for one seed."""
        best = [max(seed) for seed in self.accuracies]
        return float(np.std(best, ddof=1)) if len(best) > 1 else math.nan

    @property
    def curve(self) -> list[float]:
        """Mean of the validation accuracy after each epoch, over seeds as far as the first."""
        whole = [seed for seed in self.accuracies if len(seed) == len(self.accuracies[0])]
        return [float(np.mean(epoch)) for epoch in zip(*whole, strict=True)]


def ranked(results: Sequence[Result]) -> list[Result]:
    """Returns the best first, those that are done before all others."""
    return sorted(
        results,
        key=lambda result: (
            result.state is not TrialState.COMPLETE,
            math.isnan(result.val_accuracy),
            -result.val_accuracy,
            result.number,
        ),
    )


def as_markdown(space: Space, results: Sequence[Result]) -> str:
    """Returns the table for people, the best trial first."""
    names = list(space.fields)
    columns = ["trial", "state", *names, "val accuracy (%)", "epochs run", "seconds"]
    rows = []
    for result in ranked(results):
        spread = "" if math.isnan(result.std) else f" ± {100 * result.std:.2f}"
        accuracy = "-" if not result.epochs else f"{100 * result.val_accuracy:.2f}{spread}"
        values = [as_text(result.point.get(name)) for name in names]
        numbers = [accuracy, f"{result.epochs}", f"{result.seconds:,.0f}"]
        rows.append([f"{result.number}", result.state_name, *values, *numbers])
    return markdown_table(columns, rows, text_columns=2)


def as_csv(space: Space, results: Sequence[Result]) -> str:
    """Returns the table for programs, in the order of the trials."""
    names = list(space.fields)
    columns = ["trial", "state", "val_accuracy", "std", "epochs_run", "seconds", *names]
    rows = []
    for result in results:
        numbers = [result.val_accuracy, result.std, result.epochs, result.seconds]
        values = [result.point.get(name) for name in names]
        rows.append([result.number, result.state_name, *numbers, *values])
    return csv_table(columns, rows)


def as_text(value: object) -> str:
    """Returns a hyperparameter for people: four digits are enough."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_results(
    folder: Path, space: Space, study: optuna.Study, results: Sequence[Result]
) -> None:
    """Writes all that comes out of a sweep, as far as it is.

    Args:
        folder: The sweep's.
        space: What was searched.
        study: Optuna's record of it.
        results: What every trial has come to.
    """
    write_text(folder / "trials.csv", as_csv(space, results))
    write_text(folder / "table.md", as_markdown(space, results))
    done = [result for result in ranked(results) if result.state is TrialState.COMPLETE]
    trained = [result for result in ranked(results) if result.epochs]
    if trained:
        plot_curves(
            {f"trial {result.number}": result.curve for result in trained},
            folder / "learning.png",
        )
        plot_parallel(
            {name: [result.point[name] for result in trained] for name in _searched(space)},
            [result.val_accuracy for result in trained],
            folder / "parallel.png",
        )
        write_tensorboard(folder / "tensorboard", trained)
    if len(done) >= MIN_TRIALS_FOR_IMPORTANCES and (names := _searched(space)):
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=GOOD_TRIALS)
        importances = optuna.importance.get_param_importances(
            study, evaluator=evaluator, params=names
        )
        plot_importances(importances, folder / "importance.png")
    if done:
        best = space.config_at({**done[0].point, SEED: 0})
        write_json(folder / "best.json", best.to_json())


def write_tensorboard(folder: Path, results: Sequence[Result]) -> None:
    """Writes each trial's learning curve and hyperparameters for TensorBoard's HPARAMS."""
    for logs in folder.glob("trial-*"):  # to which events can only be added
        shutil.rmtree(logs)
    for result in results:
        with SummaryWriter(str(folder / f"trial-{result.number}")) as board:
            for epoch, accuracy in enumerate(result.curve, 1):
                board.add_scalar("val_accuracy", accuracy, epoch)
            point = {
                name: str(value) if value is None else value for name, value in result.point.items()
            }
            board.add_hparams(point, {"best_val_accuracy": result.val_accuracy}, run_name=".")


def _searched(space: Space) -> list[str]:
    """Returns the fields that take more than one value."""
    return [name for name, values in space.fields.items() if not values.single()]
