from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import numpy as np
import pytest

from agents.hyperparameters import (
    ALGORITHMS,
    Hyperparameters,
    RecurrentPPOHyperparameters,
    ReinforceHyperparameters,
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_size", 0),
        ("hidden_size", 2.5),
        ("hidden_size", True),
        ("core", "gru"),
        ("patches", "capsules"),
        ("what_where", "attention"),
        ("location_std", 0),
        ("final_location_std", 0),
        ("location_frequencies", -1),
        ("raster", ((0.5, 2.0),)),
        ("raster", (0.5, 0.5)),
        ("location_return", "luck"),
        ("location_frame", "world"),
        ("baseline", "omniscient"),
        ("averaging", 1.0),
        ("location_std", float("nan")),
        ("loss", "supervised"),
        ("supervise", "first"),
        ("reinforce_weight", -1),
        ("optimiser", "lion"),
        ("learning_rate", "fast"),
        ("learning_rate", float("inf")),
        ("momentum", 1),
        ("weight_decay", -0.1),
        ("schedule", "step"),
        ("max_grad_norm", 0),
        ("seed", -1),
        ("device", "tpu"),
    ],
)
def test_bad_values_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{name}={value!r} is not ")):
        ReinforceHyperparameters(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("action_format", "dict"),
        ("grid_size", 0),
        ("n_steps", 1.5),
        ("n_minibatches", 0),
        ("gamma", 1.01),
        ("gae_lambda", -0.1),
        ("clip_range", 0),
        ("ent_coef", -0.01),
        ("learning_rate", 0),
    ],
)
def test_bad_values_of_ppo_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{name}={value!r} is not ")):
        RecurrentPPOHyperparameters(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("location_return", "last_log_likelihood"), ("baseline", "informed")]
)
def test_the_reward_alone_has_no_likelihoods_of_true_classes(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}='{value}': this needs the true cl") as raised:
        ReinforceHyperparameters(loss="reinforce", **{name: value})
    advice = "give location_return='reward', baseline='uninformed'"
    assert str(raised.value).endswith(advice)


def test_a_map_whose_one_unit_would_be_normalised_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^hidden_size=1: core='map' .*give at least 2"):
        ReinforceHyperparameters(core="map", hidden_size=1)
    assert ReinforceHyperparameters(hidden_size=1).hidden_size == 1


def test_whole_numbers_are_places_too() -> None:
    raster = ReinforceHyperparameters(raster=((0, 0), (1, -1))).raster
    assert [type(number) for place in raster for number in place] == [float] * 4


def test_places_may_come_as_jsons_lists() -> None:
    hyperparameters = ReinforceHyperparameters(raster=[[0.5, -1], [0, 0.25]])
    assert hyperparameters.raster == ((0.5, -1), (0, 0.25))


def test_numbers_of_numpy_become_pythons_which_json_can_hold() -> None:
    places = np.array([[0.5, -1.0], [0.0, 0.25]])
    given: dict[str, Any] = {
        "hidden_size": np.int64(64),
        "learning_rate": np.float32(0.5),
        "raster": places,
    }
    reinforce = ReinforceHyperparameters(**given, seed=np.uint32(3))
    assert (reinforce.hidden_size, reinforce.learning_rate, reinforce.seed) == (64, 0.5, 3)
    assert reinforce.raster == ((0.5, -1.0), (0.0, 0.25))
    assert json.loads(json.dumps(dataclasses.asdict(reinforce)))["hidden_size"] == 64
    assert type(RecurrentPPOHyperparameters(n_steps=np.int64(6)).n_steps) is int


@pytest.mark.parametrize(
    "raster",
    [[np.array([0.5, -1.0])], [(np.float64(0.5), np.float32(-1.0))]],
    ids=["rows", "numbers"],
)
def test_places_of_numpy_are_places(raster: Any) -> None:
    assert ReinforceHyperparameters(raster=raster).raster == ((0.5, -1.0),)


@pytest.mark.parametrize("value", [np.int64(0), np.float64(64), np.bool_(True), np.array([64])])
def test_numbers_of_numpy_are_checked_too(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^hidden_size=.* is not an integer of at least 1"):
        ReinforceHyperparameters(hidden_size=value)


def test_unknown_hyperparameters_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match="learning_rte"):
        ReinforceHyperparameters(learning_rte=1e-3)


@pytest.mark.parametrize("kind", ALGORITHMS.values())
def test_every_hyperparameter_has_a_rule(kind: type[Hyperparameters]) -> None:
    # A value of a type that no rule allows: the first field without a rule would let it pass.
    for name in (field.name for field in dataclasses.fields(kind)):
        with pytest.raises(ValueError, match=rf"^{name}=True is not"):
            kind(**{name: True})
