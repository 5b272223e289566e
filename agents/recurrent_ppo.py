"""SB3's recurrent PPO on the glimpse environment: learning from the reward alone, without labels.

Source: Schulman et al. 2017 (arXiv 1707.06347) for PPO; sb3-contrib's `RecurrentPPO` is the code.
"""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecMonitor
from torch import Tensor

from agents.networks import GlimpseNetwork
from agents.sb3_vec_env import SB3VecEnv
from ram_env import GlimpseVectorEnv

HYPERPARAMETERS: dict[str, Any] = {
    "learning_rate": LinearSchedule(start=1e-3, end=0.0, end_fraction=1.0),
    "n_steps": 12,
    "n_epochs": 4,
    # One reward, at the end, that is worth the same however late it comes.
    "gamma": 1.0,
    "gae_lambda": 0.95,
    "ent_coef": 0.01,
    "stats_window_size": 2000,
}
MINIBATCHES = 4  # of a rollout
POLICY: dict[str, Any] = {
    "lstm_hidden_size": 256,
    # One LSTM for both, so that what the critic learns helps the actor, and at half the cost.
    "shared_lstm": True,
    "enable_critic_lstm": False,
    "net_arch": [],
}


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


def make_recurrent_ppo(env: GlimpseVectorEnv, **changes: Any) -> RecurrentPPO:
    """Returns SB3's `RecurrentPPO` with RAM's glimpse network and hyperparameters that suit it.

    The action format `"discrete"`, look or answer, is the one to learn in: whatever such an action
    says counts. Of `"multi_discrete"` actions all labels but the last are idle, and yet enter the
    policy gradient and the entropy as noise.

    Args:
        env: The environments, as `SB3VecEnv` takes them.
        **changes: Arguments of `RecurrentPPO` in place of `HYPERPARAMETERS`.

    Raises:
        ValueError: The environments are not as `SB3VecEnv` takes them.

    Example:
        >>> import gymnasium as gym, ram_env
        >>> env = gym.make_vec("ram_env/FoveatedMNIST-v0", num_envs=512,
        ...                    autoreset_mode="SameStep", action_format="discrete", grid_size=5)
        >>> agent = make_recurrent_ppo(env.unwrapped, seed=0).learn(total_timesteps=12 * 512)
        >>> actions, state = agent.predict(env.reset()[0], deterministic=True)
    """
    arguments = {**HYPERPARAMETERS, **changes}
    arguments.setdefault("batch_size", arguments["n_steps"] * env.num_envs // MINIBATCHES)
    arguments.setdefault("policy_kwargs", {"features_extractor_class": GlimpseExtractor, **POLICY})
    arguments.setdefault("device", "cuda" if torch.cuda.is_available() else "cpu")
    return RecurrentPPO("MultiInputLstmPolicy", VecMonitor(SB3VecEnv(env)), **arguments)
