"""An agent of one's own: softmax regression on what it sees at the centre, in NumPy.

An agent is anything with SB3's `predict`. This one never moves its gaze and adds up its glimpses;
it learns from the true label that the last step's info holds.

    python examples/custom_agent.py
    ram benchmark --quick --agents ram,examples.custom_agent:make_agent

Run with Gymnasium 1.4.0 and NumPy 2.4.6.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from experiments.config import TaskConfig
from experiments.evaluate import evaluate, evaluation_env, make_env

LEARNING_RATE = 0.5
NUM_ENVS = 250


class SoftmaxRegression:
    """Looks at the centre and names the class whose weights fit best what it has seen there."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        self.weights = np.zeros((num_features + 1, num_classes))

    def predict(
        self,
        observation: dict[str, np.ndarray],
        state: np.ndarray | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Returns actions, and the sum of the glimpses so far as the state."""
        num_envs = len(observation["glimpse"])
        seen = observation["glimpse"].reshape(num_envs, -1)
        seen = np.concatenate([seen, np.ones((num_envs, 1))], axis=1)
        if state is not None:
            starts = np.zeros(num_envs, bool) if episode_start is None else episode_start
            seen = seen + np.where(starts[:, None], 0, state)
        label = (seen @ self.weights).argmax(axis=1)
        return {"location": np.zeros((num_envs, 2), np.float32), "label": label}, seen

    def learn(self, seen: np.ndarray, labels: np.ndarray) -> None:
        """Takes a step down the cross-entropy's gradient."""
        features = seen / seen[:, -1:]
        logits = features @ self.weights
        error = np.exp(logits - logits.max(axis=1, keepdims=True))
        error /= error.sum(axis=1, keepdims=True)
        error[np.arange(len(labels)), labels] -= 1
        self.weights -= LEARNING_RATE * features.T @ error / len(labels)


def make_agent(task: TaskConfig, *, seed: int, timesteps: int) -> SoftmaxRegression:
    """Returns an agent that has learned from so many environment steps, for `ram benchmark`."""
    env = make_env(
        task,
        "train",
        num_envs=NUM_ENVS,
        autoreset_mode=AutoresetMode.DISABLED,
        **task.training_scene,
    )
    num_features = int(np.prod(env.single_observation_space["glimpse"].shape))
    agent = SoftmaxRegression(num_features, env.task.num_classes)
    env.reset(seed=seed)
    for _ in range(timesteps // (NUM_ENVS * env.task.num_glimpses)):
        observation, _ = env.reset()
        state: Any = None
        terminated = np.zeros(NUM_ENVS, bool)
        while not terminated.any():
            action, state = agent.predict(observation, state)
            observation, _, terminated, _, info = env.step(action)
        agent.learn(state, info["label"])
    return agent


if __name__ == "__main__":
    task = TaskConfig(env="ram_env/FoveatedMNIST-v0")
    agent = make_agent(task, seed=0, timesteps=1_000_000)
    accuracy = evaluate(agent, evaluation_env(task, "test")).accuracy
    print(f"test accuracy: {accuracy:.2%}")
    sys.exit(accuracy < 0.8)
