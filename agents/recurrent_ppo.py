"""SB3's recurrent PPO on the glimpse environment: learning from the reward alone, without labels.

Source: Schulman et al. 2017 (arXiv 1707.06347) for PPO; sb3-contrib's `RecurrentPPO` is the code.
"""

from __future__ import annotations

import io
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import sb3_contrib
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from torch import Tensor

from agents.checkpoint import DamagedCheckpointError
from agents.devices import find_device
from agents.hyperparameters import Device, RecurrentPPOHyperparameters
from agents.networks import GlimpseNetwork
from agents.sb3_vec_env import SB3VecEnv
from agents.seeds import learning_seeds
from ram_env import GlimpseVectorEnv

STATS_WINDOW = 2000  # episodes that SB3's log averages over
# What SB3's load raises, depending on which byte of a file is wrong, or what else the file is.
DAMAGE = (
    AssertionError,
    BadZipFile,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    UnpicklingError,
    ValueError,
)


class GlimpseExtractor(BaseFeaturesExtractor):
    """RAM's glimpse network, what was seen and where, as the features of SB3's policies.

    Args:
        observation_space: A glimpse environment's.
        glimpse_hidden_size: Units of the layer that takes in what is seen.
        location_hidden_size: Units of the layer that takes in where it is seen.
        features_dim: Units of the output.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        *,
        glimpse_hidden_size: int = 128,
        location_hidden_size: int = 128,
        features_dim: int = 256,
    ) -> None:
        super().__init__(observation_space, features_dim)
        shape = observation_space["glimpse"].shape
        assert shape is not None
        self.network = GlimpseNetwork(
            shape,
            glimpse_hidden_size=glimpse_hidden_size,
            location_hidden_size=location_hidden_size,
            output_size=features_dim,
            white_level=1.0,
        )

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Returns the features of a batch of observations, `(B, features_dim)`."""
        features: Tensor = self.network(observations["glimpse"], observations["location"])
        return features


class RecurrentPPO(sb3_contrib.RecurrentPPO):
    """SB3's, which has its schedule at the end already when it learns from the last rollout.

    So that update would have a learning rate of 0; of a single rollout nothing would be learned.
    """

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        """Counts what has been learned from, not the rollout that is about to be."""
        rollout = self.n_steps * self.n_envs
        super()._update_current_progress_remaining(num_timesteps - rollout, total_timesteps)


def make_recurrent_ppo(env: GlimpseVectorEnv, **hyperparameters: Any) -> RecurrentPPO:
    """Returns SB3's `RecurrentPPO` with RAM's glimpse network and hyperparameters that suit it.

    Args:
        env: The environments, as `SB3VecEnv` takes them; those of the action format `"discrete"`
            are the ones to learn in, see `RecurrentPPOHyperparameters`.
        **hyperparameters: Fields of `RecurrentPPOHyperparameters`. Those that say what environments
            are to be made, `action_format` and `grid_size`, can only be those of `env`.

    Raises:
        ValueError: The environments are not as `SB3VecEnv` takes them, or a hyperparameter has a
            value that is not allowed, or another than they have.
        TypeError: There is no such hyperparameter.

    Example:
        >>> import gymnasium as gym, ram_env
        >>> env = gym.make_vec("ram_env/FoveatedMNIST-v0", num_envs=512,
        ...                    autoreset_mode="SameStep", action_format="discrete", grid_size=5)
        >>> agent = make_recurrent_ppo(env.unwrapped, seed=0).learn(total_timesteps=12 * 512)
        >>> actions, state = agent.predict(env.reset()[0], deterministic=True)
    """
    values = RecurrentPPOHyperparameters(**hyperparameters)
    learned_in = learning_environments(env)
    for name in values.env_options.keys() & hyperparameters.keys():
        if hyperparameters[name] != (found := getattr(env.task, name)):
            raise ValueError(
                f"{name}={hyperparameters[name]!r}, but the environments have {found!r}; make them "
                f"with {name}={hyperparameters[name]!r}, or leave it out here"
            )
    return RecurrentPPO(
        "MultiInputLstmPolicy",
        learned_in,
        learning_rate=LinearSchedule(start=values.learning_rate, end=0.0, end_fraction=1.0),
        n_steps=values.n_steps,
        batch_size=_minibatch_size(values, env.num_envs),
        n_epochs=values.n_epochs,
        gamma=values.gamma,
        gae_lambda=values.gae_lambda,
        clip_range=values.clip_range,
        ent_coef=values.ent_coef,
        vf_coef=values.vf_coef,
        max_grad_norm=values.max_grad_norm,
        stats_window_size=STATS_WINDOW,
        policy_kwargs=_policy_arguments(values),
        seed=learning_seeds(values.seed, 0).env,  # SB3 has one for all
        device=find_device(values.device),
    )


def load_recurrent_ppo(path: Path, env: VecEnv | None = None, *, device: Device) -> RecurrentPPO:
    """Returns the agent that SB3 has saved.

    Args:
        path: The file.
        env: Environments to learn on in, see `learning_environments`; None: none.
        device: Where it is to run.

    Raises:
        DamagedCheckpointError: The file is missing, damaged or not SB3's.
        OSError: It cannot be read now, whatever it holds.
        ValueError: There is no such device here, or the environments have other spaces than those
            the agent was made for.
    """
    found = find_device(device)
    if not path.is_file():
        raise DamagedCheckpointError(f"there is no agent {str(path)!r}")
    contents = io.BytesIO(path.read_bytes())
    try:
        agent = RecurrentPPO.load(contents, device=found)
    except torch.OutOfMemoryError:  # which is a RuntimeError, and no fault of the file's
        raise
    except DAMAGE as error:
        raise DamagedCheckpointError(
            f"{str(path)!r} is damaged, or not SB3's: {error!r}"
        ) from error
    if env is not None:
        agent.set_env(env)
    return agent


def learning_environments(env: GlimpseVectorEnv) -> VecMonitor:
    """Returns the environments as SB3 takes them, with the returns of episodes in its logs."""
    return VecMonitor(SB3VecEnv(env))


def _minibatch_size(values: RecurrentPPOHyperparameters, num_envs: int) -> int:
    num_steps = values.n_steps * num_envs
    if num_steps % values.n_minibatches:
        raise ValueError(
            f"n_minibatches={values.n_minibatches} does not divide the {num_steps} steps of a "
            f"rollout, n_steps={values.n_steps} in each of {num_envs} environments"
        )
    if num_steps == values.n_minibatches:
        raise ValueError(
            f"n_minibatches={values.n_minibatches} leaves one step to each, and PPO divides by "
            "their standard deviation; give fewer"
        )
    return num_steps // values.n_minibatches


def _policy_arguments(values: RecurrentPPOHyperparameters) -> dict[str, Any]:
    return {
        "features_extractor_class": GlimpseExtractor,
        "features_extractor_kwargs": {
            "glimpse_hidden_size": values.glimpse_hidden_size,
            "location_hidden_size": values.location_hidden_size,
            "features_dim": values.image_hidden_size,
        },
        "lstm_hidden_size": values.lstm_hidden_size,
        # One LSTM for both, so that what the critic learns helps the actor, and at half the cost.
        "shared_lstm": True,
        "enable_critic_lstm": False,
        "net_arch": [],
    }
