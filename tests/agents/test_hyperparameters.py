from __future__ import annotations

import re

import pytest

from agents.hyperparameters import ReinforceHyperparameters


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_size", 0),
        ("hidden_size", 2.5),
        ("hidden_size", True),
        ("core", "gru"),
        ("location_std", 0),
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


def test_unknown_hyperparameters_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match="learning_rte"):
        ReinforceHyperparameters(learning_rte=1e-3)


def test_every_hyperparameter_has_a_rule() -> None:
    from agents.hyperparameters import _RULES

    assert [name for name, *_ in _RULES] == list(ReinforceHyperparameters.__dataclass_fields__)
