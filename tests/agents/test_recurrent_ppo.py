from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from sb3_contrib import RecurrentPPO

from agents.checkpoint import DamagedCheckpointError
from agents.recurrent_ppo import (
    GlimpseExtractor,
    learning_environments,
    load_recurrent_ppo,
    make_recurrent_ppo,
)
from ram_env import GlimpseVectorEnv


def make_env(num_envs: int = 32, **options: Any) -> GlimpseVectorEnv:
    """Three classes that are easy to tell where one looks: a bar in one of three columns."""
    labels = np.arange(30) % 3
    images = np.zeros((30, 9, 9), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 3 * label : 3 * label + 3] = 255
    task = {"num_glimpses": 3, "patch_size": 3, "num_scales": 2, "scale_factor": 3, "grid_size": 3}
    mode = {"autoreset_mode": "SameStep", "action_format": "discrete"}
    return GlimpseVectorEnv((images, labels), num_envs=num_envs, **{**task, **mode, **options})


def success_rate(agent: RecurrentPPO, env: GlimpseVectorEnv) -> float:
    """How often the right class is named, in at most as many steps as there are glimpses."""
    observation, _ = env.reset(seed=0)
    state, starts, successes = None, np.ones(env.num_envs, bool), []
    for _ in range(env.task.num_glimpses):
        action, state = agent.predict(observation, state, starts, deterministic=True)
        observation, _, starts, _, infos = env.step(action)
        final = infos.get("final_info", {"is_success": np.zeros(env.num_envs, bool)})
        successes += final["is_success"][starts].tolist()
    return float(np.mean(successes)) if successes else 0.0


def test_the_features_are_rams_glimpse_network() -> None:
    env = make_env()
    extractor = GlimpseExtractor(env.single_observation_space, features_dim=20)
    observation, _ = env.reset(seed=0)
    tensors = {name: torch.as_tensor(values) for name, values in observation.items()}
    features = extractor(tensors)
    assert features.shape == (32, 20)
    expected = extractor.network(tensors["glimpse"], tensors["location"])
    torch.testing.assert_close(features, expected)
    elsewhere = {**tensors, "location": tensors["location"] + 0.5}
    assert not torch.equal(extractor(elsewhere), features)  # where counts, not what alone


def test_the_policy_looks_through_it() -> None:
    agent = make_recurrent_ppo(make_env())
    assert isinstance(agent.policy.features_extractor, GlimpseExtractor)
    assert agent.batch_size == 12 * 32 / 4  # a rollout in four minibatches
    assert agent.gamma == 1.0


def test_sb3_has_the_hyperparameters_that_are_given() -> None:
    of_its_own = {
        "n_steps": 6,
        "n_epochs": 3,
        "gamma": 0.5,
        "gae_lambda": 0.7,
        "ent_coef": 0.3,
        "vf_coef": 0.4,
        "max_grad_norm": 0.6,
    }
    sizes = {"glimpse_hidden_size": 5, "location_hidden_size": 6, "image_hidden_size": 7}
    others = {"n_minibatches": 3, "clip_range": 0.15, "learning_rate": 0.02, "lstm_hidden_size": 8}
    agent = make_recurrent_ppo(make_env(), **of_its_own, **sizes, **others)
    assert {name: getattr(agent, name) for name in of_its_own} == of_its_own
    assert agent.batch_size == 6 * 32 / 3
    assert agent.clip_range(1.0) == 0.15
    left = (1.0, 0.5, 0.0)  # of the training
    assert [agent.lr_schedule(part) for part in left] == pytest.approx([0.02, 0.01, 0.0])
    assert agent.policy.lstm_actor.hidden_size == 8
    network = agent.policy.features_extractor.network
    layers = (network.what, network.where, network.output)
    assert tuple(layer.out_features for layer in layers) == (5, 6, 7)


def test_every_rollout_is_learned_from_the_first_at_the_full_rate_the_last_too() -> None:
    rollout = 6 * 32
    agent = make_recurrent_ppo(make_env(), n_steps=6, learning_rate=0.02)
    rates: list[float] = []
    train = agent.train

    def noting_the_rate() -> None:
        train()
        rates.append(agent.policy.optimizer.param_groups[0]["lr"])

    agent.train = noting_the_rate
    before = [weights.detach().clone() for weights in agent.policy.parameters()]
    agent.learn(rollout)
    changed = map(torch.Tensor.equal, before, agent.policy.parameters())
    assert not any(changed)
    agent.learn(4 * rollout)
    assert rates == pytest.approx([0.02, 0.02, 0.015, 0.01, 0.005])


