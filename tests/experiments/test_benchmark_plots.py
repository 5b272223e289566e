from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.benchmark_plots import agent_colours, plot_glimpse_curves, plot_learning_curves
from experiments.contenders import DESCRIPTIONS

# Two seeds; the second has learned for an epoch less, or is on its way.
RESULTS: dict[str, list[dict[str, Any]]] = {
    "ram": [
        {
            "curve": [
                {"timesteps": 100, "seconds": 2.0, "val_accuracy": 0.5},
                {"timesteps": 200, "seconds": 4.0, "val_accuracy": 0.8},
            ],
            "accuracy_after_glimpses": [0.5, 0.7, 0.9],
        },
        {
            "curve": [{"timesteps": 100, "seconds": 4.0, "val_accuracy": 0.7}],
            "accuracy_after_glimpses": [0.7, 0.8, 0.95],
        },
    ],
    "mine:agent": [{"curve": [], "accuracy_after_glimpses": [0.1, 0.2, 0.4]}],
}


def lines(axes: Axes) -> dict[str, list[list[float]]]:
    """The points of every line by its name."""
    return {str(line.get_label()): line.get_xydata().tolist() for line in axes.lines}


def shaded(axes: Axes) -> list[float]:
    """From where to where it is shaded, over all."""
    (low, high) = (axes.collections[0].get_datalim(axes.transData).get_points())[:, 1]
    return [low, high]


def test_learning_is_the_mean_validation_error_against_steps_and_seconds(
    tmp_path: Path, figures: list[Figure]
) -> None:
    plot_learning_curves(RESULTS, tmp_path / "learning.png")
    by_steps, by_seconds = figures[0].axes
    # As far as all seeds have come; who tells nothing of learning is left out.
    assert lines(by_steps) == {"ram": [[100, pytest.approx(40)]]}
    assert lines(by_seconds) == {"ram": [[3, pytest.approx(40)]]}
    assert shaded(by_steps) == pytest.approx([30, 50])


def test_glimpses_are_worth_what_the_mean_test_error_after_them_is(
    tmp_path: Path, figures: list[Figure]
) -> None:
    plot_glimpse_curves(RESULTS, tmp_path / "glimpses.png")
    drawn = lines(figures[0].axes[0])
    np.testing.assert_allclose(drawn["ram"], [[1, 40], [2, 25], [3, 7.5]])
    np.testing.assert_allclose(drawn["mine:agent"], [[1, 90], [2, 80], [3, 60]])


def test_an_agent_of_the_house_has_its_colour_in_every_chart() -> None:
    alone, among_others = agent_colours(["mlp"]), agent_colours(DESCRIPTIONS)
    assert alone["mlp"] == among_others["mlp"]
    assert len(set(among_others.values())) == len(DESCRIPTIONS)


def test_another_agent_has_a_colour_that_nobody_beside_it_has() -> None:
    colours = agent_colours(["ram", "mine:one", "mine:two"])
    assert len(set(colours.values())) == 3


def test_there_may_be_more_agents_than_colours() -> None:
    names = [*DESCRIPTIONS, "mine:one", "mine:two"]
    assert list(agent_colours(names)) == names
