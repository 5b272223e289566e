"""Tianshou: its `Collector`, `PPO` and trainer on look-or-answer actions.

Tianshou's own vector environments step single environments in turn. `Batched` lets its collector
step our batched one. Autoreset is disabled: Tianshou says which episodes to start anew.

    python examples/tianshou_ppo.py

Run with tianshou 2.0.1, Gymnasium 1.4.0 and torch 2.13.0. The policy has no memory.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from tianshou.algorithm import PPO
from tianshou.algorithm.modelfree.reinforce import DiscreteActorPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Batch, Collector, VectorReplayBuffer
from tianshou.trainer import OnPolicyTrainerParams
from tianshou.utils.net.common import Net
from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic

from experiments.config import TaskConfig
from experiments.evaluate import evaluate, evaluation_env, make_env
from ram_env import GlimpseVectorEnv

TASK = TaskConfig(env="ram_env/FoveatedMNIST-v0", num_glimpses=3)
ACTIONS: dict[str, Any] = {"action_format": "discrete", "grid_size": 3}
TIMESTEPS, NUM_ENVS, NUM_STEPS, EPOCHS, MINIBATCH, LEARNING_RATE = 90_000, 256, 12, 4, 768, 1e-3


class Batched:
    """What Tianshou's collector asks of a vector environment when it collects steps."""

    is_async = False

    def __init__(self, env: GlimpseVectorEnv) -> None:
        self.env, self.action_space = env, env.single_action_space

    def __len__(self) -> int:
        return self.env.num_envs

    def reset(self, env_id: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Starts some episodes anew, and returns what is seen there."""
        rows = np.arange(len(self)) if env_id is None else env_id
        mask = np.isin(np.arange(len(self)), rows)
        observation, info = self.env.reset(options={"reset_mask": mask})
        return flat(observation)[rows], each(info)[rows]

    def step(self, action: np.ndarray, _: np.ndarray) -> tuple[np.ndarray, ...]:
        """Steps all environments."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return flat(observation), reward, terminated, truncated, each(info)


class Player:
    """The policy as an agent with Stable-Baselines3's `predict`."""

    def __init__(self, policy: DiscreteActorPolicy) -> None:
        self.policy = policy

    @torch.no_grad()
    def predict(self, observation: dict[str, np.ndarray], *_: Any, **__: Any) -> Any:
        """Returns the likeliest actions."""
        return self.policy(Batch(obs=flat(observation), info={})).act.numpy(), None


def flat(observation: dict[str, np.ndarray]) -> np.ndarray:
    """Returns glimpse and location of each environment as one row."""
    return np.concatenate([part.reshape(len(part), -1) for part in observation.values()], axis=1)


def each(info: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the item of each environment in a dict of its own, as Tianshou has infos."""
    return np.array([{"index": index} for index in info["index"]])


def train(seed: int = 0) -> Player:
    """Returns an agent that has learned from `TIMESTEPS` environment steps."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (it is by this one that Tianshou shuffles minibatches)
    mode = AutoresetMode.DISABLED
    env = make_env(TASK, "train", num_envs=NUM_ENVS, autoreset_mode=mode, **ACTIONS)
    observation, _ = env.reset(seed=seed)
    num_features = flat(observation).shape[1]
    policy = DiscreteActorPolicy(
        actor=DiscreteActor(
            preprocess_net=Net(state_shape=num_features, hidden_sizes=[256]),
            action_shape=env.single_action_space.n,
            softmax_output=False,
        ),
        action_space=env.single_action_space,
        deterministic_eval=True,
    )
    algorithm = PPO(
        policy=policy,
        critic=DiscreteCritic(preprocess_net=Net(state_shape=num_features, hidden_sizes=[256])),
        optim=AdamOptimizerFactory(lr=LEARNING_RATE),
        gamma=1.0,
        ent_coef=0.01,
        max_batchsize=NUM_ENVS * NUM_STEPS,
    )
    buffer = VectorReplayBuffer(NUM_ENVS * NUM_STEPS, NUM_ENVS)
    algorithm.run_training(
        OnPolicyTrainerParams(
            training_collector=Collector(policy, Batched(env), buffer),
            max_epochs=1,
            epoch_num_steps=TIMESTEPS,
            collection_step_num_env_steps=NUM_ENVS * NUM_STEPS,
            update_step_num_repetitions=EPOCHS,
            batch_size=MINIBATCH,
            verbose=False,
            show_progress=False,
        )
    )
    return Player(policy)


if __name__ == "__main__":
    accuracy = evaluate(train(), evaluation_env(TASK, "test", **ACTIONS)).accuracy
    print(f"test accuracy: {accuracy:.2%}")
    sys.exit(accuracy < 0.8)
