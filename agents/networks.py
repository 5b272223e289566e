"""The networks of the Recurrent Attention Model (Mnih et al. 2014, section 3.1 and figure 1).

Shapes: `B` a batch of episodes, `K` classes.
"""

from __future__ import annotations

import math
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, pad

from agents.hyperparameters import Patches, ReinforceHyperparameters, WhatWhere
from agents.spaces import GlimpseGeometry
from ram_env.sensor import GlimpseSensor
from ram_env.validation import require_choice

State = tuple[Tensor, ...]


class PatchPixels(nn.Flatten):
    """The pixels of a glimpse as they are, `(B, size)`, which is the paper's."""

    def __init__(self, glimpse_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.size = math.prod(glimpse_shape)


class PatchConvolutions(nn.Module):
    """Two convolutions over the patches, `(B, size)`, with the scales (and colours) as channels.

    A stroke is learned once, wherever in a patch it is. A patch that is smaller than 12x12 gets a
    black border up to that size, so that there are at least 3x3 places left to look at; one of an
    odd size gets a row and a column, so that the stride leaves out none of its own.
    """

    FILTERS = (32, 64)
    SMALLEST = 12

    def __init__(self, glimpse_shape: tuple[int, ...]) -> None:
        super().__init__()
        num_scales, patch_size, _, *colours = glimpse_shape
        first, second = self.FILTERS
        self.first = nn.Conv2d(math.prod([num_scales, *colours]), first, kernel_size=4, stride=2)
        self.second = nn.Conv2d(first, second, kernel_size=3)
        whole_size, border = _bordered(patch_size, smallest=self.SMALLEST)
        self.border = (*border, *border)
        self.size = second * ((whole_size - 4) // 2 - 1) ** 2

    def forward(self, glimpse: Tensor) -> Tensor:
        """Returns `(B, size)` of glimpses `(B, num_scales, patch, patch[, channels])`."""
        if glimpse.ndim == 5:
            glimpse = glimpse.movedim(-1, 2).flatten(1, 2)
        maps = torch.relu(self.second(torch.relu(self.first(pad(glimpse, self.border)))))
        return maps.flatten(1)


def _bordered(size: int, *, smallest: int) -> tuple[int, tuple[int, int]]:
    """Returns a side with a border, even and at least `smallest`, and the border at its ends."""
    whole_size = max(size + size % 2, smallest)
    before = (whole_size - size) // 2
    after = whole_size - size - before
    return whole_size, (before, after)


PATCHES: dict[str, type[PatchPixels | PatchConvolutions]] = {
    "pixels": PatchPixels,
    "convolutions": PatchConvolutions,
}


class GlimpseNetwork(nn.Module):
    """What was seen, and where: g = ReLU(W_what ReLU(V_what glimpse) + W_where ReLU(V_where l)).

    The two outer products are one, of both hidden layers side by side. With `location_frequencies`,
    l is `(x, y)` and their sines and cosines in octaves (Tancik et al. 2020, arXiv 2006.10739): of
    two numbers alone, a network learns functions that are too smooth to tell neighbouring pixels.

    With `what_where="film"` the sum is also multiplied, unit by unit, by 1 + U ReLU(V_where l)
    (feature-wise linear modulation: Perez et al. 2018, arXiv 1709.07871): the same stroke can mean
    one thing here and another there. U begins at 0, so that learning begins with the sum.

    Args:
        glimpse_shape: Shape of one glimpse, `(num_scales, patch, patch[, channels])`.
        patches: `"pixels"` or `"convolutions"`: what enters the "what" layer.
        glimpse_hidden_size: Units of the "what" layer.
        location_hidden_size: Units of the "where" layer.
        location_frequencies: How many octaves of sines and cosines; 0 is the paper's.
        what_where: `"sum"` (the paper's) or `"film"`.
        output_size: Units of g.
        white_level: What glimpses in [0, 1] are multiplied by.

    Raises:
        ValueError: There are no such `patches` or `what_where`.
    """

    octaves: Tensor

    def __init__(
        self,
        glimpse_shape: tuple[int, ...],
        *,
        white_level: float,
        patches: Patches = "pixels",
        glimpse_hidden_size: int,
        location_hidden_size: int,
        location_frequencies: int = 0,
        what_where: WhatWhere = "sum",
        output_size: int,
    ) -> None:
        super().__init__()
        require_choice("patches", patches, PATCHES)
        require_choice("what_where", what_where, get_args(WhatWhere))
        self.white_level = white_level
        octaves = math.pi * 2.0 ** torch.arange(location_frequencies)
        self.register_buffer("octaves", octaves, persistent=False)
        self.patches = PATCHES[patches](glimpse_shape)
        self.what = nn.Linear(self.patches.size, glimpse_hidden_size)
        self.where = nn.Linear(2 + 4 * location_frequencies, location_hidden_size)
        self.output = nn.Linear(glimpse_hidden_size + location_hidden_size, output_size)
        self.gain = nn.Linear(location_hidden_size, output_size) if what_where == "film" else None
        if self.gain is not None:
            nn.init.zeros_(self.gain.weight)
            nn.init.zeros_(self.gain.bias)

    def forward(self, glimpse: Tensor, location: Tensor) -> Tensor:
        """Returns g `(B, output_size)` of glimpses `(B, *glimpse_shape)` at locations `(B, 2)`."""
        what = torch.relu(self.what(self.patches(self.white_level * glimpse)))
        where = torch.relu(self.where(self._waves(location)))
        features = self.output(torch.cat([what, where], dim=-1))
        if self.gain is not None:
            features = features * (1 + self.gain(where))
        return torch.relu(features)

    def initialise_by_he(self) -> None:
        """Begins anew with the weights of He et al. 2015, biases 0; the gain stays at 0."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer is not self.gain:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def _waves(self, location: Tensor) -> Tensor:
        """Returns `(x, y)` with their sines and cosines, `(B, 2 + 4 * location_frequencies)`."""
        angles = (location.unsqueeze(-1) * self.octaves).flatten(1)
        return torch.cat([location, angles.sin(), angles.cos()], dim=-1)


class ReluCore(nn.Module):
    """The paper's core: h_t = ReLU(W_h h_{t-1} + W_g g_t), as one product of both side by side.

    W_h begins as the identity (Le, Jaitly and Hinton 2015, arXiv 1504.00941): what earlier glimpses
    have left in h_t stays there until the network learns what to forget.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.transition = nn.Linear(input_size + hidden_size, hidden_size)
        self.input_size = input_size
        with torch.no_grad():
            self.transition.weight[:, input_size:] = torch.eye(hidden_size)

    def initialise_by_he(self) -> None:
        """Begins anew with the weights of He et al. 2015 for what enters, and bias 0."""
        with torch.no_grad():
            self.transition.weight[:, : self.input_size].normal_(std=math.sqrt(2 / self.input_size))
            self.transition.bias.zero_()

    def initial_state(self, batch_size: int, device: torch.device) -> State:
        """Returns the state before the first glimpse: zeros `(B, hidden_size)`."""
        return (torch.zeros(batch_size, self.hidden_size, device=device),)

    def forward(self, glimpse_features: Tensor, state: State) -> State:
        """Returns the next state; its first tensor is h_t."""
        return (torch.relu(self.transition(torch.cat([glimpse_features, state[0]], dim=-1))),)


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


class PlacedGlimpse(nn.Module):
    """The glimpse network of a map: the glimpse, put where it was taken on a map that is empty.

    The map is of the image's pixels; what of a glimpse is outside is left out. Each scale has
    channels of its own, and one that tells which pixels it has seen.

    Args:
        glimpse_shape: Shape of one glimpse, `(num_scales, patch, patch[, channels])`.
        geometry: How a glimpse lies in its image.
        white_level: What glimpses in [0, 1] are multiplied by.

    Attributes:
        shape: That of a map, `(num_scales, channels + 1, height, width)`; the last channel is 1
            where the scale has seen something, otherwise 0.
    """

    def __init__(
        self, glimpse_shape: tuple[int, ...], geometry: GlimpseGeometry, *, white_level: float
    ) -> None:
        super().__init__()
        num_scales, patch_size, _, *colours = glimpse_shape
        self.sensor = GlimpseSensor(patch_size, num_scales, geometry.scale_factor)
        self.geometry = geometry
        self.white_level = white_level
        self.shape = (num_scales, math.prod(colours) + 1, *geometry.image_size)

    def forward(self, glimpse: Tensor, location: Tensor) -> Tensor:
        """Returns maps `(B, *shape)` that hold nothing but the glimpse."""
        reached = location.detach().cpu().numpy() * self.geometry.location_range
        boxes = self.sensor.boxes(self.geometry.image_size, reached)
        left, top, *_ = torch.as_tensor(boxes, device=glimpse.device).unbind(-1)
        height, width = self.geometry.image_size
        rows, columns = self._places(top, height), self._places(left, width)
        patches = self.white_level * glimpse.reshape(*glimpse.shape[:4], -1).movedim(-1, 2)
        patches = torch.cat([patches, torch.ones_like(patches[:, :, :1])], dim=2)
        with torch.autocast(glimpse.device.type, enabled=False):
            return rows @ patches @ columns.mT

    def _places(self, first: Tensor, side: int) -> Tensor:
        """Returns which value of a patch each row (or column) of the map has, as ones and zeros.

        Args:
            first: The first row of each scale's square, `(B, num_scales)`.
            side: How many rows the map has.

        Returns:
            float32 `(B, num_scales, 1, side, patch)`.
        """
        patch_size, extents = self.sensor.patch_size, self.sensor.extents
        pixels_per_value = torch.tensor(extents, device=first.device) // patch_size
        offset = torch.arange(side, device=first.device) - first.unsqueeze(-1)
        value = offset.div(pixels_per_value.unsqueeze(-1), rounding_mode="floor")
        places = value.unsqueeze(-1) == torch.arange(patch_size, device=first.device)
        return places.float().unsqueeze(2)


class MapCore(nn.Module):
    """A core that remembers what it saw where: a map that a conv net reads.

    Such memories are Parisotto and Salakhutdinov's (2018, arXiv 1702.08360). A newer glimpse covers
    an older one. h_t is of the whole map: a stroke that goes through several glimpses is one stroke
    there, where a core that adds up what it makes of each glimpse has parts of it. The conv net
    gives a black border to a map of an odd side, or of one below 14.
    """

    FILTERS = (32, 64, 64, 64)
    SMALLEST = 14

    def __init__(self, map_shape: tuple[int, int, int, int], hidden_size: int) -> None:
        super().__init__()
        self.map_shape = map_shape
        self.hidden_size = hidden_size
        num_scales, channels, height, width = map_shape
        first, second, third, fourth = self.FILTERS
        height, above_and_below = _bordered(height, smallest=self.SMALLEST)
        width, beside = _bordered(width, smallest=self.SMALLEST)
        self.border = (*beside, *above_and_below)
        num_places = math.prod(((side - 4) // 2 + 1 - 2 - 2 + 1) // 2 for side in (height, width))
        self.reading = nn.Sequential(
            *_layer(nn.Conv2d(num_scales * channels, first, kernel_size=4, stride=2, bias=False)),
            *_layer(nn.Conv2d(first, second, kernel_size=3, bias=False)),
            *_layer(nn.Conv2d(second, third, kernel_size=3, bias=False)),
            *_layer(nn.Conv2d(third, fourth, kernel_size=5, stride=2, padding=2, bias=False)),
            nn.Flatten(),
            *_layer(nn.Linear(fourth * num_places, hidden_size, bias=False)),
        )

    def initial_state(self, batch_size: int, device: torch.device) -> State:
        """Returns the state before the first glimpse, zeros: h_t, and the map, flat."""
        sizes = (self.hidden_size, math.prod(self.map_shape))
        return tuple(torch.zeros(batch_size, size, device=device) for size in sizes)

    def forward(self, placed_glimpse: Tensor, state: State) -> State:
        """Returns the next state: h_t, and the map with the glimpse on it."""
        before = state[1].reshape(-1, *self.map_shape)
        after = torch.where(placed_glimpse[:, :, -1:] > 0, placed_glimpse, before)
        return (self.reading(pad(after.flatten(1, 2), self.border)), after.flatten(1))


def _layer(outputs: nn.Conv2d | nn.Linear) -> tuple[nn.Module, ...]:
    """Returns what makes a layer of these outputs, normalised over all of an example.

    That is layer normalisation (Ba et al. 2016, arXiv 1607.06450): a group norm of one group.
    """
    return outputs, nn.GroupNorm(1, outputs.weight.shape[0]), nn.ReLU()


class RecurrentAttention(nn.Module):
    """Glimpse network, core, and the three heads on its hidden state h_t.

    REINFORCE teaches the core, too: what tells where to look is seldom what tells the class, so a
    location head on a detached h_t would have to do with features that nobody has made for it. The
    baseline alone takes h_t detached. The heads take hidden states of any leading shape, so that
    those of all time steps can go through them at once.

    The location head's output is an offset to a raster of places, one for each time step, which are
    the same for every image and learned, too: the gaze begins as a raster and learns where to
    depart from it. A raster of the centre alone is what the preset `mnih-2014` has. Where the gaze
    reckons from where it looks, it is an offset to the step that leads from one such place to the
    next (to the first, from the centre): how far a thing is from the middle of its view does not
    depend on where in the image that is.

    Args:
        glimpse_shape: Shape of one glimpse, `(num_scales, patch, patch[, channels])`.
        num_classes: K.
        hyperparameters: Of these, the sizes, and all that says of what kind its parts are.
        geometry: How a glimpse lies in its image, for a map; None is enough for other cores.

    Raises:
        ValueError: There is no geometry for a map.
    """

    def __init__(
        self,
        glimpse_shape: tuple[int, ...],
        num_classes: int,
        hyperparameters: ReinforceHyperparameters,
        geometry: GlimpseGeometry | None = None,
    ) -> None:
        super().__init__()
        hidden_size = hyperparameters.hidden_size
        self.glimpse_network: GlimpseNetwork | PlacedGlimpse
        self.core: ReluCore | LstmCore | MapCore
        if hyperparameters.core == "map":
            if geometry is None:
                raise ValueError("core='map' needs the geometry of the glimpses that it takes")
            self.glimpse_network = PlacedGlimpse(
                glimpse_shape, geometry, white_level=hyperparameters.white_level
            )
            self.core = MapCore(self.glimpse_network.shape, hidden_size)
        else:
            self.glimpse_network = GlimpseNetwork(
                glimpse_shape,
                patches=hyperparameters.patches,
                glimpse_hidden_size=hyperparameters.glimpse_hidden_size,
                location_hidden_size=hyperparameters.location_hidden_size,
                location_frequencies=hyperparameters.location_frequencies,
                what_where=hyperparameters.what_where,
                output_size=hyperparameters.image_hidden_size,
                white_level=hyperparameters.white_level,
            )
            self.core = CORES[hyperparameters.core](hyperparameters.image_hidden_size, hidden_size)
        self.is_relative = hyperparameters.location_frame == "gaze"
        self.location_raster = nn.Parameter(
            torch.tensor(list(hyperparameters.raster) or [(0.0, 0.0)])
        )
        self.location_network = nn.Linear(hidden_size, 2)
        nn.init.zeros_(self.location_network.weight)
        nn.init.zeros_(self.location_network.bias)
        self.action_network = nn.Linear(hidden_size, num_classes)
        is_informed = hyperparameters.baseline == "informed"
        self.baseline_network = nn.Linear(hidden_size + 3 * is_informed, 1)
        if hyperparameters.initialisation == "he":
            self.initialise_by_he()

    def initialise_by_he(self) -> None:
        """Begins anew with the weights of He et al. 2015 (arXiv 1502.01852), biases 0.

        These are the glimpse network's and, of a ReLU core, those of what enters it; what it keeps
        begins as the identity all the same. An LSTM, whose units are no ReLUs, stays as it is,
        and so does a map's core, whose layers are normalised.
        """
        if isinstance(self.glimpse_network, GlimpseNetwork):
            self.glimpse_network.initialise_by_he()
        if isinstance(self.core, ReluCore):
            self.core.initialise_by_he()

    def initial_state(self, batch_size: int, device: torch.device) -> State:
        """Returns the state before the first glimpse: the core's, and 0 glimpses taken `(B, 1)`."""
        taken = torch.zeros(batch_size, 1, device=device)
        return (*self.core.initial_state(batch_size, device), taken)

    def forward(self, glimpse: Tensor, location: Tensor, state: State) -> State:
        """Takes in one glimpse.

        Args:
            glimpse: `(B, *glimpse_shape)`.
            location: Where it was taken, `(B, 2)`.
            state: The state before it.

        Returns:
            The state after it; its first tensor is h_t, its last how many glimpses were taken.
        """
        *core_state, taken = state
        features = self.glimpse_network(glimpse, location)
        return (*self.core(features, tuple(core_state)), taken + 1)

    def location_mean(self, hidden: Tensor, glimpses_taken: Tensor, location: Tensor) -> Tensor:
        """Returns where to look next, the mean of the policy, `(..., 2)`; it may be outside.

        Unlike the paper's, its layer is told h_t without mean and scale (layer_norm): h_t grows as
        the classes are learned, and a gaze that goes by its size would be carried off with it.

        Args:
            hidden: h_t, `(..., hidden_size)`.
            glimpses_taken: How many glimpses h_t knows of, `(..., 1)`.
            location: Where the last of them was taken, `(..., 2)`.
        """
        features = layer_norm(hidden, hidden.shape[-1:])
        offset: Tensor = self.location_network(features)
        origin = self.raster_place(glimpses_taken)
        if self.is_relative:
            before = torch.where(glimpses_taken > 1, self.raster_place(glimpses_taken - 1), 0.0)
            origin = location + origin - before
        return origin + offset

    def raster_place(self, glimpses_taken: Tensor) -> Tensor:
        """Returns which place of the raster is next, `(..., 2)`, after `(..., 1)` glimpses."""
        index = (glimpses_taken.squeeze(-1).long() - 1) % len(self.location_raster)
        return self.location_raster[index]

    def class_logits(self, hidden: Tensor) -> Tensor:
        """Returns unnormalised log-probabilities of the classes, `(..., K)`.

        They are a float32 product, also where all others are of bfloat16: what is learned from
        probabilities needs more than three digits of them. So is the baseline.
        """
        return _precisely(self.action_network, hidden)

    def baseline(self, hidden: Tensor, log_likelihoods: Tensor | None) -> Tensor:
        """Returns the return to be expected, `(...)`.

        REINFORCE may compare with anything that the action has no part in (Williams 1992), also
        with what only the teacher knows (Pinto et al. 2017, arXiv 1710.06542). Most of what an
        answer will be worth is how hard the image is, and how far it is told already.

        Args:
            hidden: h_t, `(..., hidden_size)`.
            log_likelihoods: How likely h_t takes the true class to be, in nats, `(...)`, for a
                baseline that is informed; None for one that is not.
        """
        features = hidden.detach()
        if log_likelihoods is not None:
            known = log_likelihoods.unsqueeze(-1)
            features = torch.cat([features, known, known.square(), known.exp()], dim=-1)
        return _precisely(self.baseline_network, features).squeeze(-1)


def _precisely(layer: nn.Linear, features: Tensor) -> Tensor:
    """Returns a layer's output, in float32 whatever autocast says."""
    with torch.autocast(features.device.type, enabled=False):
        output: Tensor = layer(features.float())
    return output
