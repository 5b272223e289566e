from __future__ import annotations

from experiments.benchmark_plots import agent_colours
from experiments.contenders import DESCRIPTIONS


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
