"""TorchRL: its `GymEnv`, `Collector`, `GAE` and `ClipPPOLoss` on look-or-answer actions.

    python examples/torchrl_ppo.py

Run with torchrl 0.14.1, tensordict 0.14.3 and torch 2.13.0. The policy has no memory.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from tensordict.nn import TensorDictModule
from torch import Tensor, nn
from torchrl.collectors import Collector
from torchrl.envs import GymEnv
from torchrl.modules import ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

import ram_env  # noqa: F401  (registers the environments)
from experiments.config import TaskConfig
from experiments.evaluate import evaluate, evaluation_env

TASK = TaskConfig(env="ram_env/FoveatedMNIST-v0", num_glimpses=2)
ACTIONS: dict[str, Any] = {"action_format": "discrete", "grid_size": 2}
FRAMES, FRAMES_PER_BATCH, EPOCHS, MINIBATCH, LEARNING_RATE = 60_000, 1000, 4, 250, 1e-3


class Flat(nn.Module):
    """Two layers on the glimpse and its location, side by side."""

    def __init__(self, num_features: int, num_outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(num_features, 256), nn.ReLU(), nn.Linear(256, num_outputs)
        )

    def forward(self, glimpse: Tensor, location: Tensor) -> Tensor:
        """Returns the outputs for glimpses with any leading shape."""
        return self.layers(torch.cat([glimpse.flatten(-3), location], dim=-1))


class Player:
    """The policy as an agent with Stable-Baselines3's `predict`."""

    def __init__(self, network: Flat) -> None:
        self.network = network

    @torch.no_grad()
    def predict(self, observation: dict[str, np.ndarray], *_: Any, **__: Any) -> Any:
        """Returns the likeliest actions."""
        tensors = [torch.as_tensor(observation[name]) for name in ("glimpse", "location")]
        return self.network(*tensors).argmax(dim=-1).numpy(), None


def train(seed: int = 0) -> Player:
    """Returns an agent that has learned from `FRAMES` environment steps."""
    torch.manual_seed(seed)
    env = GymEnv(TASK.env, categorical_action_encoding=True, **TASK.options, **ACTIONS)
    env.set_seed(seed)
    num_features = env.observation_spec["glimpse"].shape.numel() + 2
    network = Flat(num_features, env.action_spec.space.n)
    keys = ["glimpse", "location"]
    actor = ProbabilisticActor(
        TensorDictModule(network, in_keys=keys, out_keys=["logits"]),
        in_keys=["logits"],
        distribution_class=torch.distributions.Categorical,
        spec=env.action_spec,
        return_log_prob=True,
    )
    critic = ValueOperator(Flat(num_features, 1), in_keys=keys)
    advantage = GAE(gamma=1.0, lmbda=0.95, value_network=critic, average_gae=True)
    loss_module = ClipPPOLoss(actor, critic, entropy_coeff=0.01)
    optimiser = torch.optim.Adam(loss_module.parameters(), lr=LEARNING_RATE)
    collector = Collector(env, actor, frames_per_batch=FRAMES_PER_BATCH, total_frames=FRAMES)
    for batch in collector:
        for _ in range(EPOCHS):
            advantage(batch)
            data = batch.reshape(-1)
            for rows in torch.randperm(len(data)).split(MINIBATCH):
                losses = loss_module(data[rows])
                loss = losses["loss_objective"] + losses["loss_critic"] + losses["loss_entropy"]
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    collector.shutdown()
    return Player(network)


if __name__ == "__main__":
    accuracy = evaluate(train(), evaluation_env(TASK, "test", **ACTIONS)).accuracy
    print(f"test accuracy: {accuracy:.2%}")
    sys.exit(accuracy < 0.5)