def test_each_seed_begins_with_weights_of_its_own() -> None:
    def weights(seed: int) -> list[torch.Tensor]:
        return list(make_recurrent_ppo(make_env(), seed=seed).policy.parameters())

    torch.testing.assert_close(weights(1), weights(1), rtol=0, atol=0)
    assert not torch.equal(weights(0)[0], weights(1)[0])


def test_minibatches_of_unequal_size_are_refused() -> None:
    with pytest.raises(ValueError, match="n_minibatches=5 does not divide the 384 steps"):
        make_recurrent_ppo(make_env(), n_minibatches=5)
    with pytest.raises(ValueError, match="n_minibatches=384 leaves one step to each"):
        make_recurrent_ppo(make_env(), n_minibatches=384)


def test_it_learns_from_the_reward_alone() -> None:
    env = make_env()
    agent = make_recurrent_ppo(env, learning_rate=3e-3, seed=0)
    before = success_rate(agent, env)
    agent.learn(12 * 32 * 8)
    assert success_rate(agent, env) > 0.9 > before + 0.3


def test_a_saved_agent_acts_as_before(tmp_path: Path) -> None:
    env = make_env()
    agent = make_recurrent_ppo(env, seed=1)
    agent.save(tmp_path / "agent.zip")
    loaded = RecurrentPPO.load(tmp_path / "agent.zip")
    observation, _ = env.reset(seed=0)
    expected, _ = agent.predict(observation, deterministic=True)
    found, _ = loaded.predict(observation, deterministic=True)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("contents", [b"", b"not a pickle", None], ids=["none", "other", "half"])
def test_a_damaged_file_is_named(tmp_path: Path, contents: bytes | None) -> None:
    make_recurrent_ppo(make_env()).save(tmp_path / "agent.zip")
    with ZipFile(tmp_path / "agent.zip") as whole, ZipFile(tmp_path / "bad.zip", "w") as bad:
        for name in whole.namelist():
            part = whole.read(name)
            if name == "policy.pth":
                part = part[: len(part) // 2] if contents is None else contents
            bad.writestr(name, part)
    with pytest.raises(DamagedCheckpointError, match=r"bad\.zip' is damaged, or not SB3's"):
        load_recurrent_ppo(tmp_path / "bad.zip", device="cpu")


def test_a_file_that_cannot_be_read_now_or_is_too_large_for_here_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "agent.zip"
    with pytest.raises(DamagedCheckpointError, match="there is no agent"):
        load_recurrent_ppo(path, device="cpu")
    make_recurrent_ppo(make_env()).save(path)

    def fail(error: Exception) -> None:
        raise error

    def load() -> RecurrentPPO:
        return load_recurrent_ppo(path, device="cpu")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda _: fail(OSError(5, "the storage is away")))
        with pytest.raises(OSError, match="storage"):
            load()
    monkeypatch.setattr(torch, "load", lambda *_, **__: fail(torch.OutOfMemoryError()))
    with pytest.raises(torch.OutOfMemoryError):
        load()


def test_environments_with_other_spaces_are_no_damage(tmp_path: Path) -> None:
    make_recurrent_ppo(make_env()).save(tmp_path / "agent.zip")
    other = learning_environments(make_env(grid_size=4))
    with pytest.raises(ValueError, match="spaces do not match") as raised:
        load_recurrent_ppo(tmp_path / "agent.zip", other, device="cpu")
    assert not isinstance(raised.value, DamagedCheckpointError)


def test_options_of_environments_that_theirs_are_not_are_refused() -> None:
    for options in ({"grid_size": 4}, {"action_format": "multi_discrete"}):
        with pytest.raises(ValueError, match=r"but the environments have (3|'discrete')"):
            make_recurrent_ppo(make_env(), **options)
    make_recurrent_ppo(make_env(action_format="multi_discrete"))  # what is not given, they say


def test_dict_actions_are_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="'multi_discrete' or 'discrete'"):
        make_recurrent_ppo(make_env(action_format="dict"))
