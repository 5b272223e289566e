"""REINFORCE for the Recurrent Attention Model, in the order of the paper: rollout, loss, update.

Sources: Williams 1992 for REINFORCE with a baseline; Mnih et al. 2014 (arXiv 1406.6247), section
3.2, for the hybrid of it with supervised classification.

Shapes: `T` glimpses of an episode, `B` episodes side by side (`num_envs`), `K` classes.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from agents.base import LearningDivergedError
from agents.checkpoint import DamagedCheckpointError, read_checkpoint, write_checkpoint
from agents.devices import find_device, find_precision
from agents.hyperparameters import Device, ReinforceHyperparameters
from agents.loss import (
    Losses,
    Rollout,
    attention_loss,
    gaussian_log_prob,
    log_likelihoods,
)
from agents.networks import RecurrentAttention, State
from agents.optimisers import (
    average_weights,
    clip_gradients,
    decay,
    make_optimiser,
    set_learning_rates,
)
from agents.processes import Share
from agents.seeds import learning_seeds
from agents.spaces import GlimpseGeometry, GlimpseSpaces
from ram_env.validation import require_choice, require_positive


class UpdateMetrics(NamedTuple):
    """What one update reports: batch means, as plain numbers.

    Attributes:
        loss: What was minimised.
        classification_loss: Of the classes: cross-entropy, or REINFORCE and entropy. Of moves: the
            latter.
        reinforce_loss: REINFORCE of the locations.
        baseline_loss: The baseline's mean square error.
        cross_entropy: Of the classes after the last glimpse, whether it was minimised or not; NaN
            without labels, as of moves.
        reward: Mean return of the rollout's episodes.
        accuracy: How often the likeliest class after the last glimpse was right; without labels,
            as of moves, which are not right or wrong by themselves, the mean return.
    """

    loss: float
    classification_loss: float
    reinforce_loss: float
    baseline_loss: float
    cross_entropy: float
    reward: float
    accuracy: float


Callback = Callable[["Reinforce", UpdateMetrics], bool | None]
AVERAGE = "average."  # how names of averaged weights begin in a training state


class Reinforce:
    """The Recurrent Attention Model, trained by REINFORCE with a baseline.

    Works on any `VectorEnv` with the spaces of a glimpse environment (dict observations `glimpse`
    and `location`, dict actions `location` and `label`) whose episodes all have the same length,
    and whose last step's info has the true `label`, which learning from the reward alone
    (`loss="reinforce"`) does without; it uses the public Gymnasium API only. Actions may have a
    `move` in place of the `label`: it counts at every step, and needs `loss="reinforce"`. Every
    rollout begins by resetting the environments, so `autoreset_mode="Disabled"` suits best;
    with `"SameStep"`, the episodes that it has begun by then are thrown away. For `core="map"`, the
    environment has a `task` that tells how glimpses lie in an image, as `ram_env`'s have.

    Where several processes have joined (`agents.processes`), they learn together: each in
    environments of its own, as many as the others, and all from the mean of their gradients.

    Args:
        env: The environments to learn in, all their sub-environments at once.
        **hyperparameters: Fields of `ReinforceHyperparameters`; `agents/hyperparameters.py` and
            `ram train --help` describe them.

    Raises:
        ValueError: The environment or a hyperparameter is not of the kind above.
        TypeError: There is no such hyperparameter.

    Attributes:
        num_timesteps: Environment steps learned from so far, in all sub-environments together.
        location_std: The location policy's standard deviation now.

    Example:
        >>> import gymnasium as gym, ram_env
        >>> env = gym.make_vec("ram_env/MNIST-v0", num_envs=256)
        >>> agent = Reinforce(env, learning_rate=1e-3).learn(total_timesteps=256 * 6)
        >>> actions, state = agent.predict(env.reset()[0], deterministic=True)
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], **hyperparameters: Any) -> None:
        self._require_vector_env(env)
        names = [field.name for field in dataclasses.fields(ReinforceHyperparameters)]
        if unknown := sorted(hyperparameters.keys() - names):
            raise TypeError(
                f"{', '.join(unknown)}: no hyperparameter; there are {', '.join(names)}"
            )
        spaces_ = GlimpseSpaces.of(env.single_observation_space, env.single_action_space)
        checked = ReinforceHyperparameters(**hyperparameters)
        geometry = GlimpseGeometry.of(env) if checked.core == "map" else None
        self._build(spaces_, checked, geometry)
        self.env: VectorEnv[Any, Any, Any] | None = env

    def _build(
        self,
        spaces_: GlimpseSpaces,
        hyperparameters: ReinforceHyperparameters,
        geometry: GlimpseGeometry | None,
    ) -> None:
        if spaces_.choice == "move" and hyperparameters.loss == "hybrid":
            raise ValueError(
                "loss='hybrid' learns classes from labels, and moves have none; give "
                "loss='reinforce', which learns them from the reward alone"
            )
        self.hyperparameters = hyperparameters
        self.spaces = spaces_
        self._geometry = geometry
        self.device = find_device(hyperparameters.device)
        self._dtype = find_precision(hyperparameters.precision, self.device)
        self.num_timesteps = 0
        self._timesteps_ever = 0  # which no call to `learn` resets
        self._share = Share.of_this_process()
        self._generator = torch.Generator(device=self.device)
        with torch.random.fork_rng(devices=[]):  # leaves the caller's random numbers alone
            torch.default_generator.manual_seed(hyperparameters.seed)
            self.network = RecurrentAttention(
                spaces_.glimpse_shape, spaces_.num_classes, hyperparameters, geometry
            )
        self.network.to(self.device)
        self._average: AveragedModel | None = None
        if hyperparameters.averaging:
            self._average = AveragedModel(
                self.network, multi_avg_fn=partial(average_weights, decay=hyperparameters.averaging)
            )
        self.location_std = hyperparameters.location_std
        self.optimiser = make_optimiser(
            self.network,
            name=hyperparameters.optimiser,
            momentum=hyperparameters.momentum,
            weight_decay=hyperparameters.weight_decay,
        )

    # --- learning: rollout, loss, update ------------------------------------------------------

    def learn(
        self,
        total_timesteps: int,
        callback: Callback | None = None,
        *,
        reset_num_timesteps: bool = True,
        schedule_timesteps: int | None = None,
    ) -> Reinforce:
        """Learns from this many environment steps, rounded up to whole rollouts.

        Environment and exploration are seeded anew from the agent's seed and from how much it has
        learned in all, so that each call has episodes of its own, and learning on from a saved
        training state gives what learning without a break gives, wherever calls to `learn` meet.

        Args:
            total_timesteps: Environment steps, in all sub-environments together.
            callback: Called after each update with the agent and the update's metrics; learning
                stops if it returns False.
            reset_num_timesteps: Whether to count from 0; False goes on where the last call ended.
            schedule_timesteps: The value of `num_timesteps` at which the learning rate's schedule
                ends; None: at the end of this call.

        Returns:
            The agent itself.

        Raises:
            ValueError: The agent was loaded without an environment, the environment's episodes
                are not of the kind described above, a number of timesteps is not above 0, or
                learning has diverged.
        """
        num_envs = self._own_env().num_envs
        require_positive("total_timesteps", total_timesteps)
        if schedule_timesteps is not None:
            require_positive("schedule_timesteps", schedule_timesteps)
        if reset_num_timesteps:
            self.num_timesteps = 0
        end = self.num_timesteps + total_timesteps
        schedule_end = schedule_timesteps or end
        seeds = learning_seeds(self.hyperparameters.seed, self._timesteps_ever)
        self._generator.manual_seed(seeds.exploration)
        # Gymnasium counts up from it, through the environments of all processes.
        reset_seed: int | None = seeds.env + self._share.rank * num_envs
        play = self.rollout if self._share.is_whole else self._averaging_gradients()
        while self.num_timesteps < end:
            progress = self.num_timesteps / schedule_end
            self.location_std = self._location_std(progress)
            with torch.autocast(self.device.type, self._dtype, self._dtype is not torch.float32):
                rollout = play(reset_seed)
                losses = attention_loss(rollout, self.hyperparameters)
            metrics = self._update(rollout, losses, progress)
            timesteps = rollout.baselines.numel() * self._share.processes
            self.num_timesteps += timesteps
            self._timesteps_ever += timesteps
            reset_seed = None
            answer = None if callback is None else callback(self, metrics)
            is_over = answer is not None and not answer  # NumPy's False, too
            if self._share.any(is_over, self.device):
                break
        self.location_std = self._location_std(self.num_timesteps / schedule_end)
        return self

    def _averaging_gradients(self) -> DistributedDataParallel:
        """Returns `rollout`, such that the backward pass averages gradients over all processes.

        PyTorch wants one forward pass for each backward pass: here that is a whole rollout.
        """
        is_learned = self.hyperparameters.gaze == "learned"  # else its network has no gradient
        return DistributedDataParallel(_Rollouts(self), find_unused_parameters=not is_learned)

    def rollout(self, seed: int | None = None) -> Rollout:
        """Plays one episode in every sub-environment, with the gradients that learning needs.

        Args:
            seed: Seed for the environments' reset; None goes on with their generators.

        Raises:
            ValueError: No environment, or its episodes are not of the kind described above.
        """
        env = self._own_env()
        observation, _ = env.reset(seed=seed)
        state = self.network.initial_state(env.num_envs, self.device)
        hiddens, counts, looked_at, samples, choices = [], [], [], [], []
        returns = np.zeros(env.num_envs)
        terminated = np.zeros(env.num_envs, bool)
        while not terminated.any():
            glimpse, location = self._tensors(observation)
            state = self.network(glimpse, location, state)
            hiddens.append(state[0])
            counts.append(state[-1])
            looked_at.append(location.clone())  # environments may write into what they gave
            samples.append(self._sample_location(state, location))
            choices.append(self._choose(state[0]))
            action = {
                # The policy is the Gaussian; to clamp its samples into the image is the task's.
                "location": samples[-1].clamp(-1, 1).cpu().numpy(),
                self.spaces.choice: choices[-1].cpu().numpy(),
            }
            self._require_finite(action["location"])
            observation, reward, terminated, truncated, info = env.step(action)
            _require_lockstep(terminated, truncated)
            returns += reward
        hidden, taken = torch.stack(hiddens), torch.stack(counts)
        means = self.network.location_mean(hidden, taken, torch.stack(looked_at))
        class_logits = self.network.class_logits(hidden)
        labels = known = None
        if self.spaces.choice == "label" and (found := _final_labels(info)) is not None:
            self._require_classes(found)
            labels = torch.as_tensor(found, device=self.device)
            if self.hyperparameters.baseline == "informed":
                known = log_likelihoods(class_logits, labels)
        elif self.hyperparameters.loss == "hybrid":
            raise ValueError(
                "the last step's info has no 'label', and loss='hybrid' learns classes from it; "
                "give loss='reinforce', which learns them from the reward alone"
            )
        return Rollout(
            location_log_probs=self._location_log_probs(means[:-1], torch.stack(samples)[:-1]),
            choice_log_probs=self._choice_log_probs(class_logits, torch.stack(choices)),
            baselines=self.network.baseline(hidden, known),
            class_logits=class_logits,
            labels=labels,
            returns=torch.as_tensor(returns, dtype=torch.float32, device=self.device),
        )

    # What is sampled is a constant; the gradient is of its log-probability. It is cut off after
    # the heads, not switched off around them: autocast keeps the first cast of a weight, and older
    # versions of PyTorch (2.9) would give one without a gradient to the log-probabilities, too.

    def _sample_location(self, state: State, location: Tensor) -> Tensor:
        """Returns where to look after `location`, `(B, 2)`, unclamped."""
        if self.hyperparameters.gaze != "learned":
            return self._scripted_location(state[-1], self._draw).detach()
        mean = self.network.location_mean(state[0], state[-1], location).detach()
        noise = self._draw(Tensor.normal_, mean.shape)
        return mean + self.location_std * noise

    def _location_std(self, progress: float) -> float:
        """Returns the location policy's standard deviation after `progress` of the schedule."""
        first, last = self.hyperparameters.location_std, self.hyperparameters.final_location_std
        return first if last is None else first + min(progress, 1.0) * (last - first)

    def _scripted_location(
        self, glimpses_taken: Tensor, draw: Callable[[Callable[..., Tensor], Sequence[int]], Tensor]
    ) -> Tensor:
        """Returns where a gaze that is not learned looks next, `(B, 2)`."""
        if self.hyperparameters.gaze == "raster":
            return self.network.raster_place(glimpses_taken)
        return 2 * draw(Tensor.uniform_, (len(glimpses_taken), 2)) - 1

    def _choose(self, hidden: Tensor) -> Tensor:
        """Returns choices `(B,)`: the likeliest where they are taught, sampled where explored."""
        logits = self.network.class_logits(hidden).detach()
        if self.hyperparameters.loss == "hybrid":
            return logits.argmax(dim=-1)
        # The first of K exponential clocks to ring, as in torch.multinomial, number by number.
        probabilities = logits.softmax(dim=-1)
        return (probabilities / self._draw(Tensor.exponential_, probabilities.shape)).argmax(dim=-1)

    def _draw(self, fill: Callable[..., Tensor], shape: Sequence[int]) -> Tensor:
        """Returns random numbers for this process's environments.

        Each process draws those of all, so that it has what one process alone would have there.

        Args:
            fill: Such as `Tensor.normal_`.
            shape: The first axis is of the environments.
        """
        whole = (shape[0] * self._share.processes, *shape[1:])
        return self._share.part_of(self._draw_all(fill, whole))

    def _draw_all(self, fill: Callable[..., Tensor], shape: Sequence[int]) -> Tensor:
        """Returns random numbers that are the same in all processes, as when each of them acts."""
        return fill(torch.empty(*shape, device=self.device), generator=self._generator)

    def _location_log_probs(self, means: Tensor, samples: Tensor) -> Tensor:
        """Returns the log-probabilities of locations, `(T - 1, B)`."""
        if self.hyperparameters.gaze == "learned":
            return gaussian_log_prob(samples, means, self.location_std)
        return torch.zeros_like(samples[..., 0])  # certain, whatever the weights

    def _choice_log_probs(self, logits: Tensor, choices: Tensor) -> Tensor | None:
        """Returns the log-probabilities of the choices that count; None where they are taught."""
        if self.hyperparameters.loss == "hybrid":
            return None
        log_probs = logits.log_softmax(dim=-1).gather(-1, choices.unsqueeze(-1)).squeeze(-1)
        return log_probs if self.spaces.choice == "move" else log_probs[-1:]

    def _update(self, rollout: Rollout, losses: Losses, progress: float) -> UpdateMetrics:
        """Takes one step down the loss's gradient."""
        self.optimiser.zero_grad()
        losses.total.backward()  # type: ignore[no-untyped-call]
        norm = clip_gradients(self.optimiser, self.hyperparameters.max_grad_norm)
        cross_entropy, accuracy = _judge(rollout)
        numbers = [*losses, cross_entropy, rollout.returns.mean(), accuracy, norm]
        *metrics, norm_as_number = self._share.mean(torch.stack(numbers)).tolist()
        self._require_finite(norm_as_number)  # before it gets into the weights
        learning_rate = self.hyperparameters.learning_rate * decay(
            self.hyperparameters.schedule, progress
        )
        set_learning_rates(
            self.optimiser,
            learning_rate,
            location=learning_rate * self.hyperparameters.location_learning_rate,
        )
        self.optimiser.step()
        if self._average is not None:
            self._average.update_parameters(self.network)
        return UpdateMetrics(*metrics)

    # --- acting -------------------------------------------------------------------------------

    @property
    def acting_network(self) -> RecurrentAttention:
        """The network that acts outside of learning: the average of the weights, if there is."""
        if self._average is None:
            return self.network
        return cast(RecurrentAttention, self._average.module)

    @torch.no_grad()
    def predict(
        self,
        observation: dict[str, NDArray[Any]],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[dict[str, NDArray[Any]], tuple[NDArray[Any], ...]]:
        """Returns actions for observations, and the state to hand in with the next ones.

        Args:
            observation: One observation or a batch of them.
            state: What the last call returned; None before the first.
            episode_start: bool `(num_envs,)`, where an episode begins with this observation.
            deterministic: Whether to take the mean location and the likeliest class; otherwise
                both are sampled (from PyTorch's global generator). A random gaze
                is drawn from the generator that learning has, which learning on seeds anew.

        Returns:
            `{"location": float32 (num_envs, 2), "label": int64 (num_envs,)}`, or `move` where the
            environment has moves, without the first axis for a single observation, and the state.
        """
        after, looked_at = self._look(observation, state, episode_start)
        single = np.ndim(observation["location"]) == 1
        logits = self.acting_network.class_logits(after[0])
        choice = logits.argmax(dim=-1)
        if self.hyperparameters.gaze != "learned":
            location = self._scripted_location(after[-1], self._draw_all)
        else:
            location = self.acting_network.location_mean(after[0], after[-1], looked_at)
            if not deterministic:
                location = location + self.location_std * torch.randn_like(location)
        if not deterministic:
            choice = torch.multinomial(logits.softmax(dim=-1), 1).squeeze(-1)
        action = {
            "location": location.clamp(-1, 1).cpu().numpy(),
            self.spaces.choice: choice.cpu().numpy(),
        }
        if single:
            action = {name: values[0] for name, values in action.items()}
        return action, tuple(part.cpu().numpy() for part in after)

    @torch.no_grad()
    def class_probabilities(
        self,
        observation: dict[str, NDArray[Any]],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """Returns the probability of each class, `(num_envs, K)`, `(K,)` for one observation.

        Args:
            observation: As in `predict`.
            state: As in `predict`.
            episode_start: As in `predict`.
        """
        after, _ = self._look(observation, state, episode_start)
        logits = self.acting_network.class_logits(after[0])
        probabilities: NDArray[np.float32] = logits.softmax(dim=-1).cpu().numpy()
        return probabilities[0] if np.ndim(observation["location"]) == 1 else probabilities

    def _look(
        self,
        observation: dict[str, NDArray[Any]],
        state: tuple[NDArray[Any], ...] | None,
        episode_start: NDArray[np.bool_] | None,
    ) -> tuple[State, Tensor]:
        """Returns the next state, and where was looked; a single observation is a batch of one."""
        self.spaces.require_observation(observation)
        if np.ndim(observation["location"]) == 1:
            observation = {name: np.asarray(value)[None] for name, value in observation.items()}
        batch_size = len(observation["location"])
        before = self.acting_network.initial_state(batch_size, self.device)
        if state is not None:
            self._require_state(state, before)
            starts = np.zeros(batch_size) if episode_start is None else np.ravel(episode_start)
            if len(starts) != batch_size:
                raise ValueError(
                    f"episode_start is of {len(starts)} episodes, the observation of {batch_size}; "
                    "give one truth value for each"
                )
            forget = torch.as_tensor(starts.astype(bool), device=self.device).unsqueeze(-1)
            remembered = (torch.as_tensor(part, device=self.device) for part in state)
            before = tuple(torch.where(forget, 0.0, part) for part in remembered)
        glimpse, location = self._tensors(observation)
        return self.acting_network(glimpse, location, before), location

    @staticmethod
    def _require_state(state: Any, expected: State) -> None:
        """Raises a ValueError unless a caller's state has the parts and shapes of another."""
        parts = state if isinstance(state, list | tuple) else [state]
        found = [np.shape(part) for part in parts]
        allowed = [tuple(part.shape) for part in expected]
        if found != allowed:
            raise ValueError(
                f"state: it has arrays of the shapes {found}, and that of this agent, for as many "
                f"episodes as the observation has, is of {allowed}; hand in what predict returned "
                "for the same environments, or None at first"
            )

    def _tensors(self, observation: dict[str, NDArray[Any]]) -> tuple[Tensor, Tensor]:
        glimpse, location = (
            torch.as_tensor(observation[name], dtype=torch.float32, device=self.device)
            for name in ("glimpse", "location")
        )
        return glimpse, location

    # --- files --------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model: weights, hyperparameters and spaces, in one safetensors file."""
        write_checkpoint(path, self.acting_network.state_dict(), self._document())

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        env: VectorEnv[Any, Any, Any] | None = None,
        *,
        device: Device = "auto",
    ) -> Reinforce:
        """Returns the agent that `save` or `save_training_state` wrote, to act, or to learn anew.

        Where it samples, its noise is that of the schedule's end.

        Args:
            path: The file.
            env: Environments to learn on in; None is enough for `predict`.
            device: Where the model is to run.

        Raises:
            DamagedCheckpointError: The file is missing, damaged or no such agent.
            ValueError: There is no such device here, or the environment has other spaces than those
                the agent was made for.
        """
        find_device(device)  # which is no fault of the file's
        agent = cls._of_checkpoint(path, *read_checkpoint(path), device=device)
        if env is not None:
            agent.set_env(env)
        return agent

    @classmethod
    def _of_checkpoint(
        cls,
        path: str | os.PathLike[str],
        tensors: dict[str, Tensor],
        document: dict[str, Any],
        *,
        device: Device,
    ) -> Reinforce:
        agent = cls.__new__(cls)
        agent.env = None
        try:
            require_choice("agent", document["agent"], [ReinforceHyperparameters.algorithm])
            hyperparameters = {**document["hyperparameters"], "device": device}
            geometry = document.get("geometry")  # which only a map has
            agent._build(
                GlimpseSpaces(
                    tuple(document["glimpse_shape"]),
                    document["num_classes"],
                    document["choice"],
                ),
                ReinforceHyperparameters(**hyperparameters),
                None if geometry is None else GlimpseGeometry.from_json(geometry),
            )
            weights = {name: tensors[name] for name in agent.network.state_dict()}
            agent.network.load_state_dict(weights)
            averages = {
                name: tensors.get(f"{AVERAGE}module.{name}", weights[name]) for name in weights
            }
            agent.acting_network.load_state_dict(averages)
        except torch.OutOfMemoryError:  # which is a RuntimeError, and no fault of the file's
            raise
        except (KeyError, TypeError, RuntimeError, ValueError) as error:
            raise DamagedCheckpointError(
                f"{str(path)!r} does not hold a Reinforce agent: {error!r}"
            ) from error
        agent.location_std = agent._location_std(progress=1.0)
        return agent

    def set_env(self, env: VectorEnv[Any, Any, Any]) -> None:
        """Gives the agent other environments to learn in.

        Raises:
            ValueError: As `require_env`.
        """
        self.require_env(env)
        self.env = env

    def require_env(self, env: VectorEnv[Any, Any, Any]) -> None:
        """Raises a ValueError unless the agent is one for these environments.

        Their spaces have to be those it was made for and, if it has a map, their images, too.
        """
        self._require_vector_env(env)
        self.spaces.require_same(env.single_observation_space, env.single_action_space)
        if self._geometry is not None and (found := GlimpseGeometry.of(env)) != self._geometry:
            raise ValueError(f"the environment has {found}, the agent's map is of {self._geometry}")

    def save_training_state(self, path: str | os.PathLike[str]) -> None:
        """Writes the model and all that learning on exactly needs besides the environment."""
        optimiser_state = {
            f"optimiser.{index}.{name}": torch.as_tensor(value)
            for index, values in self.optimiser.state_dict()["state"].items()
            for name, value in values.items()
            if value is not None
        }
        average = {}
        if self._average is not None:
            average = {
                f"{AVERAGE}{key}": tensor for key, tensor in self._average.state_dict().items()
            }
        tensors = {**self.network.state_dict(), **optimiser_state}
        training = {
            "num_timesteps": self.num_timesteps,
            "timesteps_ever": self._timesteps_ever,
            "location_std": self.location_std,
            "precision": str(self._dtype).removeprefix("torch."),
        }
        write_checkpoint(path, {**tensors, **average}, {**self._document(), **training})

    @classmethod
    def load_training_state(
        cls,
        path: str | os.PathLike[str],
        env: VectorEnv[Any, Any, Any],
        *,
        device: Device = "auto",
    ) -> Reinforce:
        """Returns the agent as it was when `save_training_state` wrote it.

        It learns on in the precision it has learned in, whatever `precision="auto"` would choose
        where it is now.

        Raises:
            DamagedCheckpointError: As `load`, or the file holds a model without its training state.
            ValueError: As `load`.
        """
        find_device(device)  # which is no fault of the file's
        tensors, document = read_checkpoint(path)
        agent = cls._of_checkpoint(path, tensors, document, device=device)
        agent.set_env(env)
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            if key.startswith("optimiser."):
                _, index, name = key.split(".", maxsplit=2)
                state.setdefault(int(index), {})[name] = tensor
        try:
            agent.num_timesteps = document["num_timesteps"]
            agent._timesteps_ever = document.get("timesteps_ever", agent.num_timesteps)
            agent.location_std = document["location_std"]
            agent._dtype = find_precision(document["precision"], agent.device)
            if agent._average is not None:
                agent._average.load_state_dict(
                    {name: tensors[f"{AVERAGE}{name}"] for name in agent._average.state_dict()}
                )
        except KeyError as error:
            raise DamagedCheckpointError(
                f"{str(path)!r} holds a model, but not the state of its training: there is no "
                f"{error}"
            ) from error
        agent.optimiser.load_state_dict({**agent.optimiser.state_dict(), "state": state})
        return agent

    def _document(self) -> dict[str, Any]:
        geometry = {}
        if self._geometry is not None:
            geometry = {"geometry": dataclasses.asdict(self._geometry)}
        return {
            **geometry,
            "agent": ReinforceHyperparameters.algorithm,
            "hyperparameters": dataclasses.asdict(self.hyperparameters),
            "glimpse_shape": list(self.spaces.glimpse_shape),
            "num_classes": self.spaces.num_classes,
            "choice": self.spaces.choice,
        }

    # --- checks -------------------------------------------------------------------------------

    @staticmethod
    def _require_vector_env(env: object) -> None:
        if not isinstance(env, VectorEnv):
            raise ValueError(
                f"env={env!r} is not a gymnasium.vector.VectorEnv; make one with "
                "gymnasium.make_vec(id, num_envs=...)"
            )

    def _require_finite(self, numbers: NDArray[np.float32] | float) -> None:
        if np.isfinite(numbers).all():
            return
        if self._timesteps_ever == 0:
            raise ValueError(
                "before anything was learned there are numbers that are none: look for NaN or "
                "infinity in what the environment shows, or give another seed"
            )
        raise LearningDivergedError(
            f"learning has diverged at timestep {self.num_timesteps}: weights or gradients are "
            "no longer numbers; give a lower learning_rate"
        )

    def _require_classes(self, labels: NDArray[np.int64]) -> None:
        outside = (labels < 0) | (labels >= self.spaces.num_classes)
        if outside.any():
            raise ValueError(
                f"the last step's info holds the label {labels[outside][0]}; the action space has "
                f"0..{self.spaces.num_classes - 1}"
            )

    def _own_env(self) -> VectorEnv[Any, Any, Any]:
        if self.env is None:
            raise ValueError("no environment to learn in: load the agent with one, or call set_env")
        return self.env


class _Rollouts(nn.Module):
    """An agent's rollouts as the forward pass of a module."""

    def __init__(self, agent: Reinforce) -> None:
        super().__init__()
        self.network = agent.network
        self._rollout = agent.rollout

    def forward(self, seed: int | None) -> Rollout:
        """Returns `Reinforce.rollout(seed)`."""
        return self._rollout(seed)


def _require_lockstep(terminated: NDArray[np.bool_], truncated: NDArray[np.bool_]) -> None:
    if truncated.any() or terminated.any() != terminated.all():
        raise ValueError(
            "Reinforce needs episodes that all terminate after the same number of steps, found "
            f"{int(terminated.sum())} of {len(terminated)} terminated, "
            f"{int(truncated.sum())} truncated"
        )


def _judge(rollout: Rollout) -> tuple[Tensor, Tensor]:
    """Returns the cross-entropy and the accuracy of `UpdateMetrics`."""
    logits = rollout.class_logits[-1].detach()
    if rollout.labels is None:
        return logits.new_tensor(math.nan), rollout.returns.mean()
    accuracy = (logits.argmax(dim=-1) == rollout.labels).float().mean()
    return nn.functional.cross_entropy(logits, rollout.labels), accuracy


def _final_labels(info: dict[str, Any]) -> NDArray[np.int64] | None:
    """Returns the true classes of episodes that have just ended, in any autoreset mode.

    None, if they are not told.
    """
    final = info.get("final_info", info)
    return np.asarray(final["label"], np.int64) if "label" in final else None
