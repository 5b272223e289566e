"""RLlib: its `PPOConfig` on look-or-answer actions, stepping all environments at once.

RLlib makes our batched environment itself, by `gym_env_vectorize_mode="vector_entry_point"`. It
plays and learns in this process.

    python examples/rllib_ppo.py

Run with ray 2.60.0, Gymnasium 1.2.2 and torch 2.13.0. The policy has no memory.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import ray
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.connectors.env_to_module import FlattenObservations
from ray.rllib.core.rl_module import RLModule
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

import ram_env  # noqa: F401  (registers the environments)
from experiments.config import TaskConfig
from experiments.evaluate import evaluate, evaluation_env

TASK = TaskConfig(env="ram_env/FoveatedMNIST-v0", num_glimpses=3)
ACTIONS: dict[str, Any] = {"action_format": "discrete", "grid_size": 3}
ITERATIONS, NUM_ENVS, NUM_STEPS = 24, 256, 12

CONFIG = (
    PPOConfig()
    .environment(TASK.env, env_config={"split": "train", **TASK.options, **ACTIONS})
    .env_runners(
        num_env_runners=0,
        num_envs_per_env_runner=NUM_ENVS,
        gym_env_vectorize_mode="vector_entry_point",
        rollout_fragment_length=NUM_STEPS,
        env_to_module_connector=lambda *_, **__: FlattenObservations(),
    )
    .training(
        train_batch_size_per_learner=NUM_ENVS * NUM_STEPS,
        minibatch_size=768,
        num_epochs=4,
        lr=1e-3,
        gamma=1.0,
        lambda_=0.95,
        entropy_coeff=0.01,
        use_kl_loss=False,
        grad_clip=0.5,
    )
    .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[256], fcnet_activation="relu"))
    .debugging(seed=0)
)


class Player:
    """The module as an agent with Stable-Baselines3's `predict`."""

    def __init__(self, module: RLModule) -> None:
        self.module = module

    @torch.no_grad()
    def predict(self, observation: dict[str, np.ndarray], *_: Any, **__: Any) -> Any:
        """Returns the likeliest actions for observations laid out as `FlattenObservations` does."""
        parts = [values.reshape(len(values), -1) for values in observation.values()]
        output = self.module.forward_inference({"obs": torch.as_tensor(np.concatenate(parts, 1))})
        return output["action_dist_inputs"].argmax(dim=-1).numpy(), None


if __name__ == "__main__":
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    algorithm = CONFIG.build_algo()
    for _ in range(ITERATIONS):
        algorithm.train()
    agent = Player(algorithm.get_module())
    accuracy = evaluate(agent, evaluation_env(TASK, "test", **ACTIONS)).accuracy
    algorithm.stop()
    ray.shutdown()
    print(f"test accuracy: {accuracy:.2%}")
    sys.exit(accuracy < 0.8)
