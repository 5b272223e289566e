"""The space of a sweep: which fields of the training configuration take which values.

A space is a small YAML file:

    preset: fglab                # where everything else comes from: a name, or a preset file
    agent: recurrent_ppo         # if it is to be another than the preset's
    space:
      agent.learning_rate: {low: 1e-4, high: 1e-2, log: true}
      agent.core: [rnn, lstm]
      batch_size: [64, 128, 256]

A field has a list of choices, or a range, both ends included. All of it is checked before
anything runs: names, types, ends, and what the configuration itself says to each value.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from experiments.config import TaskConfig, TrainConfig
from experiments.evaluate import evaluation_task
from experiments.presets import find_preset

Value: TypeAlias = bool | int | float | str | None
Point: TypeAlias = dict[str, Value]

KEYS = {"preset", "agent", "space"}
RANGE_KEYS = ("low", "high", "log")
SEED, DATASET = "agent.seed", "task.dataset"
MOST_TRIED = 1000


@dataclass(frozen=True)
class Space:
    """What a sweep searches.

    Attributes:
        base: The configuration that every point differs from.
        fields: For each dotted name its choices, or its range as Optuna has it.
    """

    base: TrainConfig
    fields: dict[str, BaseDistribution]

    @property
    def datasets(self) -> list[Path]:
        """The files and folders that its points are trained on, the embedded data set aside."""
        searched = self.fields.get(DATASET)
        names: Sequence[Value] = (self.base.task.dataset,)
        if isinstance(searched, CategoricalDistribution):
            names = searched.choices
        tasks = [TaskConfig(dataset=str(name)) for name in names]
        return [task.data for task in tasks if task.data is not None]

    def config_at(self, point: Mapping[str, Value]) -> TrainConfig:
        """Returns the configuration of a point; a ValueError if there can be none."""
        kinds = field_types(self.base)
        values = {name: _decoded(value, kinds[name]) for name, value in point.items()}
        config: TrainConfig = _replaced(self.base, values)
        return config

    def grid(self) -> Iterator[Point]:
        """Yields every point of the grid, the last field changing fastest.

        Raises:
            ValueError: A field has a range, which has no grid.
        """
        choices = []
        for name, distribution in self.fields.items():
            if not isinstance(distribution, CategoricalDistribution):
                raise ValueError(
                    f"space.{name} is a range, which has no grid: list its choices, or search "
                    "by --search random or tpe"
                )
            choices.append(distribution.choices)
        for values in itertools.product(*choices):
            yield dict(zip(self.fields, values, strict=True))


def read_space(path: Path) -> Space:
    """Returns the space that a file describes.

    Raises:
        ValueError: The file cannot be read, or something in it is not allowed; the message names
            the field, the value and what is.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict) or not {"preset", "space"} <= set(document) <= KEYS:
        raise ValueError(
            f"{path} holds {document!r}; it needs `preset: NAME` and `space: ...`, and may have "
            "`agent: NAME`"
        )
    preset, agent = document["preset"], document.get("agent")
    if not isinstance(preset, str):
        raise ValueError(f"preset={preset!r} is not the name of a preset, or a file")
    return parse_space(find_preset(preset, agent), document["space"])


def parse_space(base: TrainConfig, fields: object) -> Space:
    """Returns the space of these fields around a configuration.

    Args:
        base: The configuration.
        fields: What stands under `space` in the file.

    Raises:
        ValueError: See `read_space`.
    """
    if not isinstance(fields, dict) or not fields:
        raise ValueError(f"space={fields!r} is not a list of fields with their values")
    base = dataclasses.replace(base, task=base.task.with_absolute_path)
    kinds = field_types(base)
    distributions = {}
    for name, values in fields.items():
        if name not in kinds:
            raise ValueError(f"space.{name} is no field; the fields are {', '.join(sorted(kinds))}")
        if name == SEED:
            raise ValueError(f"space.{name} is not to be searched: --seeds repeats each point")
        distributions[name] = _distribution(name, values, kinds[name])
    space = Space(base, distributions)
    _require_possible(space)
    return space


def field_types(config: Any) -> dict[str, Any]:
    """Returns the type of every field of a configuration, by its dotted name."""
    hints = typing.get_type_hints(type(config))
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            inner = field_types(value).items()
            found |= {f"{field.name}.{name}": kind for name, kind in inner}
        else:
            found[field.name] = hints[field.name]
    return found


def _replaced(config: Any, values: Mapping[str, Any]) -> Any:
    """Returns a configuration with other values by dotted name, all put there at once.

    One after another, what is between could be none that is allowed.
    """
    changes: dict[str, Any] = {}
    within: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        first, _, rest = name.partition(".")
        if rest:
            within.setdefault(first, {})[rest] = value
        else:
            changes[first] = value
    for first, inner in within.items():
        changes[first] = _replaced(getattr(config, first), inner)
    return dataclasses.replace(config, **changes)


