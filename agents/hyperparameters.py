"""The hyperparameters of the agents and their training, checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np

from ram_env.validation import Place, as_options, is_place

Optimiser = Literal["sgd", "rmsprop", "adagrad", "adadelta", "adam"]
Schedule = Literal["constant", "linear", "cosine"]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]
GazeName = Literal["learned", "raster", "random"]
LocationReturn = Literal["reward", "last_log_likelihood", "mean_log_likelihood"]
Supervise = Literal["last", "every", "rising"]
CoreName = Literal["rnn", "lstm", "map"]
LocationFrame = Literal["image", "gaze"]
Initialisation = Literal["uniform", "he"]
Patches = Literal["pixels", "convolutions"]
WhatWhere = Literal["sum", "film"]
Loss = Literal["hybrid", "reinforce"]
Baseline = Literal["uninformed", "informed"]
PPOActionFormat = Literal["discrete", "multi_discrete"]


@dataclass(frozen=True, kw_only=True)
class ReinforceHyperparameters:
    """Everything about the Recurrent Attention Model and its training but the environment.

    Raises:
        ValueError: A value that is not allowed; the message names it and what is.
    """

    algorithm: ClassVar[str] = "reinforce"
    checkpoint_suffix: ClassVar[str] = ".safetensors"

    patches: Patches = "pixels"
    """What of the patches enters the layer that takes in what is seen: their pixels, as in the
    paper, or what two convolutions make of them (32 filters of 4x4 with a stride of 2, 64 of
    3x3)."""
    glimpse_hidden_size: int = 128
    """Units of the layer that takes in what is seen."""
    location_hidden_size: int = 128
    """Units of the layer that takes in where it is seen."""
    what_where: WhatWhere = "sum"
    """How what and where are put together: their sum, as in the paper, or that sum, each unit times
    a gain that the location gives it (film; Perez et al. 2018, arXiv 1709.07871)."""
    image_hidden_size: int = 256
    """Units of the glimpse network's output."""
    hidden_size: int = 256
    """Units of the recurrent core."""
    core: CoreName = "rnn"
    """Recurrent core: the paper's ReLU network, an LSTM, or a map of what was seen where, read by a
    conv net. A map is in place of the glimpse network, too: patches, glimpse_hidden_size,
    location_hidden_size, what_where, image_hidden_size, location_frequencies and initialisation
    mean nothing to it."""
    location_frequencies: int = 0
    """How many octaves of sines and cosines tell where a glimpse was, beside x and y themselves (0:
    the paper's). With them, places a pixel apart are easy to tell."""
    gaze: GazeName = "learned"
    """Where it looks: where it learns to, along the raster, or anywhere, as in the paper's random
    glimpses. All else is learned in the same way."""
    raster: tuple[Place, ...] = ()
    """Places (x, y) that the gaze begins with, before it learns to depart from them: one after each
    glimpse, and again from the first after the last; on the command line as x y x y ... No places:
    the centre."""
    location_frame: LocationFrame = "image"
    """What a learned gaze reckons from: the image, as in the paper, or where it looks now. How far
    a thing is from there can be seen, and does not depend on where in the image it is. The raster
    is of steps then: from the centre to its first place, and on to each next one."""
    location_std: float = 0.1
    """Standard deviation of the location policy, in units of location."""
    final_location_std: float | None = None
    """Its value when the schedule of the learning rate ends, reached along a line; None: it stays.
    A gaze is tested without noise: with little of it at the end, it is trained so, too."""
    white_level: float = 1.0
    """What white is to the network: 1; more, as in the presets, for larger signals; 255 as in
    programs that train on bytes, such as Torch7's example, whose learning rates are made for
    that."""
    initialisation: Initialisation = "uniform"
    """How the weights of the glimpse network, and of what enters the core, begin: PyTorch's and
    Torch7's uniform, or He et al. 2015 (arXiv 1502.01852), by which signals keep their size from
    layer to layer: on large images learning begins at once, and not after epochs."""
    loss: Loss = "hybrid"
    """Classes learned by cross-entropy (hybrid), or, as the locations, from the reward alone."""
    supervise: Supervise = "every"
    """Which glimpses the hybrid loss's cross-entropy is of: the last; every one, all alike; or
    every one, weighed by its number, as it is the last that is tested."""
    reward_scale: float = 1.0
    """What an episode's reward is multiplied by, for REINFORCE and its baseline. Likelihoods, which
    location_return may choose in its place, are not."""
    location_return: LocationReturn = "reward"
    """What REINFORCE of the locations maximises: the reward, or the log-likelihood of the true
    class, a signal that is never silent: after the last glimpse, or the mean over all glimpses that
    a location is still to serve."""
    baseline: Baseline = "uninformed"
    """What REINFORCE's baseline expects the return from: what was seen, as in the paper, or, while
    learning, also the log-likelihood that the true class has so far. What is left of the return is
    then what the next glimpses did to it, and not how hard the image is."""
    reinforce_weight: float = 1.0
    """Weight of the locations' REINFORCE term, which sums over an episode's time steps."""
    entropy_weight: float = 0.2
    """Weight of the entropy of the classes, where they are learned from the reward alone."""
    optimiser: Optimiser = "adam"
    """Optimiser; sgd has Nesterov momentum, adam decoupled weight decay (AdamW)."""
    learning_rate: float = 1e-3
    """Learning rate at the beginning."""
    location_learning_rate: float = 0.1
    """Learning rate of the location network and of the raster, as a multiple of the others'."""
    momentum: float = 0.9
    """Momentum of sgd and rmsprop."""
    weight_decay: float = 0.0
    """Weight decay, of all weights, biases and places of the raster."""
    schedule: Schedule = "constant"
    """How the learning rate goes from its beginning: constant, or falling to 0."""
    averaging: float = 0.0
    """Decay of the moving average of the weights, which is what is validated, tested and saved as
    the model; 0: none."""
    max_grad_norm: float = 5.0
    """Two gradients' norms are clipped to this: that of where to look, and that of all else, the
    baseline's in it."""
    seed: int = 0
    """Seed of weights, exploration and environments; equal seeds give equal runs on a CPU."""
    device: Device = "auto"
    """Where the model runs; auto takes a GPU if there is one."""
    precision: Precision = "float32"
    """Precision of the products while learning, and so of the hidden states: bfloat16 (weights,
    classes and baseline stay float32) is faster on hardware made for it, where auto takes it.
    Acting is always in float32."""

    def __post_init__(self) -> None:
        """Checks every value; JSON's lists of places become tuples."""
        _take_numpy_out(self)
        _require(self, _REINFORCE_RULES)
        object.__setattr__(self, "raster", tuple((float(x), float(y)) for x, y in self.raster))
        if self.core == "map" and self.hidden_size == 1:
            raise ValueError("hidden_size=1: core='map' normalises its units, so give at least 2")
        if self.loss == "reinforce":
            needed = {"location_return": "reward", "baseline": "uninformed"}
            found = {name: getattr(self, name) for name in needed}
            if wrong := {name: value for name, value in found.items() if value != needed[name]}:
                raise ValueError(
                    f"{as_options(wrong)}: this needs the true classes, and loss='reinforce' "
                    f"learns from the reward alone; give {as_options(needed)}"
                )

    @property
    def env_options(self) -> dict[str, Any]:
        """Options of the environments that it plays in: those of dict actions."""
        return {}


