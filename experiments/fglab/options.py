"""The options of FGLab's Recurrent Attention Model example, under their original names.

One table, `OPTIONS`, says everything about them: the schemas that are uploaded to FGLab, the table
in the README and the reading of arguments are all made of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from agents.hyperparameters import CoreName

Kind = Literal["bool", "int", "float", "enum"]
Value: TypeAlias = bool | int | float | str


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        name: As FGLab sends it.
        kind: FGLab's type of it.
        default: The original program's, for who leaves it out.
        becomes: What it is called here, in our configuration.
        meaning: What it is.
        schema_default: What the original's schema preselects on the web form, if it differs.
        lowest: The least that is allowed, of numbers.
        highest: The most that is allowed, of numbers.
        above: What a number must be above.
        values: The choices of an enum.
        is_original: Whether the original example has it.
    """

    name: str
    kind: Kind
    default: Value
    becomes: str
    meaning: str
    schema_default: Value | None = None
    lowest: float = -math.inf
    highest: float = math.inf
    above: float = -math.inf
    values: tuple[str, ...] = ()
    is_original: bool = True

    @property
    def allowed(self) -> str:
        """What values it takes, in words."""
        if self.kind == "bool":
            return "true or false"
        if self.kind == "enum":
            return f"one of {', '.join(self.values)}"
        limits = [
            (f"of at least {self.lowest:g}", self.lowest),
            (f"above {self.above:g}", self.above),
            (f"of at most {self.highest:g}", self.highest),
        ]
        number = "a whole number" if self.kind == "int" else "a number"
        return f"{number} " + " and ".join(text for text, limit in limits if math.isfinite(limit))

    def parse(self, text: str) -> Value:
        """Returns the value that a text stands for; a ValueError says what is allowed."""
        value = _PARSERS[self.kind](text)
        if value is None or not self._is_allowed(value):
            raise ValueError(f"{self.name}={text!r} is not {self.allowed}")
        return value

    def _is_allowed(self, value: Value) -> bool:
        if self.kind == "enum":
            return value in self.values
        if self.kind == "bool":
            return True
        return self.lowest <= float(value) <= self.highest and float(value) > self.above


def _parse_bool(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text)


