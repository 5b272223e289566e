"""The loss, with numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from agents.hyperparameters import ReinforceHyperparameters
from agents.loss import (
    Rollout,
    attention_loss,
    gaussian_log_prob,
    location_returns,
    log_likelihoods,
)

LN2 = math.log(2)


def make_rollout() -> Rollout:
    """Two time steps of two episodes, the first answered rightly."""
    return Rollout(
        location_log_probs=torch.tensor([[-1.0, -4.0]], requires_grad=True),
        choice_log_probs=None,
        baselines=torch.tensor([[0.5, 0.25], [0.5, 0.75]], requires_grad=True),
        class_logits=torch.tensor(
            [[[0.0, 0.0], [0.0, 0.0]], [[math.log(3), 0.0], [0.0, 0.0]]], requires_grad=True
        ),
        labels=torch.tensor([0, 1]),
        returns=torch.tensor([1.0, 0.0]),
    )


def test_reinforce_is_minus_log_prob_times_advantage_summed_over_time() -> None:
    # Advantages after glimpse 1: 1 - 0.5 = 0.5 and 0 - 0.25 = -0.25.
    # Episode 1: -(-1 * 0.5) = 0.5; episode 2: -(-4 * -0.25) = -1; mean -0.25.
    losses = attention_loss(make_rollout(), ReinforceHyperparameters())
    assert losses.reinforce.item() == pytest.approx(-0.25)


def test_a_choice_from_the_reward_alone_becomes_likelier_where_it_paid() -> None:
    # After the last glimpse the advantages are 1 - 0.5 and 0 - 0.75: minus their mean is minimised.
    options = ReinforceHyperparameters(loss="reinforce", entropy_weight=0.0)
    answer = make_rollout()._replace(choice_log_probs=torch.zeros(1, 2, requires_grad=True))
    attention_loss(answer, options).classification.backward()
    assert answer.location_log_probs.grad is None
    assert answer.choice_log_probs.grad.tolist() == [[-0.25, 0.375]]
    # Moves count at every step: after the first glimpse 1 - 0.5 and 0 - 0.25.
    moves = answer._replace(labels=None, choice_log_probs=torch.zeros(2, 2, requires_grad=True))
    attention_loss(moves, options).classification.backward()
    assert moves.choice_log_probs.grad.tolist() == [[-0.25, 0.125], [-0.25, 0.375]]


def test_a_step_more_with_the_same_terms_doubles_reinforce() -> None:
    rollout = make_rollout()
    twice = rollout._replace(
        location_log_probs=rollout.location_log_probs.repeat(2, 1),
        baselines=rollout.baselines[[0, 0, 1]],
    )
    losses = attention_loss(twice, ReinforceHyperparameters())
    assert losses.reinforce.item() == pytest.approx(-0.5)


def test_baseline_loss_is_the_mean_square_error_over_time_and_batch() -> None:
    # (0.5^2 + 0.25^2 + 0.5^2 + 0.75^2) / 4
    losses = attention_loss(make_rollout(), ReinforceHyperparameters())
    assert losses.baseline.item() == pytest.approx(0.28125)


def three_glimpses() -> Rollout:
    """The true class has the odds 1 : 1, 3 : 1 and 1 : e^9 after each glimpse of one episode."""
    logits = torch.tensor([0.0, math.log(3), -9.0]).reshape(3, 1, 1)
    return Rollout(
        location_log_probs=torch.zeros(2, 1),
        choice_log_probs=None,
        baselines=torch.zeros(3, 1),
        class_logits=torch.cat([logits, torch.zeros(3, 1, 1)], dim=-1),
        labels=torch.tensor([0]),
        returns=torch.tensor([1.0]),
    )


def test_log_likelihoods_are_of_the_true_class_and_cut_off() -> None:
    rollout = three_glimpses()
    expected = torch.tensor([[math.log(1 / 2)], [math.log(3 / 4)], [-5.0]])
    torch.testing.assert_close(log_likelihoods(rollout.class_logits, rollout.labels), expected)


@pytest.mark.parametrize(
    ("location_return", "expected"),
    [
        ("reward", [2.0, 2.0, 2.0]),  # the scale times the return
        ("last_log_likelihood", [-5.0, -5.0, -5.0]),  # -9 is cut off
        # After glimpse 1 the mean over glimpses 2 and 3, after glimpse 2 that of glimpse 3.
        ("mean_log_likelihood", [(math.log(3 / 4) - 5) / 2, -5.0, -5.0]),
    ],
)
def test_what_a_location_is_praised_for(location_return: str, expected: list[float]) -> None:
    hyperparameters = ReinforceHyperparameters(location_return=location_return, reward_scale=2.0)
    returns = location_returns(three_glimpses(), hyperparameters)
    torch.testing.assert_close(returns, torch.tensor(expected).unsqueeze(-1))


def test_praise_by_likelihood_teaches_the_classes_nothing() -> None:
    rollout = make_rollout()
    hyperparameters = ReinforceHyperparameters(location_return="mean_log_likelihood")
    attention_loss(rollout, hyperparameters).reinforce.backward()
    assert rollout.class_logits.grad is None


@pytest.mark.parametrize(
    ("supervise", "expected"),
    [
        # After the last glimpse: -ln(3/4) and ln 2.
        ("last", (-math.log(3 / 4) + LN2) / 2),
        # After the first both classes are equally likely: twice ln 2.
        ("every", (LN2 + LN2 - math.log(3 / 4) + LN2) / 4),
        # The last counts twice as much as the first: thirds of the two means.
        ("rising", (2 * LN2 / 2 + 2 * (-math.log(3 / 4) + LN2) / 2) / 3),
    ],
)
def test_classification_is_cross_entropy(supervise: str, expected: float) -> None:
    losses = attention_loss(make_rollout(), ReinforceHyperparameters(supervise=supervise))
    assert losses.classification.item() == pytest.approx(expected)


@pytest.mark.parametrize("weight", [0.0, 0.2])
def test_from_the_reward_alone_the_class_is_reinforced_too_less_its_entropy(weight: float) -> None:
    rollout = make_rollout()._replace(choice_log_probs=torch.tensor([[-2.0, -3.0]]))
    hyperparameters = ReinforceHyperparameters(
        loss="reinforce", reinforce_weight=10, entropy_weight=weight
    )
    losses = attention_loss(rollout, hyperparameters)
    # Advantages after glimpse 2: 1 - 0.5 = 0.5 and 0 - 0.75 = -0.75.
    # Episode 1: -(-2 * 0.5) = 1; episode 2: -(-3 * -0.75) = -2.25; mean -0.625.
    # Entropies of (3/4, 1/4) and (1/2, 1/2): 2 ln 2 - 3/4 ln 3 and ln 2.
    entropy = (2 * LN2 - 0.75 * math.log(3) + LN2) / 2
    assert losses.classification.item() == pytest.approx(-0.625 - weight * entropy)
    assert losses.total.item() == pytest.approx(losses.classification.item() + 10 * -0.25 + 0.28125)


def test_moves_are_reinforced_at_every_step_less_their_entropy() -> None:
    rollout = make_rollout()._replace(
        labels=None, choice_log_probs=torch.tensor([[-1.0, -4.0], [-2.0, -3.0]])
    )
    hyperparameters = ReinforceHyperparameters(loss="reinforce", entropy_weight=0.2)
    losses = attention_loss(rollout, hyperparameters)
    # Advantages: 0.5 and -0.25 after glimpse 1, 0.5 and -0.75 after glimpse 2.
    # -(-1 * 0.5) = 0.5 and -(-4 * -0.25) = -1, mean -0.25; after glimpse 2 -0.625, as above.
    # Entropies: twice ln 2 after glimpse 1; as above after glimpse 2.
    entropy = LN2 + (2 * LN2 - 0.75 * math.log(3) + LN2) / 2
    assert losses.classification.item() == pytest.approx(-0.25 - 0.625 - 0.2 * entropy)
    assert losses.reinforce.item() == pytest.approx(-0.25)  # the locations', as ever


def test_total_weighs_reinforce_alone() -> None:
    losses = attention_loss(make_rollout(), ReinforceHyperparameters(reinforce_weight=10))
    expected = losses.classification.item() + 10 * -0.25 + 0.28125
    assert losses.total.item() == pytest.approx(expected)


def test_the_advantage_holds_no_gradient_of_the_baseline() -> None:
    rollout = make_rollout()
    attention_loss(rollout, ReinforceHyperparameters()).reinforce.backward()
    assert rollout.baselines.grad is None
    # d/dlog_prob = -advantage / B, of the locations
    assert rollout.location_log_probs.grad.tolist() == [[-0.25, 0.125]]


def test_the_baseline_learns_from_its_own_error_only() -> None:
    rollout = make_rollout()
    attention_loss(rollout, ReinforceHyperparameters(loss="reinforce")).total.backward()
    # d/db of the mean square: -2 (return - b) / 4
    torch.testing.assert_close(
        rollout.baselines.grad, torch.tensor([[-0.25, 0.125], [-0.25, 0.375]])
    )


def test_gaussian_log_prob() -> None:
    # Two coordinates, each -z^2/2 - ln(0.5 sqrt(2 pi)), with z = 1 and z = -2.
    sample, mean = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.0, 0.0]])
    expected = -0.5 - 2.0 - 2 * math.log(0.5 * math.sqrt(2 * math.pi))
    assert gaussian_log_prob(sample, mean, 0.5).item() == pytest.approx(expected)
