"""FGMachine's arguments in every style, as the real `machine.js` makes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.fglab.options import BY_NAME, OPTIONS, read_arguments

# What the real machine.js produced of the original's options, for every style, boolean mode, cuda.
GOLDEN: dict[str, list[str]] = json.loads(
    (Path(__file__).parent / "golden_argv.json").read_text(encoding="utf-8")
)
ID = "55e069f9cf4e1fe075b76b95"
SENT = {
    "seed": 123,
    "locationHiddenSize": 128,
    "glimpsePatchSize": 8,
    "glimpseDepth": 3,
    "glimpseScale": 2,
    "glimpseHiddenSize": 128,
    "imageHiddenSize": 256,
    "hiddenSize": 256,
    "locatorStd": 0.1,
    "unitPixels": 13,
    "rho": 6,
    "rewardScale": 1,
    "batchSize": 100,
    "learningRate": 0.0001,
    "optimiser": "sgd",
    "momentum": 0.9,
    "epochs": 1,
}
SUPPORTED = {name: argv for name, argv in GOLDEN.items() if not name.startswith("function")}


def with_id(argv: list[str]) -> list[str]:
    return [word.replace("<ID>", ID) for word in argv]


def test_there_are_twelve_ways_to_say_it() -> None:
    assert len(SUPPORTED) == 3 * 2 * 2


@pytest.mark.parametrize("name", SUPPORTED)
def test_every_style_means_the_same(name: str) -> None:
    request = read_arguments(with_id(SUPPORTED[name]))
    originals = {option.name: request[option.name] for option in OPTIONS if option.is_original}
    assert originals == {"cuda": name.endswith("cuda=true"), **SENT}
    assert request.experiment_id == ID
    assert request.gpu is None


@pytest.mark.parametrize("name", SUPPORTED)
@pytest.mark.parametrize("command", ["gpu", "-gpu", "--gpu"])
def test_the_index_of_a_gpu_comes_behind_the_id(name: str, command: str) -> None:
    assert read_arguments([*with_id(SUPPORTED[name]), command, "2"]).gpu == 2


def test_folders_are_options_of_ours_before_fgmachines() -> None:
    arguments = ["--results", "/data", *with_id(next(iter(SUPPORTED.values()))), "--runs", "/runs"]
    request = read_arguments(arguments)
    assert (request.results, request.runs) == (Path("/data"), Path("/runs"))


def test_what_is_left_out_is_as_in_the_original() -> None:
    request = read_arguments([])
    assert request.values == {option.name: option.default for option in OPTIONS}
    assert request["learningRate"] == 1e-3
    assert request["cuda"] is False
    assert request.experiment_id == "123456789"
    assert request.results == Path(".")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1.0), ("1e-7", 1e-7), ("0.00001", 1e-5), ("1e+21", 1e21)],
)
def test_numbers_as_javascript_writes_them(text: str, value: float) -> None:
    assert read_arguments(["-learningRate", text])["learningRate"] == value


def test_a_value_may_begin_with_a_dash() -> None:
    with pytest.raises(ValueError, match=r"learningRate='-0.00001' is not a number above 0"):
        read_arguments(["-learningRate", "-0.00001"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--zzz=a b"], r"unknown option '--zzz=a b'; the options are cuda, seed, "),
        (["zzz", "1"], "unknown option 'zzz'"),
        (["--seed="], r"seed='' is not a whole number of at least 0"),
        (["--seed=null"], "seed='null' is not a whole number"),
        (["--seed=1.5"], "seed='1.5' is not a whole number"),
        (["--seed=-1"], "seed='-1' is not a whole number of at least 0"),
        (["--rho", "0"], "rho='0' is not a whole number of at least 1"),
        (["--cuda=yes"], "cuda='yes' is not true or false"),
        (["--locatorStd=0"], "locatorStd='0' is not a number above 0"),
        (["--learningRate=NaN"], "learningRate='NaN' is not a number"),
        (["--learningRate=Infinity"], "learningRate='Infinity' is not a number"),
        (["--momentum=1"], "momentum='1' is not a number of at least 0 and of at most 0.999"),
        (["--optimiser=lbfgs"], "optimiser='lbfgs' is not one of sgd, rmsprop, adagrad"),
        (["--epochs"], "epochs has no value"),
        (["--epochs=1", "-epochs", "2"], "epochs is given twice: '1' and then '-epochs'"),
        (["--_id=../../etc"], "_id='../../etc' cannot be the name of the results folder"),
        (["--_id="], "_id='' cannot be the name"),
        (["--_id=a", "--gpu", "first"], "--gpu 'first' behind _id is not the index of a GPU"),
        (["--gpu", "0"], "unknown option '--gpu'"),
        (["--_id=a", "--_id", "2"], "_id is given twice: 'a' and then '--_id'"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        read_arguments(arguments)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_default_is_allowed(option) -> None:
    text = str(option.default).lower() if option.kind == "bool" else str(option.default)
    assert option.parse(text) == option.default


def test_the_original_has_18_options() -> None:
    assert [name for name, option in BY_NAME.items() if option.is_original] == ["cuda", *SENT]