def _parse_int(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else None


def _parse_float(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


_PARSERS: dict[Kind, Callable[[str], Value | None]] = {
    "bool": _parse_bool,
    "int": _parse_int,
    "float": _parse_float,
    "enum": str,
}

# A zero too many, and the machine would be out of memory with all that runs there.
MOST_UNITS = 10_000
OPTIONS: tuple[Option, ...] = (
    Option(
        "cuda",
        "bool",
        False,
        "device",
        "Run on a GPU. Where there is none it runs on the CPU and says so, as the original's web "
        "form preselects true",
        schema_default="false",
    ),
    Option("seed", "int", 123, "seed", "Seed of weights, exploration and environments", lowest=0),
    Option(
        "locationHiddenSize",
        "int",
        128,
        "location_hidden_size",
        "Units of the layer that takes in where a glimpse is",
        lowest=1,
        highest=MOST_UNITS,
    ),
    Option("glimpsePatchSize", "int", 8, "patch_size", "Side of every patch, in values", lowest=1),
    Option(
        "glimpseDepth",
        "int",
        3,
        "num_scales",
        "How many concentric squares a glimpse has",
        lowest=1,
        highest=10,
    ),
    Option(
        "glimpseScale",
        "int",
        2,
        "scale_factor",
        "By how much the side grows from one square to the next",
        lowest=1,
    ),
    Option(
        "glimpseHiddenSize",
        "int",
        128,
        "glimpse_hidden_size",
        "Units of the layer that takes in what is seen",
        lowest=1,
        highest=MOST_UNITS,
    ),
    Option(
        "imageHiddenSize",
        "int",
        256,
        "image_hidden_size",
        "Units of the glimpse network's output",
        lowest=1,
        highest=MOST_UNITS,
    ),
    Option(
        "hiddenSize",
        "int",
        256,
        "hidden_size",
        "Units of the recurrent core",
        lowest=1,
        highest=MOST_UNITS,
    ),
    Option(
        "locatorStd",
        "float",
        0.1,
        "location_std",
        "Half the standard deviation of the location policy: the original doubles it, too",
        above=0,
    ),
    Option(
        "unitPixels",
        "int",
        13,
        "location_range",
        "Farthest distance of a glimpse from the image's centre along each axis, in pixels; at "
        "most half the image's side",
        lowest=1,
    ),
    Option("rho", "int", 6, "num_glimpses", "Glimpses of an episode", lowest=1, highest=1000),
    Option(
        "rewardScale",
        "float",
        1.0,
        "reward_scale",
        "Reward of a right answer, as REINFORCE and its baseline get it",
        above=0,
    ),
    Option(
        "batchSize",
        "int",
        100,
        "batch_size",
        "Episodes that one update learns from",
        lowest=1,
        highest=10_000,
    ),
    Option(
        "learningRate",
        "float",
        1e-3,
        "learning_rate",
        "Learning rate, constant",
        schema_default=1e-4,
        above=0,
    ),
    Option(
        "optimiser",
        "enum",
        "sgd",
        "optimiser",
        "Optimiser; sgd with Nesterov momentum, as in the original",
        values=("sgd", "rmsprop", "adagrad", "adadelta", "adam"),
    ),
    Option(
        "momentum",
        "float",
        0.9,
        "momentum",
        "Momentum of sgd; the other optimisers have none, as in the original",
        lowest=0,
        highest=0.999,
    ),
    Option("epochs", "int", 1, "epochs", "Passes over the training images", lowest=1),
    Option(
        "agent",
        "enum",
        "reinforce",
        "agent",
        "The algorithm: the original's, or SB3's recurrent PPO, which learns from the reward alone",
        values=("reinforce", "recurrent_ppo"),
        is_original=False,
    ),
    Option(
        "task",
        "enum",
        "28",
        "env",
        "Plain 28x28 digits, or the paper's: 60x60 translated, 60x60 or 100x100 cluttered. The "
        "paper's sensor is for you to give: unitPixels 30, rho 8, glimpsePatchSize 12; of 100x100 "
        "unitPixels 50 and glimpseDepth 4",
        values=("28", "translated", "cluttered", "cluttered-100"),
        is_original=False,
    ),
    Option(
        "core",
        "enum",
        "rnn",
        "core",
        "Recurrent core: the original's ReLU network, an LSTM, or a map of what was seen where, in "
        "place of the glimpse network, too",
        values=get_args(CoreName),
        is_original=False,
    ),
)
BY_NAME = {option.name: option for option in OPTIONS}
DEFAULT_ID = "123456789"  # the original's, for who leaves it out
FOLDERS = ("results", "runs")  # options of ours, for `args` in projects.json


@dataclass(frozen=True)
class Request:
    """What FGMachine asks for.

    Attributes:
        experiment_id: The experiment's `_id`, which names its results folder.
        values: The value of every option in `OPTIONS`.
        results: The folder that FGMachine watches.
        runs: Where checkpoints are kept.
        gpu: The index of the GPU that FGMachine has set aside, if it did.
    """

    experiment_id: str
    values: dict[str, Value]
    results: Path
    runs: Path
    gpu: int | None

    def __getitem__(self, name: str) -> Any:
        """Returns the value of an option."""
        return self.values[name]


def read_arguments(arguments: Sequence[str]) -> Request:
    """Returns what the arguments say, in any style that FGMachine has.

    `--name=value`, `-name value` and `name value` mean the same. A boolean may stand alone, which
    means true. FGMachine's `_id` comes last, but for the option and index of a GPU.

    Raises:
        ValueError: An option that is unknown, missing its value, given twice or not allowed.
    """
    words = list(arguments)
    known = (*BY_NAME, *FOLDERS, "_id")
    texts: dict[str, str] = {}
    gpu: int | None = None
    while words:
        word = words.pop(0)
        name, equals, text = word.lstrip("-").partition("=")
        if "_id" in texts and not equals and len(words) == 1 and name not in known:
            gpu = _parse_gpu(word, words.pop())
            continue
        if name not in known:
            raise ValueError(f"unknown option {word!r}; the options are {', '.join(BY_NAME)}, _id")
        if name in texts:
            raise ValueError(f"{name} is given twice: {texts[name]!r} and then {word!r}")
        if not equals:
            text = _value_of(name, words)
        texts[name] = text
    return Request(
        experiment_id=_experiment_id(texts.pop("_id", DEFAULT_ID)),
        results=Path(texts.pop("results", ".")),
        runs=Path(texts.pop("runs", "runs")),
        values={
            option.name: option.parse(texts[option.name])
            if option.name in texts
            else option.default
            for option in OPTIONS
        },
        gpu=gpu,
    )


def _value_of(name: str, words: list[str]) -> str:
    """Takes an option's value off the words that follow it."""
    is_bool = name in BY_NAME and BY_NAME[name].kind == "bool"
    if is_bool and (not words or words[0] not in ("true", "false")):
        return "true"
    if not words:
        raise ValueError(f"{name} has no value")
    return words.pop(0)


def _parse_gpu(name: str, text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{name} {text!r} behind _id is not the index of a GPU, a whole number")
    return int(text)


def _experiment_id(text: str) -> str:
    """Returns the id, which becomes the name of a folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text):
        raise ValueError(
            f"_id={text!r} cannot be the name of the results folder; FGLab gives 24 hexadecimal "
            "digits, letters, digits, '.', '_' and '-' will do"
        )
    return text
