"""PPO with an LSTM in one file, in the style of CleanRL: everything that happens is on this page.

The action format is look-or-answer, so that every action counts. Minibatches are of whole
environments, so that the LSTM goes through their steps in order; it forgets where episodes end.

    python examples/cleanrl_ppo_lstm.py

Run with Gymnasium 1.4.0 and torch 2.13.0.
"""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical

import ram_env  # noqa: F401  (registers the environments)
from experiments.config import TaskConfig
from experiments.evaluate import evaluate, evaluation_env

TASK = TaskConfig(env="ram_env/FoveatedMNIST-v0", num_glimpses=3)
ACTIONS: dict[str, Any] = {"action_format": "discrete", "grid_size": 3}
TIMESTEPS, NUM_ENVS, NUM_STEPS, EPOCHS, MINIBATCHES = 400_000, 256, 12, 4, 4
LEARNING_RATE, CLIP, ENTROPY, VALUE, LAMBDA, MAX_GRAD_NORM = 1e-3, 0.2, 0.01, 0.5, 0.95, 0.5

Observation = dict[str, np.ndarray]
State = tuple[Tensor, Tensor]


class RecurrentActorCritic(nn.Module):
    """What and where through one layer, an LSTM, and two heads."""

    def __init__(self, num_features: int, num_actions: int, size: int = 128) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(num_features, 256), nn.ReLU())
        self.lstm = nn.LSTMCell(256, size)
        self.actor, self.critic = nn.Linear(size, num_actions), nn.Linear(size, 1)
        self.size = size

    def initial_state(self, batch_size: int) -> State:
        """Returns the LSTM's state before an episode."""
        return torch.zeros(batch_size, self.size), torch.zeros(batch_size, self.size)

    def forward(self, x: Tensor, starts: Tensor, state: State) -> tuple[Categorical, Tensor, State]:
        """Returns policy, value and next state; forgets where episodes start."""
        hidden, cell = (part * (1 - starts)[:, None] for part in state)
        state = self.lstm(self.features(x), (hidden, cell))
        return Categorical(logits=self.actor(state[0])), self.critic(state[0])[:, 0], state

    @torch.no_grad()
    def predict(
        self,
        observation: Observation,
        state: State | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, State]:
        """Returns actions and the next state, as Stable-Baselines3's models do."""
        x = flat(observation)
        starts = np.zeros(len(x)) if episode_start is None else episode_start
        starts_tensor = torch.as_tensor(starts, dtype=torch.float32)
        policy, _, state = self(x, starts_tensor, state or self.initial_state(len(x)))
        return (policy.mode if deterministic else policy.sample()).numpy(), state


def flat(observation: Observation) -> Tensor:
    """Returns glimpse and location of each environment as one row."""
    parts = [values.reshape(len(values), -1) for values in observation.values()]
    return torch.as_tensor(np.concatenate(parts, axis=1))


def train(seed: int = 0) -> RecurrentActorCritic:
    """Returns an agent that has learned from `TIMESTEPS` environment steps."""
    torch.manual_seed(seed)
    env = gym.make_vec(
        TASK.env, NUM_ENVS, autoreset_mode="SameStep", split="train", **TASK.options, **ACTIONS
    )
    observation, _ = env.reset(seed=seed)
    x, starts = flat(observation), torch.ones(NUM_ENVS)
    agent = RecurrentActorCritic(x.shape[1], int(env.single_action_space.n))
    optimiser = torch.optim.Adam(agent.parameters(), eps=1e-5)
    state = agent.initial_state(NUM_ENVS)
    num_updates = TIMESTEPS // (NUM_ENVS * NUM_STEPS)
    for update in range(num_updates):
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * (1 - update / num_updates)

        # Rollout.
        state_before = state
        xs, all_starts, actions, log_probs, values, rewards = [], [], [], [], [], []
        for _ in range(NUM_STEPS):
            with torch.no_grad():
                policy, value, state = agent(x, starts, state)
                action = policy.sample()
            xs.append(x)
            all_starts.append(starts)
            actions.append(action)
            log_probs.append(policy.log_prob(action))
            values.append(value)
            observation, reward, terminated, _, _ = env.step(action.numpy())
            rewards.append(torch.as_tensor(reward, dtype=torch.float32))
            x, starts = flat(observation), torch.as_tensor(terminated, dtype=torch.float32)

        # Generalised advantages, gamma = 1: episodes are short, and their reward is the last one.
        with torch.no_grad():
            _, next_value, _ = agent(x, starts, state)
        ends, advantage, advantages = [*all_starts[1:], starts], torch.zeros(NUM_ENVS), []
        for t in reversed(range(NUM_STEPS)):
            delta = rewards[t] + next_value * (1 - ends[t]) - values[t]
            advantage = delta + LAMBDA * (1 - ends[t]) * advantage
            advantages.insert(0, advantage)
            next_value = values[t]
        returns = torch.stack(advantages) + torch.stack(values)

        # Update, a quarter of the environments at a time.
        for _ in range(EPOCHS):
            for rows in torch.randperm(NUM_ENVS).chunk(MINIBATCHES):
                hidden = (state_before[0][rows], state_before[1][rows])
                new_log_probs, new_values, entropies = [], [], []
                for t in range(NUM_STEPS):
                    policy, value, hidden = agent(xs[t][rows], all_starts[t][rows], hidden)
                    new_log_probs.append(policy.log_prob(actions[t][rows]))
                    new_values.append(value)
                    entropies.append(policy.entropy())
                old = torch.stack(log_probs)[:, rows]
                ratio = (torch.stack(new_log_probs) - old).exp()
                gain = torch.stack(advantages)[:, rows]
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                clipped = ratio.clamp(1 - CLIP, 1 + CLIP)
                policy_loss = -torch.min(ratio * gain, clipped * gain).mean()
                value_loss = (torch.stack(new_values) - returns[:, rows]).square().mean()
                loss = policy_loss + VALUE * value_loss - ENTROPY * torch.stack(entropies).mean()
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), MAX_GRAD_NORM)
                optimiser.step()
    return agent


if __name__ == "__main__":
    accuracy = evaluate(train(), evaluation_env(TASK, "test", **ACTIONS)).accuracy
    print(f"test accuracy: {accuracy:.2%}")
    sys.exit(accuracy < 0.8)