@dataclass(frozen=True, kw_only=True)
class RecurrentPPOHyperparameters:
    """Everything about SB3's recurrent PPO and its training but the environment.

    Names are SB3's, but for the network's sizes and `n_minibatches`, which says into how many parts
    a rollout goes, where SB3's `batch_size` says how large they are. What it learns in a glimpse
    environment is worth the same however late its one reward comes: gamma is 1.

    Raises:
        ValueError: A value that is not allowed; the message names it and what is.
    """

    algorithm: ClassVar[str] = "recurrent_ppo"
    checkpoint_suffix: ClassVar[str] = ".zip"

    action_format: PPOActionFormat = "discrete"
    """discrete looks or answers; of multi_discrete actions all labels but the last are idle, and
    yet enter the policy gradient and the entropy as noise."""
    grid_size: int = 5
    """Cells a side of the grid of places it looks at."""
    glimpse_hidden_size: int = 128
    """Units of the layer that takes in what is seen."""
    location_hidden_size: int = 128
    """Units of the layer that takes in where it is seen."""
    image_hidden_size: int = 256
    """Units of the glimpse network's output."""
    lstm_hidden_size: int = 256
    """Units of the LSTM, which actor and critic share."""
    learning_rate: float = 1e-3
    """Learning rate at the beginning; it falls to 0 along a line."""
    n_steps: int = 12
    """Steps of a rollout in each environment: a few whole episodes."""
    n_epochs: int = 4
    """How often a rollout is learned from."""
    n_minibatches: int = 4
    """Updates each time."""
    gamma: float = 1.0
    """Discount of the reward."""
    gae_lambda: float = 0.95
    """Lambda of the advantages (Schulman et al. 2016)."""
    clip_range: float = 0.2
    """How far a probability may move from a rollout's, as a ratio."""
    ent_coef: float = 0.01
    """Weight of the policy's entropy."""
    vf_coef: float = 0.5
    """Weight of the value function's loss."""
    max_grad_norm: float = 0.5
    """The gradient's norm is clipped to this."""
    seed: int = 0
    """Seed of weights, exploration and environments."""
    device: Device = "auto"
    """Where the model runs; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        """Checks every value."""
        _take_numpy_out(self)
        _require(self, _RECURRENT_PPO_RULES)

    @property
    def env_options(self) -> dict[str, Any]:
        """Options of the environments that it plays in."""
        return {"action_format": self.action_format, "grid_size": self.grid_size}


Hyperparameters: TypeAlias = ReinforceHyperparameters | RecurrentPPOHyperparameters
ALGORITHMS: dict[str, type[Hyperparameters]] = {
    kind.algorithm: kind for kind in (ReinforceHyperparameters, RecurrentPPOHyperparameters)
}

# Name, what is allowed in words, and the test for it.
Rule: TypeAlias = tuple[str, str, Callable[[Any], bool]]


def _take_numpy_out(hyperparameters: Hyperparameters) -> None:
    """Makes numbers and arrays of NumPy plain ones of Python, which JSON can hold."""
    for field in fields(hyperparameters):
        value = getattr(hyperparameters, field.name)
        object.__setattr__(hyperparameters, field.name, _without_numpy(value))


def _without_numpy(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return type(value)(map(_without_numpy, value))
    return value


def _require(hyperparameters: object, rules: Sequence[Rule]) -> None:
    for name, allowed, is_allowed in rules:
        value = getattr(hyperparameters, name)
        if isinstance(value, bool) or not is_allowed(value):
            raise ValueError(f"{name}={value!r} is not {allowed}")


def _integer_from(lowest: int) -> tuple[str, Callable[[Any], bool]]:
    return (
        f"an integer of at least {lowest}",
        lambda value: isinstance(value, int) and value >= lowest,
    )


def _choice(literal: Any) -> tuple[str, Callable[[Any], bool]]:
    """Returns the rule that a value is one of a `Literal`'s."""
    choices = get_args(literal)
    return f"one of {list(choices)}", lambda value: value in choices