def _distribution(name: str, values: object, kind: Any) -> BaseDistribution:
    """Returns a field's choices or range, checked."""
    if isinstance(values, list):
        return _choices(name, values, kind)
    if isinstance(values, dict):
        return _range(name, values, kind)
    raise ValueError(
        f"space.{name}={values!r} is neither a list of choices nor a range such as "
        "{low: 1, high: 9, log: true}"
    )


def _choices(name: str, values: list[object], kind: Any) -> CategoricalDistribution:
    if not values:
        raise ValueError(f"space.{name}=[] is empty: it needs at least one choice")
    choices = [_typed(name, value, kind) for value in values]
    if name == DATASET:
        choices = [TaskConfig(dataset=str(path)).with_absolute_path.dataset for path in choices]
    decoded = [_decoded(choice, kind) for choice in choices]
    if any(choice in decoded[:index] for index, choice in enumerate(decoded)):
        raise ValueError(f"space.{name}={values!r} has a choice twice")
    return CategoricalDistribution(choices)


def _range(name: str, values: dict[str, object], kind: Any) -> BaseDistribution:
    if not {"low", "high"} <= set(values) <= set(RANGE_KEYS):
        raise ValueError(f"space.{name}={values!r} is no range: it has low, high and, if so, log")
    number = next((part for part in _parts(kind) if part in (int, float)), None)
    if number is None:
        raise ValueError(
            f"space.{name}={values!r} is a range, but the field is no number: it is "
            f"{_in_words(kind)}"
        )
    low, high = (
        typing.cast(float, _typed(f"{name}.{end}", values[end], number)) for end in ("low", "high")
    )
    log = values.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"space.{name}.log={log!r} is not true or false")
    if not low < high:
        raise ValueError(f"space.{name}={values!r} is empty: low has to be below high")
    if log and low <= 0:
        raise ValueError(f"space.{name}.low={low!r} is not above 0, which log: true needs")
    if number is int:
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


def _typed(name: str, value: object, kind: Any) -> Value:
    """Returns a value of a field's type; a ValueError says which it has to be of."""
    for part in _parts(kind):
        if typing.get_origin(part) is Literal:
            if isinstance(value, str) and value in typing.get_args(part):
                return value
        elif _is_tuple(part):
            if isinstance(value, list):
                return json.dumps(value)  # Optuna's choices are plain values
        elif part is float:
            if (number := _as_float(value)) is not None:
                return number
        elif type(value) is part:  # a bool is no int here
            return typing.cast(Value, value)
    raise ValueError(f"space.{name}={value!r} is not {_in_words(kind)}")


def _as_float(value: object) -> float | None:
    """Returns a number as float; also of text, as YAML 1.1 takes 1e-3, without a dot, for text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _parts(kind: Any) -> tuple[Any, ...]:
    """Returns the types that a type is one of."""
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return typing.get_args(kind) if is_union else (kind,)


def _decoded(choice: Value, kind: Any) -> Any:
    """Returns what a choice stands for: a list, where `_typed` has made text of one."""
    may_be_list = any(map(_is_tuple, _parts(kind)))
    is_list = may_be_list and isinstance(choice, str) and choice.startswith("[")
    return json.loads(str(choice)) if is_list else choice


def _is_tuple(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple


def _in_words(kind: Any) -> str:
    """Returns what a field may be, for people."""
    words = {int: "an integer", float: "a number", str: "text", bool: "true or false"}
    words[types.NoneType] = "null"
    found = []
    for part in _parts(kind):
        if typing.get_origin(part) is Literal:
            found.append(f"one of {list(typing.get_args(part))}")
        else:
            found.append("a list" if _is_tuple(part) else words.get(part, str(part)))
    return " or ".join(found)


def _require_possible(space: Space) -> None:
    """Raises a ValueError where a choice or an end of a range makes no run, whatever the others.

    What makes none with some of the others is for the trial that has them to say.
    """
    for name, distribution in space.fields.items():
        for value in _extremes(distribution):
            try:
                config = _possible_config(space, name, value)
                if name.startswith("task."):
                    evaluation_task(config.task, "val", **config.agent.env_options)
            except (ValueError, TypeError) as error:
                raise ValueError(f"space.{name}={value!r} makes no run: {error}") from error


def _possible_config(space: Space, name: str, value: Value) -> TrainConfig:
    """Returns a configuration with that value: the base's or, if there is none, with the others'.

    Raises:
        ValueError: There is none among the first `MOST_TRIED`, with what the base has against it.
    """
    try:
        return space.config_at({name: value})
    except (ValueError, TypeError):
        others = {key: _extremes(field) for key, field in space.fields.items() if key != name}
        for values in itertools.islice(itertools.product(*others.values()), MOST_TRIED):
            with suppress(ValueError, TypeError):
                return space.config_at({name: value, **dict(zip(others, values, strict=True))})
        raise


def _extremes(distribution: BaseDistribution) -> tuple[Value, ...]:
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return (distribution.low, distribution.high)
