"""What each process of test_processes.py runs: `learn_together.py OUT.npz`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from agents.processes import joined_processes
from agents.reinforce import Reinforce, UpdateMetrics
from ram_env import GlimpseVectorEnv

NUM_ENVS, NUM_GLIMPSES, NUM_UPDATES = 20, 3, 4
SIZES = {
    "glimpse_hidden_size": 8,
    "location_hidden_size": 8,
    "image_hidden_size": 12,
    "hidden_size": 16,
}
VARIANTS = {
    "hybrid": {"raster": ((-0.5, 0.0), (0.5, 0.0)), "schedule": "cosine", "averaging": 0.9},
    "lstm": {"core": "lstm", "supervise": "last", "optimiser": "sgd", "learning_rate": 0.1},
    "gaze that steps": {
        "location_frame": "gaze",
        "baseline": "informed",
        "location_return": "mean_log_likelihood",
        "supervise": "rising",
    },
    "reward alone": {"loss": "reinforce"},
    "fixed raster": {"gaze": "raster", "raster": ((-0.5, 0.0), (0.5, 0.0))},
    "random gaze": {"gaze": "random"},
    "map": {"core": "map"},
}


def learn(name: str, num_envs: int) -> tuple[np.ndarray, list[UpdateMetrics], int]:
    """Returns weights, metrics and timesteps after a few updates from these many environments."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 6, 6), dtype=np.uint8)
    env = GlimpseVectorEnv(
        (images, np.arange(60) % 3),
        num_envs=num_envs,
        num_glimpses=NUM_GLIMPSES,
        patch_size=2,
        start="random",
        scene="shifted",
        autoreset_mode="Disabled",
    )
    agent = Reinforce(env, device="cpu", **VARIANTS[name], **SIZES)
    metrics: list[UpdateMetrics] = []
    agent.learn(
        NUM_UPDATES * NUM_ENVS * NUM_GLIMPSES,
        callback=lambda _, update: metrics.append(update),
    )
    networks = (agent.network, agent.acting_network)
    parts = [part for network in networks for part in network.parameters()]
    weights = torch.cat([part.detach().flatten() for part in parts])
    return weights.numpy(), metrics, agent.num_timesteps


if __name__ == "__main__":
    with joined_processes(use_gpus=False) as share:
        learned = {name: learn(name, share.size_of(NUM_ENVS)) for name in VARIANTS}
        stops = [share.any(share.rank == last, torch.device("cpu")) for last in (0, 1, 7)]
    if share.is_first:
        names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
        found = {"processes": share.processes, "stops": stops, "threads": names}
        for name, (weights, metrics, timesteps) in learned.items():
            found |= {f"{name} weights": weights, f"{name} metrics": metrics}
            found[f"{name} timesteps"] = timesteps
        np.savez(sys.argv[1], **found)
