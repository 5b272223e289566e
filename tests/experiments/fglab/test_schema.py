"""The files that users of FGLab copy are those that the table of options makes."""

from __future__ import annotations

import json

import pytest

from experiments.fglab import schema
from experiments.fglab.options import BY_NAME
from experiments.fglab.readme import option_table


@pytest.mark.parametrize(
    ("path", "made"),
    [
        (schema.ORIGINAL, schema.original_schema()),
        (schema.EXTENDED, schema.extended_schema()),
    ],
    ids=["original", "extended"],
)
def test_the_schema_files_are_current(path, made) -> None:
    assert path.read_text(encoding="utf-8") == schema.to_text(made), (
        "run python -m experiments.fglab.schema"
    )


def test_the_original_schema_is_the_one_that_fglab_comes_with() -> None:
    made = schema.original_schema()
    assert made["cuda"] == {"type": "bool", "default": "false"}  # a string, as it was
    assert made["learningRate"] == {"type": "float", "default": 0.0001}
    assert made["optimiser"]["values"] == ["sgd", "rmsprop", "adagrad", "adadelta", "adam"]
    assert len(made) == 18


def test_the_extended_schema_has_all_options_with_real_booleans() -> None:
    made = schema.extended_schema()
    assert list(made) == list(BY_NAME)
    assert made["cuda"]["default"] is False
    assert made["task"] == {
        "type": "enum",
        "default": "28",
        "values": ["28", "translated", "cluttered", "cluttered-100"],
    }


def test_the_readme_has_the_table_of_options() -> None:
    readme = (schema.FOLDER / "README.md").read_text(encoding="utf-8")
    assert option_table() in readme


def test_the_machines_entries_start_us_from_anywhere() -> None:
    projects = json.loads((schema.FOLDER / "projects.json").read_text(encoding="utf-8"))
    local, docker = projects.values()
    for entry in (local, docker):
        assert isinstance(entry["capacity"], int | float)  # a string breaks FGMachine's capacity
        assert entry["options"] == "double-dash"
        assert entry["boolean"] == "mandatory"
    assert local["args"] == [
        "-u",
        "-m",
        "experiments.fglab",
        "--results",
        local["results"],
    ]
    assert docker["command"] == "docker"
    assert docker["args"][:2] == ["run", "--rm"]
