"""The loss of the Recurrent Attention Model, a pure function of a rollout.

Sources: Williams 1992 for REINFORCE with a baseline; Mnih et al. 2014 (arXiv 1406.6247), section
3.2, for the hybrid of it with supervised classification.

Shapes: `T` glimpses of an episode, `B` episodes side by side, `K` classes.
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
        log_probs: Log-probability of what was sampled after each glimpse, `(T, B)`: the next
            location and, after the last glimpse, the class. Zero where nothing was sampled: the
            class where it is supervised, locations where the gaze is not learned.
        baselines: The return that was expected after each glimpse, `(T, B)`.
        class_logits: `(T, B, K)`.
        labels: The true classes, int64 `(B,)`; None where they are not told, as in tasks of moves.
        returns: The undiscounted sum of an episode's rewards, `(B,)`.
        move_log_probs: In tasks of moves, which count after every glimpse as an answer does after
            the last one: their log-probability, `(T, B)`. `class_logits` are of moves then, and
            `log_probs` of locations alone.
    """

    log_probs: Tensor
    baselines: Tensor
    class_logits: Tensor
    labels: Tensor | None
    returns: Tensor
    move_log_probs: Tensor | None = None


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
    terms = -(rollout.log_probs * advantages).mean(dim=1)
    reinforce = terms[:-1].sum()
    baseline = errors.square().mean()
    if rollout.move_log_probs is not None:
        classification = _reinforce_choices(
            rollout.move_log_probs, rollout.class_logits, advantages, hyperparameters
        )
    elif rollout.labels is not None and hyperparameters.loss == "hybrid":
        classification = _cross_entropy(
            rollout.class_logits, rollout.labels, hyperparameters.supervise
        )
    else:
        classification = _reinforce_choices(
            rollout.log_probs[-1:], rollout.class_logits[-1:], advantages[-1:], hyperparameters
        )
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


def _reinforce_choices(
    log_probs: Tensor, logits: Tensor, advantages: Tensor, hyperparameters: ReinforceHyperparameters
) -> Tensor:
    """Returns REINFORCE of choices, less their entropy: batch means, summed over time.

    Args:
        log_probs: Of what was chosen, `(C, B)`.
        logits: Of all there was to choose from, `(C, B, K)`.
        advantages: How much better than expected it went, `(C, B)`.
        hyperparameters: With the weight of the entropy.
    """
    reinforce = -(log_probs * advantages).mean(dim=1).sum()
    log_softmax = logits.log_softmax(dim=-1)
    entropy = -(log_softmax.exp() * log_softmax).sum(dim=-1).mean(dim=1).sum()
    return reinforce - hyperparameters.entropy_weight * entropy


def gaussian_log_prob(sample: Tensor, mean: Tensor, std: float) -> Tensor:
    """Returns the log-density of points `(..., 2)` under isotropic Gaussians, `(...)`."""
    squares = ((sample - mean) / std).square().sum(dim=-1)
    return -0.5 * squares - sample.shape[-1] * math.log(std * math.sqrt(2 * math.pi))
