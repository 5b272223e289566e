"""Charts of a sweep: which hyperparameters go with good trials, which matter, and who learned how.

Accuracies are drawn as validation errors, as in the other charts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from experiments.plots import (
    ACCENT,
    GRID,
    INK,
    MUTED,
    begin_chart,
    errors_to_draw,
    new_figure,
    save_figure,
    use_error_scale,
)

Floats = NDArray[np.float64]

WIDTH, HEIGHT = 9.4, 4.4  # inches
BAR_HEIGHT = 0.42
MARGIN = 1.1
# Dark for few errors; without the palest colours, which white hides.
COLOURS = colormaps["viridis"].resampled(256)
PALEST = 0.9
BEST_WIDTH, OTHER_WIDTH = 2.6, 1.2
DECADES_FOR_LOG = 10.0  # values that span more than this factor are laid out logarithmically
TICK_DISTANCE = 0.05  # of the axis
JITTER = 0.05  # of the axis, so that equal choices do not hide each other


def plot_parallel(
    points: Mapping[str, Sequence[Any]],
    accuracies: Sequence[float],
    path: str | os.PathLike[str],
) -> None:
    """Draws a line for each trial through its hyperparameters to its validation error, as PNG.

    Args:
        points: For each hyperparameter its value in every trial, the best trial first.
        accuracies: The validation accuracy of every trial, in the same order.
        path: The file to make or to replace.
    """
    errors = errors_to_draw(accuracies)
    figure = new_figure(max(WIDTH, 1.6 * (len(points) + 1)), HEIGHT)
    axes = figure.subplots()
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_yticks([])
    columns = [_Column.of(values) for values in points.values()]
    columns.append(_Column.of(errors.tolist()))
    heights = np.stack([column.heights for column in columns], axis=1)
    colours = _colours(errors)
    for trial in reversed(range(len(errors))):  # the best one over the others
        is_best = trial == 0
        axes.plot(
            heights[trial],
            color=colours[trial],
            linewidth=BEST_WIDTH if is_best else OTHER_WIDTH,
            alpha=1.0 if is_best else 0.75,
            clip_on=False,
        )
    for position, column in enumerate(columns):
        _draw_column(axes, position, column)
    axes.set_xticks(range(len(columns)), [*map(_short, points), "validation\nerror (%)"])
    axes.tick_params(axis="x", length=0, labelsize=9, colors=INK, pad=10)
    axes.set_xlim(-0.25, len(columns) - 0.55)
    axes.set_ylim(-0.04, 1.04)
    save_figure(figure, path)


def plot_importances(importances: Mapping[str, float], path: str | os.PathLike[str]) -> None:
    """Draws how much each hyperparameter matters, the most important at the top, as PNG.

    Args:
        importances: Fractions of 1.
        path: The file to make or to replace.
    """
    names = sorted(importances, key=lambda name: importances[name])
    percent = [100 * importances[name] for name in names]
    figure = new_figure(WIDTH, MARGIN + BAR_HEIGHT * len(names))
    axes = figure.subplots()
    begin_chart(axes, ylabel="")
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    bars = axes.barh(names, percent, color=ACCENT, height=0.62)
    axes.bar_label(bars, [f"{value:.0f} %" for value in percent], padding=4, color=INK, fontsize=9)
    axes.set_xticks([])
    axes.tick_params(axis="y", colors=INK, labelsize=9)
    axes.set_xlim(0, 1.12 * max(percent))
    axes.set_title(
        "Share of the difference between the better half of trials and all (PED-ANOVA)",
        loc="left", color=MUTED, fontsize=9,
    )  # fmt: skip
    save_figure(figure, path)


def plot_curves(curves: Mapping[str, Sequence[float]], path: str | os.PathLike[str]) -> None:
    """Draws the validation error of every trial over its epochs, as PNG.

    Args:
        curves: Validation accuracy after each epoch by the trial's name, the best trial first.
        path: The file to make or to replace.
    """
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.subplots()
    begin_chart(axes, ylabel="validation error (%)")
    axes.set_xlabel("epoch")
    best, *others = curves
    lines = {name: errors_to_draw(curve) for name, curve in curves.items()}
    for number, name in enumerate([*reversed(others), best]):
        is_best = name == best
        label = f"{best}, the best" if is_best else "the others" if number == 0 else None
        axes.plot(
            np.arange(1, len(lines[name]) + 1),
            lines[name],
            "o-",
            markersize=4 if is_best else 2.5,
            color=ACCENT if is_best else "#98a2b3",
            linewidth=BEST_WIDTH if is_best else OTHER_WIDTH,
            alpha=1.0 if is_best else 0.6,
            label=label,
        )
    use_error_scale(axes, np.concatenate(list(lines.values())))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(x=0.05)
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=9)
    save_figure(figure, path)


class _Column:
    """A vertical axis of the parallel coordinates.

    Attributes:
        heights: Where each trial crosses it, in [0, 1].
        ticks: Heights with their names.
    """

    def __init__(self, heights: Floats, ticks: list[tuple[float, str]]) -> None:
        self.heights = heights
        self.ticks = ticks

    @classmethod
    def of(cls, values: Sequence[Any]) -> _Column:
        """Returns the axis of some values: numbers by their size, all else by name."""
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            numbers = np.array(values, np.float64)
            if len(set(values)) > 1:
                return cls._of_numbers(numbers)
        names = sorted({str(value) for value in values})
        places = {name: (number + 0.5) / len(names) for number, name in enumerate(names)}
        heights = np.array([places[str(value)] for value in values])
        spread = np.linspace(-JITTER, JITTER, len(values)) if len(values) > 1 else np.zeros(1)
        return cls(heights + spread / len(names), [(places[name], name) for name in names])

    @classmethod
    def _of_numbers(cls, numbers: Floats) -> _Column:
        low, high = numbers.min(), numbers.max()
        is_log = low > 0 and high / low > DECADES_FOR_LOG
        scaled = np.log(numbers) if is_log else numbers
        begin, end = scaled.min(), scaled.max()
        heights = (scaled - begin) / (end - begin)
        distinct = np.unique(numbers)
        if len(distinct) <= 5:
            marks = distinct
        else:
            marks = np.linspace(begin, end, 5)
            marks = np.exp(marks) if is_log else marks
        places = ((np.log(marks) if is_log else marks) - begin) / (end - begin)
        ticks: list[tuple[float, str]] = []
        for place, mark in zip(places.tolist(), marks, strict=True):
            if not ticks or place - ticks[-1][0] >= TICK_DISTANCE:
                ticks.append((place, f"{mark:.3g}"))
        return cls(heights, ticks)


def _draw_column(axes: Axes, position: int, column: _Column) -> None:
    axes.plot([position, position], [0, 1], color=GRID, linewidth=1.2, zorder=0, clip_on=False)
    for height, name in column.ticks:
        axes.annotate(
            name,
            (position, height),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK,
            bbox={
                "boxstyle": "round,pad=0.15",
                "facecolor": "white",
                "alpha": 0.75,
                "linewidth": 0,
            },
        )


def _colours(errors: Floats) -> NDArray[Any]:
    """Returns a colour for each error, dark for few."""
    logarithms = np.log(errors)
    spread = np.ptp(logarithms) or 1.0
    colours: NDArray[Any] = COLOURS(PALEST * (logarithms - logarithms.min()) / spread)
    return colours


def _short(name: str) -> str:
    """Returns a field's name in two lines at most: `agent.` goes without saying."""
    name = name.removeprefix("agent.")
    middle = name.rfind("_", 0, len(name) // 2 + 4)
    return name if middle <= 0 or len(name) < 12 else f"{name[: middle + 1]}\n{name[middle + 1 :]}"
