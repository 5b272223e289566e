"""Stable-Baselines3's PPO, without memory, on the action format look-or-answer.

`SB3VecEnv` lets SB3 step all environments at once. Whoever has no memory can still learn where to
look before answering from what is seen there; for memory, see `agents/recurrent_ppo.py`.

    python examples/sb3_ppo.py

Run with stable-baselines3 2.9.2 and torch 2.13.0.
"""

from __future__ import annotations

import sys
from typing import Any

from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO

from agents.sb3_vec_env import SB3VecEnv
from experiments.config import TaskConfig
from experiments.evaluate import evaluate, evaluation_env, make_env

TASK = TaskConfig(env="ram_env/FoveatedMNIST-v0", num_glimpses=3)
ACTIONS: dict[str, Any] = {"action_format": "discrete", "grid_size": 3}
TIMESTEPS = 400_000


if __name__ == "__main__":
    mode = AutoresetMode.SAME_STEP
    env = make_env(TASK, "train", num_envs=256, autoreset_mode=mode, **ACTIONS)
    agent = PPO(
        "MultiInputPolicy",
        SB3VecEnv(env),
        n_steps=12,
        batch_size=768,
        n_epochs=4,
        learning_rate=1e-3,
        gamma=1.0,
        ent_coef=0.01,
        seed=0,
        device="cpu",
    )
    agent.learn(TIMESTEPS)
    accuracy = evaluate(agent, evaluation_env(TASK, "test", **ACTIONS)).accuracy
    print(f"test accuracy: {accuracy:.2%}")
    sys.exit(accuracy < 0.8)