def _number(text: str, is_inside: Callable[[float], bool]) -> tuple[str, Callable[[Any], bool]]:
    return (
        text,
        lambda value: isinstance(value, int | float) and math.isfinite(value) and is_inside(value),
    )


def _are_places(value: Any) -> bool:
    """Returns whether it is a sequence of pairs of numbers in [-1, 1]."""
    return isinstance(value, list | tuple) and all(map(is_place, value))


_SEED = (
    "an integer from 0 to 2**63 - 1",
    lambda value: isinstance(value, int) and 0 <= value < 2**63,
)
_SIZE = _integer_from(1)
_OCTAVES = (
    "an integer from 0 to 16",  # the last is of waves a few float32 steps long
    lambda value: isinstance(value, int) and 0 <= value <= 16,
)
_POSITIVE = _number("a number above 0", lambda value: value > 0)
_POSITIVE_OR_NONE = (
    "None or a number above 0",
    lambda value: value is None or _POSITIVE[1](value),
)
_NOT_NEGATIVE = _number("a number of at least 0", lambda value: value >= 0)
_FRACTION = _number("a number of at least 0 and below 1", lambda value: 0 <= value < 1)

_PROBABILITY = _number("a number from 0 to 1", lambda value: 0 <= value <= 1)

_SHARED_RULES: list[Rule] = [
    ("glimpse_hidden_size", *_SIZE),
    ("location_hidden_size", *_SIZE),
    ("image_hidden_size", *_SIZE),
    ("learning_rate", *_POSITIVE),
    ("max_grad_norm", *_POSITIVE),
    ("seed", *_SEED),
    ("device", *_choice(Device)),
]
_REINFORCE_RULES: list[Rule] = [
    *_SHARED_RULES,
    ("patches", *_choice(Patches)),
    ("what_where", *_choice(WhatWhere)),
    ("hidden_size", *_SIZE),
    ("core", *_choice(CoreName)),
    ("location_frequencies", *_OCTAVES),
    ("gaze", *_choice(GazeName)),
    ("raster", "a sequence of places (x, y) in [-1, 1]", _are_places),
    ("location_frame", *_choice(LocationFrame)),
    ("location_std", *_POSITIVE),
    ("final_location_std", *_POSITIVE_OR_NONE),
    ("white_level", *_POSITIVE),
    ("initialisation", *_choice(Initialisation)),
    ("loss", *_choice(Loss)),
    ("supervise", *_choice(Supervise)),
    ("reward_scale", *_POSITIVE),
    ("location_return", *_choice(LocationReturn)),
    ("baseline", *_choice(Baseline)),
    ("reinforce_weight", *_NOT_NEGATIVE),
    ("entropy_weight", *_NOT_NEGATIVE),
    ("optimiser", *_choice(Optimiser)),
    ("location_learning_rate", *_NOT_NEGATIVE),
    ("momentum", *_FRACTION),
    ("weight_decay", *_NOT_NEGATIVE),
    ("schedule", *_choice(Schedule)),
    ("averaging", *_FRACTION),
    ("precision", *_choice(Precision)),
]
_RECURRENT_PPO_RULES: list[Rule] = [
    *_SHARED_RULES,
    ("action_format", *_choice(PPOActionFormat)),
    ("grid_size", *_SIZE),
    ("lstm_hidden_size", *_SIZE),
    ("n_steps", *_SIZE),
    ("n_epochs", *_SIZE),
    ("n_minibatches", *_SIZE),
    ("gamma", *_PROBABILITY),
    ("gae_lambda", *_PROBABILITY),
    ("clip_range", *_POSITIVE),
    ("ent_coef", *_NOT_NEGATIVE),
    ("vf_coef", *_NOT_NEGATIVE),
]
