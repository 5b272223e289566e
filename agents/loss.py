"""The loss of the Recurrent Attention Model, a pure function of a rollout.

Sources: Williams 1992 for REINFORCE with a baseline; Mnih et al. 2014 (arXiv 1406.6247), section
3.2, for the hybrid of it with supervised classification.

Shapes: `T` glimpses of an episode, `B` episodes side by side, `K` classes, or moves where these are
what is chosen; `C` choices of an episode that count: all `T` moves, or the last answer alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from agents.hyperparameters import ReinforceHyperparameters, Supervise

LEAST_LOG_LIKELIHOOD = -5.0  # nats


class Rollout(NamedTuple):
    """One episode in every sub-environment.

    Attributes:
        location_log_probs: Log-probability of where was looked after each glimpse but the last,
            `(T - 1, B)`; zero where the gaze is not learned.
        choice_log_probs: Log-probability of what was chosen, `(C, B)`; None where that is not
            sampled, but supervised.
        baselines: The return that was expected after each glimpse, `(T, B)`.
        class_logits: `(T, B, K)`.
        labels: The true classes, int64 `(B,)`; None where they are not told, as in tasks of moves.
        returns: The undiscounted sum of an episode's rewards, `(B,)`.
    """

    location_log_probs: Tensor
    choice_log_probs: Tensor | None
    baselines: Tensor
    class_logits: Tensor
    labels: Tensor | None
    returns: Tensor


class Losses(NamedTuple):
    """The terms of the loss, scalars; `total` is what is minimised."""

    total: Tensor
    classification: Tensor
    reinforce: Tensor
    baseline: Tensor


def attention_loss(rollout: Rollout, hyperparameters: ReinforceHyperparameters) -> Losses:
    """Returns the loss of a rollout (Mnih et al. 2014, equation 2 and the paragraph on hybrids).

    - REINFORCE of the locations: the batch mean of `-sum_t log_prob_t * (return_t - baseline_t)`,
      in which the advantage is a constant. It sums over time, so its weight grows with the
      glimpses. What a return is, `location_return` says.
    - Baseline: the mean square of `return_t - baseline_t`, over time and batch. (After the last
      glimpse an informed baseline is told the return itself, where that is a log-likelihood.)
    - Classification, hybrid: cross-entropy, after the last glimpse or a mean over all. From the
      reward alone: REINFORCE of the class, less its entropy (Williams and Peng 1991), without
      which one class is soon named for ever. Of moves: the same, summed over time.
    """
    errors = location_returns(rollout, hyperparameters) - rollout.baselines
    advantages = errors.detach()
    reinforce = _reinforce(rollout.location_log_probs, advantages[:-1])
    baseline = errors.square().mean()
    if (chosen := rollout.choice_log_probs) is None:
        assert rollout.labels is not None
        classification = _cross_entropy(
            rollout.class_logits, rollout.labels, hyperparameters.supervise
        )
    else:
        last = slice(-len(chosen), None)
        entropy = _entropy(rollout.class_logits[last])
        classification = _reinforce(chosen, advantages[last])
        classification = classification - hyperparameters.entropy_weight * entropy
    total = classification + hyperparameters.reinforce_weight * reinforce + baseline
    return Losses(total, classification, reinforce, baseline)


def location_returns(rollout: Rollout, hyperparameters: ReinforceHyperparameters) -> Tensor:
    """Returns what the location after each glimpse is to be praised for, `(T, B)`, a constant.

    A reward is the whole episode's, as in the paper. A mean likelihood is of those to come; after
    the last glimpse, where none is, it is that of the answer.
    """
    num_glimpses = len(rollout.baselines)
    if hyperparameters.location_return == "reward" or rollout.labels is None:
        return (hyperparameters.reward_scale * rollout.returns).expand(num_glimpses, -1)
    likelihoods = log_likelihoods(rollout.class_logits, rollout.labels)
    if hyperparameters.location_return == "last_log_likelihood":
        return likelihoods[-1].expand(num_glimpses, -1)
    sums = likelihoods.flip(0).cumsum(0).flip(0)[1:]
    counts = torch.arange(num_glimpses - 1, 0, -1, device=sums.device).unsqueeze(-1)
    return torch.cat([sums / counts, likelihoods[-1:]])


def log_likelihoods(class_logits: Tensor, labels: Tensor) -> Tensor:
    """Returns the log-likelihoods of the true classes after each glimpse, `(T, B)`, in nats.

    They are constants, cut off at `LEAST_LOG_LIKELIHOOD`: beyond that, one image would outweigh all
    others.

    Args:
        class_logits: `(T, B, K)`.
        labels: int64 `(B,)`.
    """
    log_softmax = class_logits.detach().log_softmax(dim=-1)
    true_class = labels.expand(len(class_logits), -1).unsqueeze(-1)
    return log_softmax.gather(-1, true_class).squeeze(-1).clamp(min=LEAST_LOG_LIKELIHOOD)


def _cross_entropy(class_logits: Tensor, labels: Tensor, supervise: Supervise) -> Tensor:
    """Returns the cross-entropy of the classes, over the glimpses that are supervised, a scalar."""
    if supervise == "last":
        return cross_entropy(class_logits[-1], labels)
    logits, labels = class_logits.flatten(end_dim=1), labels.repeat(len(class_logits))
    if supervise == "every":
        return cross_entropy(logits, labels)
    weights = torch.arange(1.0, len(class_logits) + 1, device=logits.device)
    each = cross_entropy(logits, labels, reduction="none").reshape(len(weights), -1).mean(dim=1)
    return (weights * each).sum() / weights.sum()


def _reinforce(log_probs: Tensor, advantages: Tensor) -> Tensor:
    """Returns REINFORCE's surrogate loss of what was sampled: a batch mean, summed over time.

    Args:
        log_probs: Of what was sampled, `(time, B)`.
        advantages: How much better than expected it went, `(time, B)`, a constant.
    """
    return -(log_probs * advantages).mean(dim=1).sum()


def _entropy(logits: Tensor) -> Tensor:
    """Returns the entropy of choices `(C, B, K)` in nats: a batch mean, summed over time."""
    log_softmax = logits.log_softmax(dim=-1)
    return -(log_softmax.exp() * log_softmax).sum(dim=-1).mean(dim=1).sum()


def gaussian_log_prob(sample: Tensor, mean: Tensor, std: float) -> Tensor:
    """Returns the log-density of points `(..., 2)` under isotropic Gaussians, `(...)`."""
    squares = ((sample - mean) / std).square().sum(dim=-1)
    return -0.5 * squares - sample.shape[-1] * math.log(std * math.sqrt(2 * math.pi))
