from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from experiments.presets import PRESETS, find_preset
from experiments.run_folder import write_json
from experiments.space import parse_space, read_space

BASE = PRESETS["fglab"]


def test_a_file_says_which_fields_take_which_values(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(
        """
        preset: paper-28
        space:
          agent.learning_rate: {low: 1e-4, high: 1e-2, log: true}
          agent.hidden_size: {low: 64, high: 256}
          agent.core: [rnn, lstm]
          task.start: [null, random]
          batch_size: [64, 128]
        """
    )
    space = read_space(path)
    assert space.base == PRESETS["paper-28"]
    assert space.fields == {
        "agent.learning_rate": FloatDistribution(0.0001, 0.01, log=True),
        "agent.hidden_size": IntDistribution(64, 256),
        "agent.core": CategoricalDistribution(["rnn", "lstm"]),
        "task.start": CategoricalDistribution([None, "random"]),
        "batch_size": CategoricalDistribution([64, 128]),
    }


def test_data_sets_are_where_they_are_wherever_one_goes_on(
    tiny_npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_npz.parent)
    space = parse_space(BASE, {"task.dataset": [tiny_npz.name, "mnist"]})
    assert space.fields["task.dataset"] == CategoricalDistribution([str(tiny_npz), "mnist"])
    task = dataclasses.replace(BASE.task, dataset=tiny_npz.name)
    space = parse_space(dataclasses.replace(BASE, task=task), {"batch_size": [1]})
    assert space.base.task.dataset == str(tiny_npz)


def test_a_point_changes_its_fields_and_no_other() -> None:
    space = parse_space(BASE, {"agent.core": ["rnn", "lstm"], "batch_size": [1, 2]})
    config = space.config_at({"agent.core": "lstm", "batch_size": 2})
    expected = dataclasses.replace(BASE.agent, core="lstm")
    assert config == dataclasses.replace(BASE, agent=expected, batch_size=2)


REWARD_ALONE = {
    "agent.loss": "reinforce",
    "agent.location_return": "reward",
    "agent.baseline": "uninformed",
}


@pytest.mark.parametrize("names", list(itertools.permutations(REWARD_ALONE)))
def test_what_is_only_allowed_together_is_put_there_together(names: tuple[str, ...]) -> None:
    space = parse_space(BASE, {name: [REWARD_ALONE[name]] for name in names})
    (point,) = space.grid()
    expected = dataclasses.replace(
        BASE.agent, loss="reinforce", location_return="reward", baseline="uninformed"
    )
    assert space.config_at(point).agent == expected


def test_a_choice_that_some_of_the_others_allow_is_allowed() -> None:
    fields = {name: [getattr(BASE.agent, name[6:]), value] for name, value in REWARD_ALONE.items()}
    assert len(list(parse_space(BASE, fields).grid())) == 8


def test_a_grid_is_every_combination_once() -> None:
    space = parse_space(BASE, {"agent.core": ["rnn", "lstm"], "batch_size": [1, 2]})
    assert list(space.grid()) == [
        {"agent.core": "rnn", "batch_size": 1},
        {"agent.core": "rnn", "batch_size": 2},
        {"agent.core": "lstm", "batch_size": 1},
        {"agent.core": "lstm", "batch_size": 2},
    ]


def test_a_range_has_no_grid() -> None:
    space = parse_space(BASE, {"epochs": {"low": 1, "high": 9}})
    with pytest.raises(ValueError, match=r"space\.epochs is a range, which has no grid"):
        list(space.grid())


def test_yaml_takes_1e_3_for_text_and_we_do_not() -> None:
    space = parse_space(BASE, {"agent.learning_rate": ["1e-3", 1]})
    assert space.fields["agent.learning_rate"].choices == (0.001, 1.0)


def test_a_field_that_is_a_list_has_lists_to_choose_from() -> None:
    rasters: list[Any] = [[], [[0.5, -0.5], [0, 0]]]
    space = parse_space(BASE, {"agent.raster": rasters})
    empty, two = (space.config_at(point).agent.raster for point in space.grid())
    assert (empty, two) == ((), ((0.5, -0.5), (0, 0)))
    with pytest.raises(ValueError, match=r"space\.agent\.raster=0\.5 is not a list"):
        parse_space(BASE, {"agent.raster": [0.5]})
    with pytest.raises(ValueError, match=r"space\.agent\.raster='\[\[9, 9\]\]' makes no run"):
        parse_space(BASE, {"agent.raster": [[[9, 9]]]})


def test_a_choice_may_be_a_word_or_a_place() -> None:
    space = parse_space(BASE, {"task.start": [None, "random", [0.5, -1]]})
    starts = [space.config_at(point).task.start for point in space.grid()]
    assert starts == [None, "random", (0.5, -1)]
    with pytest.raises(ValueError, match=r"space\.task\.start='\[0\.5\]' makes no run"):
        parse_space(BASE, {"task.start": [[0.5]]})
    with pytest.raises(ValueError, match=r"space\.task\.start=.* has a choice twice"):
        parse_space(BASE, {"task.start": [[0.5, 1], "random", [0.5, 1.0]]})


def test_the_fields_are_those_of_the_presets_algorithm(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("{preset: fglab, agent: recurrent_ppo, space: {agent.gamma: [0.9, 0.99]}}")
    assert read_space(path).base == find_preset("fglab", "recurrent_ppo")
    with pytest.raises(ValueError, match=r"space\.agent\.gamma is no field"):
        parse_space(BASE, {"agent.gamma": [0.9]})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, r"space=\{\}"),
        (["epochs"], r"space=\['epochs'\]"),
        ({"agent.learning_rte": [1]}, r"space\.agent\.learning_rte is no field.*learning_rate"),
        ({"learning_rate": [1]}, r"space\.learning_rate is no field"),
        ({"agent.seed": [0, 1]}, r"space\.agent\.seed.*--seeds"),
        ({"epochs": []}, r"space\.epochs=\[\] is empty"),
        ({"epochs": 3}, r"space\.epochs=3 is neither a list"),
        ({"epochs": [1, 1]}, r"space\.epochs=\[1, 1\] has a choice twice"),
        ({"epochs": [1, 2.5]}, r"space\.epochs=2\.5 is not an integer"),
        ({"epochs": [True]}, r"space\.epochs=True is not an integer"),
        ({"agent.learning_rate": ["fast"]}, r"space\.agent\.learning_rate='fast' is not a number"),
        ({"agent.core": ["gru"]}, r"space\.agent\.core='gru' is not one of \['rnn', 'lstm', '"),
        ({"task.start": [3]}, r"space\.task\.start=3 is not one of .* or null"),
        ({"agent.core": {"low": 1, "high": 2}}, r"core.*the field is no number: .* one of \['rnn'"),
        ({"task.start": {"low": 1, "high": 2}}, r"start.*no number: .* or a list or null"),
        ({"epochs": {"low": 1}}, r"space\.epochs=\{'low': 1\} is no range"),
        ({"epochs": {"low": 1, "high": 2, "step": 1}}, r"space\.epochs.* is no range"),
        ({"epochs": {"low": 1, "high": 2.5}}, r"space\.epochs\.high=2\.5 is not an integer"),
        ({"epochs": {"low": 5, "high": 5}}, r"space\.epochs.*is empty: low has to be below high"),
        ({"epochs": {"low": 5, "high": 4}}, r"space\.epochs.*is empty: low has to be below high"),
        ({"epochs": {"low": 1, "high": 4, "log": "yes"}}, r"space\.epochs\.log='yes' is not true"),
        (
            {"agent.weight_decay": {"low": 0, "high": 1, "log": True}},
            r"space\.agent\.weight_decay\.low=0\.0 is not above 0",
        ),
        # What the configuration itself says, of the ends of ranges and of every choice.
        ({"batch_size": [64, 0]}, r"space\.batch_size=0 makes no run: batch_size=0 is not"),
        ({"agent.momentum": {"low": 0.5, "high": 1.5}}, r"space\.agent\.momentum=1\.5 makes"),
        ({"task.env": ["ram_env/ImageNet-v0"]}, r"space\.task\.env='ram_env/ImageNet-v0' makes no"),
        ({"task.patch_size": [8, 99]}, r"space\.task\.patch_size=99 makes no run: patch_size=99"),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_named(fields: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_space(BASE, fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", r"cannot be read"),
        ("space: {epochs: [1]}", r"needs `preset: NAME`"),
        ("{preset: fglab, spaces: {}, space: {epochs: [1]}}", r"needs `preset: NAME`"),
        ("{preset: fast, space: {epochs: [1]}}", r"preset='fast' is not one of .*fglab"),
        ("{preset: [fglab], space: {epochs: [1]}}", r"preset=\['fglab'\] is not the name"),
        ("{preset: fglab, agent: dqn, space: {epochs: [1]}}", r"agent='dqn' is not one of"),
    ],
)
def test_a_file_that_is_no_space_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_space(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.yaml cannot be read"):
        read_space(tmp_path / "nowhere.yaml")


def test_the_preset_may_be_a_file(tmp_path: Path) -> None:
    config = dataclasses.replace(BASE, epochs=77)
    write_json(tmp_path / "mine.json", config.to_json())
    path = tmp_path / "space.yaml"
    path.write_text(f"{{preset: {tmp_path / 'mine.json'}, space: {{batch_size: [1]}}}}")
    assert read_space(path).base == config
