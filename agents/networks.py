"""The networks of the Recurrent Attention Model (Mnih et al. 2014, section 3.1 and figure 1).

Shapes: `B` a batch of episodes, `K` classes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]


class GlimpseNetwork(nn.Module):
    """What was seen, and where: g = ReLU(W_what ReLU(V_what glimpse) + W_where ReLU(V_where l)).

    Args:
        glimpse_shape: Shape of one glimpse, `(num_scales, patch, patch[, channels])`.
        glimpse_hidden_size: Units of the "what" layer.
        location_hidden_size: Units of the "where" layer.
        output_size: Units of g.
    """

    def __init__(
        self,
        glimpse_shape: tuple[int, ...],
        *,
        glimpse_hidden_size: int,
        location_hidden_size: int,
        output_size: int,
    ) -> None:
        super().__init__()
        self.what_hidden = nn.Linear(math.prod(glimpse_shape), glimpse_hidden_size)
        self.where_hidden = nn.Linear(2, location_hidden_size)
        self.what = nn.Linear(glimpse_hidden_size, output_size)
        self.where = nn.Linear(location_hidden_size, output_size)

    def forward(self, glimpse: Tensor, location: Tensor) -> Tensor:
        """Returns g `(B, output_size)` of glimpses `(B, *glimpse_shape)` at locations `(B, 2)`."""
        what = self.what(torch.relu(self.what_hidden(glimpse.flatten(start_dim=1))))
        where = self.where(torch.relu(self.where_hidden(location)))
        return torch.relu(what + where)


class ReluCore(nn.Module):
    """The paper's core: h_t = ReLU(W_h h_{t-1} + W_g g_t)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.input = nn.Linear(input_size, hidden_size)
        self.recurrent = nn.Linear(hidden_size, hidden_size)

    def initial_state(self, batch_size: int, device: torch.device) -> State:
        """Returns the state before the first glimpse: zeros `(B, hidden_size)`."""
        return (torch.zeros(batch_size, self.hidden_size, device=device),)

    def forward(self, glimpse_features: Tensor, state: State) -> State:
        """Returns the next state; its first tensor is h_t."""
        return (torch.relu(self.input(glimpse_features) + self.recurrent(state[0])),)


class LstmCore(nn.Module):
    """An LSTM cell, which the paper uses for its dynamic task."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.cell = nn.LSTMCell(input_size, hidden_size)

    def initial_state(self, batch_size: int, device: torch.device) -> State:
        """Returns the state before the first glimpse: zeros, twice `(B, hidden_size)`."""
        zeros = torch.zeros(batch_size, self.hidden_size, device=device)
        return (zeros, zeros)

    def forward(self, glimpse_features: Tensor, state: State) -> State:
        """Returns the next state (h_t, c_t)."""
        hidden, cell = self.cell(glimpse_features, state)
        return (hidden, cell)


CORES: dict[str, type[ReluCore | LstmCore]] = {"rnn": ReluCore, "lstm": LstmCore}


class Outlook(NamedTuple):
    """What the model makes of all glimpses so far.

    Attributes:
        location_mean: Where it would look next, in [-1, 1], `(B, 2)`.
        class_logits: `(B, K)`.
        baseline: The return it expects, `(B,)`.
    """

    location_mean: Tensor
    class_logits: Tensor
    baseline: Tensor


class RecurrentAttention(nn.Module):
    """Glimpse network, core, and the three heads: location, action (class) and baseline.

    The core learns from the classification alone: the location and baseline networks get h_t
    detached, so that the noise of REINFORCE stays out of what they share.

    Args:
        glimpse_shape: Shape of one glimpse, `(num_scales, patch, patch[, channels])`.
        num_classes: K.
        glimpse_hidden_size: Units of the "what" layer.
        location_hidden_size: Units of the "where" layer.
        image_hidden_size: Units of the glimpse network's output.
        hidden_size: Units of the core.
        core: `"rnn"` (ReLU) or `"lstm"`.
    """

    def __init__(
        self,
        glimpse_shape: tuple[int, ...],
        num_classes: int,
        *,
        glimpse_hidden_size: int,
        location_hidden_size: int,
        image_hidden_size: int,
        hidden_size: int,
        core: str,
    ) -> None:
        super().__init__()
        self.glimpse_network = GlimpseNetwork(
            glimpse_shape,
            glimpse_hidden_size=glimpse_hidden_size,
            location_hidden_size=location_hidden_size,
            output_size=image_hidden_size,
        )
        self.core = CORES[core](image_hidden_size, hidden_size)
        self.location_network = nn.Linear(hidden_size, 2)
        self.action_network = nn.Linear(hidden_size, num_classes)
        self.baseline_network = nn.Linear(hidden_size, 1)

    def forward(self, glimpse: Tensor, location: Tensor, state: State) -> tuple[Outlook, State]:
        """Takes in one glimpse.

        Args:
            glimpse: `(B, *glimpse_shape)`.
            location: Where it was taken, `(B, 2)`.
            state: The core's state before it.

        Returns:
            What the model makes of it, and the core's state after it.
        """
        state = self.core(self.glimpse_network(glimpse, location), state)
        hidden = state[0]
        outlook = Outlook(
            location_mean=torch.tanh(self.location_network(hidden.detach())),
            class_logits=self.action_network(hidden),
            baseline=self.baseline_network(hidden.detach()).squeeze(-1),
        )
        return outlook, state
