"""Charts of a benchmark: how fast agents learn, what each glimpse is worth, where they look."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import NDArray

from experiments.contenders import DESCRIPTIONS
from experiments.plots import (
    begin_chart,
    draw_heat,
    draw_mean_image,
    errors_to_draw,
    mark_log_axis,
    new_figure,
    save_figure,
    use_error_scale,
)

Results = Mapping[str, Sequence[dict[str, Any]]]
Floats = NDArray[np.float64]

# The colour-blind safe palette of Okabe & Ito (2008), without its yellow, and a grey: a colour for
# each agent in `DESCRIPTIONS`.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#8a8a8a"]
WIDTH, HEIGHT = 9.4, 4.4  # inches
SHADE = 0.18
MAP_SIDE = 1.15  # inches
NAME_WIDTH = 0.9  # of the agents, at the left of their maps


def plot_learning_curves(results: Results, path: str | os.PathLike[str]) -> None:
    """Draws the validation error against environment steps and against time, as PNG.

    Args:
        results: For each agent the results of its seeds; the line is their mean, the shade goes
            from the best seed to the worst. Agents without a curve are left out.
        path: The file to make or to replace.
    """
    figure = new_figure(WIDTH, HEIGHT)
    by_steps, by_seconds = figure.subplots(1, 2, sharey=True)
    begin_chart(by_steps, ylabel="validation error (%)")
    begin_chart(by_seconds, ylabel="")
    by_steps.set_xlabel("environment steps")
    by_seconds.set_xlabel("seconds of training")
    by_seconds.set_xscale("log")
    colours = agent_colours(results)
    for axes, column in ((by_steps, "timesteps"), (by_seconds, "seconds")):
        for agent, seeds in results.items():
            curves = [result["curve"] for result in seeds if result["curve"]]
            if not curves:
                continue
            length = min(len(curve) for curve in curves)
            points = np.array([[point[column] for point in curve[:length]] for curve in curves])
            accuracies = [[point["val_accuracy"] for point in curve[:length]] for curve in curves]
            errors = errors_to_draw(accuracies)
            _draw_seeds(axes, points.mean(axis=0), errors, agent, colours[agent])
    _finish(by_steps, by_seconds)
    by_steps.set_xlim(left=0)
    by_steps.xaxis.set_major_formatter(EngFormatter(sep=""))
    mark_log_axis(by_seconds.xaxis, *by_seconds.get_xlim())
    save_figure(figure, path)


def plot_glimpse_curves(results: Results, path: str | os.PathLike[str]) -> None:
    """Draws the test error if the answer were due after each glimpse, as PNG.

    Args:
        results: See `plot_learning_curves`.
        path: The file to make or to replace.
    """
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.subplots()
    begin_chart(axes, ylabel="test error (%)")
    axes.set_xlabel("glimpses taken")
    colours = agent_colours(results)
    for agent, seeds in results.items():
        errors = errors_to_draw([result["accuracy_after_glimpses"] for result in seeds])
        _draw_seeds(axes, np.arange(1.0, errors.shape[1] + 1), errors, agent, colours[agent])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _finish(axes)
    save_figure(figure, path)


def plot_gaze_maps(
    centres: Mapping[str, Floats], mean_image: Floats, path: str | os.PathLike[str]
) -> None:
    """Draws where each agent looks, a row of maps for each, a map for each glimpse, as PNG.

    Args:
        centres: For each agent the centres of its glimpses, see `plots.plot_gaze`.
        mean_image: The mean of the images, `(height, width)` or `(height, width, channels)`.
        path: The file to make or to replace.
    """
    grey = mean_image if mean_image.ndim == 2 else mean_image.mean(axis=-1)
    columns = max(points.shape[1] for points in centres.values())
    figure = new_figure(NAME_WIDTH + columns * MAP_SIDE, (len(centres) + 0.3) * MAP_SIDE)
    panels = figure.subplots(len(centres), columns, squeeze=False)
    titles = [[f"glimpse {glimpse + 1}" for glimpse in range(columns)]]
    titles += [[""] * columns] * (len(centres) - 1)
    for row, heads, (agent, points) in zip(panels, titles, centres.items(), strict=True):
        for axes, title in zip(row, heads, strict=True):
            draw_mean_image(axes, grey, title)
        for axes, places in zip(row, points.swapaxes(0, 1), strict=False):
            draw_heat(axes, places, (grey.shape[0], grey.shape[1]))
        row[0].set_ylabel(agent, rotation=0, ha="right", va="center")
    save_figure(figure, path)


def agent_colours(agents: Iterable[str]) -> dict[str, str]:
    """Returns a colour for each agent: one of the house has the same in every chart."""
    names = list(agents)
    own = dict(zip(DESCRIPTIONS, COLOURS, strict=True))
    free = [colour for name, colour in own.items() if name not in names]
    others = itertools.cycle(free or COLOURS)
    return {name: own[name] if name in own else next(others) for name in names}


def _draw_seeds(axes: Axes, points: Floats, errors: Floats, name: str, colour: str) -> None:
    axes.plot(points, errors.mean(axis=0), "o-", label=name, color=colour, markersize=4)
    axes.fill_between(
        points, errors.min(axis=0), errors.max(axis=0), color=colour, alpha=SHADE, linewidth=0
    )


def _finish(*panels: Axes) -> None:
    """Writes the lines' names above and plain percentages at the axis."""
    for axes in panels:
        drawn = [np.asarray(line.get_ydata(), np.float64) for line in axes.lines]
        use_error_scale(axes, np.concatenate([*drawn, np.empty(0)]))
        axes.margins(x=0.1)
    handles, names = panels[0].get_legend_handles_labels()
    panels[0].figure.legend(
        handles,
        names,
        loc="outside upper center",
        ncols=len(names),
        frameon=False,
        columnspacing=1.2,
    )
