from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorWrapper

from agents.checkpoint import DamagedCheckpointError, read_checkpoint, write_checkpoint
from agents.devices import find_precision
from agents.gaze import RandomGaze, WithGaze, center_gaze
from agents.hyperparameters import Precision, ReinforceHyperparameters
from agents.loss import attention_loss, log_likelihoods
from agents.reinforce import Reinforce, UpdateMetrics
from agents.spaces import GlimpseGeometry, GlimpseSpaces
from ram_env import CatchVectorEnv, GlimpseEnv, GlimpseVectorEnv

SMALL: dict[str, Any] = {
    "glimpse_hidden_size": 8,
    "location_hidden_size": 8,
    "image_hidden_size": 12,
    "hidden_size": 16,
}


class Untold(VectorWrapper):
    """Says nothing of the true classes, and gives half a reward at every step, too."""

    def step(self, actions: dict[str, np.ndarray]) -> Any:
        observation, reward, terminated, truncated, info = super().step(actions)
        info = {key: value for key, value in info.items() if key not in ("label", "_label")}
        return observation, reward + 0.5, terminated, truncated, info


class Recorder(VectorWrapper):
    """Keeps the items that the environments begin with, and the actions that they get."""

    def __init__(self, env: GlimpseVectorEnv) -> None:
        super().__init__(env)
        self.items: list[list[int]] = []
        self.actions: list[dict[str, np.ndarray]] = []

    def reset(self, **options: Any) -> Any:
        observation, info = super().reset(**options)
        if "index" in info:  # balls have none
            self.items.append(info["index"].tolist())
        return observation, info

    def step(self, actions: dict[str, np.ndarray]) -> Any:
        self.actions.append(actions)
        return super().step(actions)


def metrics_of(agent: Reinforce, num_updates: int, **kwargs: Any) -> list[UpdateMetrics]:
    """Learns for so many updates and returns their metrics."""
    metrics: list[UpdateMetrics] = []
    timesteps = num_updates * agent.env.num_envs * 3
    agent.learn(timesteps, callback=lambda _, update: metrics.append(update), **kwargs)
    return metrics


def with_a_gaze(agent: Reinforce) -> Reinforce:
    """Gives an agent, whose gaze begins the same for every image, one that depends on it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.nn.init.normal_(agent.network.location_network.weight, std=0.1)
    return agent


def weights_of(agent: Reinforce) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in agent.network.parameters()])


# --- moves, which count at every step ------------------------------------------------------------


@pytest.fixture
def catch_env() -> CatchVectorEnv:
    """Four games of Catch on a screen of 4x4 pixels: three steps long."""
    return CatchVectorEnv(num_envs=4, screen_size=4, patch_size=2, autoreset_mode="Disabled")


def test_a_rollout_of_moves_has_their_log_probabilities_and_no_labels(
    catch_env: CatchVectorEnv,
) -> None:
    env = Recorder(catch_env)
    rollout = Reinforce(env, loss="reinforce", **SMALL).rollout(seed=0)
    assert rollout.labels is None
    moves = torch.as_tensor(np.stack([action["move"] for action in env.actions]))
    expected = rollout.class_logits.log_softmax(dim=-1).gather(-1, moves.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(rollout.choice_log_probs, expected)
    assert len(moves.unique()) > 1  # sampled, not the likeliest
    assert rollout.location_log_probs.shape == (2, 4)
    assert rollout.location_log_probs.abs().min() > 0


def test_moves_need_the_reward_alone(catch_env: CatchVectorEnv) -> None:
    with pytest.raises(ValueError, match=r"loss='hybrid'.*moves.*loss='reinforce'"):
        Reinforce(catch_env, **SMALL)


def test_metrics_of_moves_have_the_mean_return_for_accuracy(catch_env: CatchVectorEnv) -> None:
    (metrics,) = metrics_of(Reinforce(catch_env, loss="reinforce", **SMALL), 1)
    assert np.isnan(metrics.cross_entropy)
    assert metrics.accuracy == metrics.reward


def test_an_agent_of_moves_is_saved_with_its_kind(
    catch_env: CatchVectorEnv, tiny_env: GlimpseVectorEnv, tmp_path: Path
) -> None:
    agent = Reinforce(catch_env, loss="reinforce", **SMALL)
    agent.save(tmp_path / "agent")
    observation, _ = catch_env.reset(seed=0)
    expected, _ = agent.predict(observation, deterministic=True)
    found, _ = Reinforce.load(tmp_path / "agent").predict(observation, deterministic=True)
    assert found.keys() == {"location", "move"}
    assert found["move"].tolist() == expected["move"].tolist()
    with pytest.raises(ValueError, match=r"choice='label'.*choice='move'"):
        Reinforce.load(tmp_path / "agent", tiny_env)


def test_it_learns_moves_from_the_reward_alone() -> None:
    # On a screen of 5 pixels the ball falls for 4 steps; who does not move catches two in five.
    size, wide = {"screen_size": 5, "patch_size": 5}, {"hidden_size": 32, "image_hidden_size": 32}
    env = CatchVectorEnv(num_envs=128, num_scales=1, autoreset_mode="Disabled", **size)
    agent = Reinforce(
        env, loss="reinforce", core="lstm", reinforce_weight=0.03, entropy_weight=0.01,
        learning_rate=1e-2, **{**SMALL, **wide},
    )  # fmt: skip
    rewards: list[float] = []
    agent.learn(150 * 128 * 4, callback=lambda _, update: rewards.append(update.reward))
    assert np.mean(rewards[:5]) < 0.55
    assert np.mean(rewards[-10:]) > 0.8


# --- gazes that are not learned -----------------------------------------------------------------


RASTER = ((0.5, -0.5), (-0.25, 0.0))


@pytest.mark.parametrize("gaze", ["raster", "random"])
def test_a_gaze_that_is_not_learned_leaves_the_location_network_alone(
    tiny_env: GlimpseVectorEnv, gaze: str
) -> None:
    agent = Reinforce(tiny_env, gaze=gaze, raster=RASTER, **SMALL)
    classes = agent.network.action_network.weight.detach().clone()
    before = agent.network.location_network.weight.detach().clone()
    metrics = metrics_of(agent, 3)
    assert torch.equal(agent.network.location_network.weight, before)
    assert torch.equal(agent.network.location_raster, torch.tensor(RASTER))
    assert not torch.equal(agent.network.action_network.weight, classes)
    assert {update.reinforce_loss for update in metrics} == {0.0}


def test_a_raster_is_looked_along_in_learning_and_in_acting(tiny_env: GlimpseVectorEnv) -> None:
    env = Recorder(tiny_env)
    agent = Reinforce(env, gaze="raster", raster=RASTER, location_std=9.0, **SMALL)
    agent.rollout(seed=0)
    expected = [RASTER[0], RASTER[1], RASTER[0]]  # after three glimpses; the last is not used
    for place, action in zip(expected, env.actions, strict=True):
        np.testing.assert_allclose(action["location"], np.tile(place, (4, 1)))
    observation, _ = tiny_env.reset(seed=0)
    action, _ = agent.predict(observation)
    np.testing.assert_allclose(action["location"], np.tile(RASTER[0], (4, 1)))


def test_the_noise_goes_to_its_end_along_a_line(tiny_env: GlimpseVectorEnv) -> None:
    agent = Reinforce(tiny_env, location_std=0.4, final_location_std=0.1, **SMALL)
    seen: list[float] = []

    def note(agent: Reinforce, _metrics: UpdateMetrics) -> None:
        seen.append(agent.location_std)

    rollout = 4 * 3  # environments, glimpses
    agent.learn(4 * rollout, callback=note, schedule_timesteps=2 * rollout)
    assert seen == pytest.approx([0.4, 0.25, 0.1, 0.1])  # and no further
    assert agent.location_std == pytest.approx(0.1)


def test_a_location_is_as_likely_as_the_noise_of_now_says(tiny_env: GlimpseVectorEnv) -> None:
    env = Recorder(tiny_env)  # whose gaze begins at the centre, for every image
    agent = Reinforce(env, location_std=0.2, final_location_std=0.05, **SMALL)
    agent.location_std = 0.05
    log_probs = agent.rollout(seed=0).location_log_probs.detach().numpy()
    for action, log_prob in zip(env.actions[:-1], log_probs, strict=True):
        squares = np.square(action["location"] / 0.05).sum(axis=1)
        np.testing.assert_allclose(log_prob, -squares / 2 - np.log(2 * np.pi * 0.05**2), rtol=1e-4)


def test_after_learning_it_explores_as_it_will_when_it_is_loaded(
    tiny_env: GlimpseVectorEnv, tmp_path: Path
) -> None:
    agent = Reinforce(tiny_env, location_std=0.4, final_location_std=0.1, **SMALL).learn(24)
    agent.save(tmp_path / "model.safetensors")
    assert agent.location_std == pytest.approx(0.1)
    assert Reinforce.load(tmp_path / "model.safetensors").location_std == pytest.approx(0.1)


# --- the average of the weights -------------------------------------------------------------------


def test_it_acts_by_the_average_of_its_weights(tiny_env: GlimpseVectorEnv, tmp_path: Path) -> None:
    agent = Reinforce(tiny_env, averaging=0.9, **SMALL)
    weights = [agent.network.action_network.weight.detach().clone()]
    agent.learn(
        3 * 4 * 3,
        callback=lambda agent, _: weights.append(
            agent.network.action_network.weight.detach().clone()
        ),
    )
    expected = weights[1]  # the first average is the weights after the first update
    for count, newer in enumerate(weights[2:], 1):
        share = min(0.9, (1 + count) / (10 + count))
        expected = share * expected + (1 - share) * newer
    torch.testing.assert_close(agent.acting_network.action_network.weight.detach(), expected)
    agent.save(tmp_path / "model.safetensors")
    loaded = Reinforce.load(tmp_path / "model.safetensors")
    observation, _ = tiny_env.reset(seed=0)
    np.testing.assert_array_equal(
        loaded.class_probabilities(observation), agent.class_probabilities(observation)
    )


def test_it_looks_and_answers_by_the_average_of_its_weights(tiny_env: GlimpseVectorEnv) -> None:
    agent = Reinforce(tiny_env, averaging=0.9, **SMALL).learn(3 * 12)
    with torch.no_grad():
        agent.acting_network.location_network.bias.copy_(torch.tensor([0.5, -0.25]))
        agent.acting_network.location_network.weight.zero_()
        agent.acting_network.location_raster.zero_()
        agent.acting_network.action_network.bias.copy_(torch.tensor([0.0, 0.0, 1e3]))
        agent.network.action_network.bias.copy_(torch.tensor([0.0, 1e3, 0.0]))
    observation, _ = tiny_env.reset(seed=0)
    action, _ = agent.predict(observation, deterministic=True)
    np.testing.assert_allclose(action["location"], [[0.5, -0.25]] * 4)
    assert action["label"].tolist() == [2] * 4


def test_it_samples_with_the_noise_of_now(tiny_env: GlimpseVectorEnv) -> None:
    agent = Reinforce(tiny_env, location_std=0.9, final_location_std=1e-4, **SMALL)
    agent.location_std = 1e-4
    action, _ = agent.predict(tiny_env.reset(seed=0)[0])
    assert np.abs(action["location"]).max() < 1e-3  # beside the centre


def test_it_samples_from_its_policy_when_it_may_explore(tiny_env: GlimpseVectorEnv) -> None:
    agent = Reinforce(tiny_env, location_std=0.1, **SMALL)
    probabilities = np.array([0.2, 0.7, 0.1], np.float32)
    with torch.no_grad():
        agent.network.location_network.bias.copy_(torch.tensor([0.5, -0.25]))
        agent.network.action_network.weight.zero_()
        agent.network.action_network.bias.copy_(torch.as_tensor(np.log(probabilities)))
    observation, _ = tiny_env.reset(seed=0)
    many = {name: np.repeat(values[:1], 10_000, axis=0) for name, values in observation.items()}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        action, _ = agent.predict(many, deterministic=False)
    # Four standard errors of 10,000 draws: of a frequency 0.02, of a mean 0.004, of a deviation.
    frequencies = np.bincount(action["label"], minlength=3) / 10_000
    np.testing.assert_allclose(frequencies, probabilities, atol=0.02)
    np.testing.assert_allclose(action["location"].mean(axis=0), [0.5, -0.25], atol=0.004)
    np.testing.assert_allclose(action["location"].std(axis=0), 0.1, atol=0.003)


def test_learning_on_goes_on_with_the_average(tiny_env: GlimpseVectorEnv, tmp_path: Path) -> None:
    rollout = 4 * 3
    whole = Reinforce(tiny_env, averaging=0.9, **SMALL)
    for _ in range(2):
        whole.learn(2 * rollout, reset_num_timesteps=False)
    broken = Reinforce(tiny_env, averaging=0.9, **SMALL).learn(2 * rollout)
    broken.save_training_state(tmp_path / "state.safetensors")
    resumed = Reinforce.load_training_state(tmp_path / "state.safetensors", tiny_env)
    resumed.learn(2 * rollout, reset_num_timesteps=False)
    for one, other in zip(
        whole.acting_network.parameters(), resumed.acting_network.parameters(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_random_gaze_looks_anywhere_even_when_deterministic(tiny_env: GlimpseVectorEnv) -> None:
    agent = Reinforce(tiny_env, gaze="random", **SMALL)
    observation, _ = tiny_env.reset(seed=0)
    locations = np.concatenate(
        [agent.predict(observation, deterministic=True)[0]["location"] for _ in range(500)]
    )
    assert np.abs(locations).max() <= 1
    np.testing.assert_allclose(locations.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(locations.std(axis=0), 1 / np.sqrt(3), atol=0.03)


# --- every hyperparameter --------------------------------------------------------------------

# Of each a value that is not the default, and what it needs to make a difference.
OTHER_VALUES: dict[str, tuple[Any, dict[str, Any]]] = {
    "patches": ("convolutions", {}),
    "glimpse_hidden_size": (9, {}),
    "location_hidden_size": (9, {}),
    "what_where": ("film", {}),
    "image_hidden_size": (9, {}),
    "hidden_size": (9, {}),
    "core": ("lstm", {}),
    "location_frequencies": (2, {}),
    "gaze": ("random", {}),
    "raster": (((0.5, 0.5),), {}),
    "location_frame": ("gaze", {}),
    "location_std": (0.3, {}),
    "final_location_std": (0.01, {}),
    "white_level": (2.0, {}),
    "initialisation": ("he", {}),
    "loss": ("reinforce", {}),
    "supervise": ("last", {}),
    "reward_scale": (2.0, {"optimiser": "sgd"}),
    "location_return": ("last_log_likelihood", {}),
    "baseline": ("informed", {}),
    "reinforce_weight": (0.5, {"optimiser": "sgd"}),
    "entropy_weight": (0.5, {"loss": "reinforce"}),
    "optimiser": ("rmsprop", {}),
    "learning_rate": (0.1, {}),
    "location_learning_rate": (0.7, {}),
    "momentum": (0.5, {"optimiser": "sgd"}),
    "weight_decay": (0.5, {}),
    "schedule": ("linear", {}),
    "averaging": (0.5, {}),
    "max_grad_norm": (1e-3, {"optimiser": "sgd"}),
    "seed": (1, {}),
    "precision": ("bfloat16", {}),
}


def test_every_hyperparameter_has_another_value() -> None:
    names = {field.name for field in dataclasses.fields(ReinforceHyperparameters)}
    assert set(OTHER_VALUES) == names - {"device"}


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_every_hyperparameter_makes_a_difference(tiny_env: GlimpseVectorEnv, name: str) -> None:
    value, needed = OTHER_VALUES[name]
    learned = []
    for options in (needed, {**needed, name: value}):
        agent = Reinforce(tiny_env, **{**SMALL, **options})
        agent.learn(2 * 12, schedule_timesteps=2 * 12)
        learned.append(torch.cat([p.detach().flatten() for p in agent.acting_network.parameters()]))
    assert not torch.equal(*learned)


@pytest.mark.parametrize("name", ["patches", "core", "location_frequencies", "what_where"])
def test_no_weights_are_idle(tiny_env: GlimpseVectorEnv, name: str) -> None:
    agent = Reinforce(tiny_env, **{**SMALL, name: OTHER_VALUES[name][0]})
    before = {key: value.detach().clone() for key, value in agent.network.named_parameters()}
    agent.learn(2 * 12)
    learned = dict(agent.network.named_parameters())
    assert [key for key, value in before.items() if torch.equal(value, learned[key])] == []


# --- the rollout, and what other implementations got wrong --------------------------------------


def test_a_rollout_has_a_row_for_each_glimpse(tiny_env: GlimpseVectorEnv) -> None:
    rollout = Reinforce(tiny_env, **SMALL).rollout(seed=0)
    assert rollout.baselines.shape == (3, 4)
    assert rollout.class_logits.shape == (3, 4, 3)
    assert rollout.labels.shape == rollout.returns.shape == (4,)


def test_returns_are_1_where_the_last_class_is_right(tiny_env: GlimpseVectorEnv) -> None:
    rollout = Reinforce(tiny_env, **SMALL).rollout(seed=0)
    right = rollout.class_logits[-1].argmax(dim=-1) == rollout.labels
    assert rollout.returns.tolist() == right.float().tolist()


def test_the_reward_alone_is_enough_where_nothing_else_is_told(
    tiny_env: GlimpseVectorEnv,
) -> None:
    env = Untold(tiny_env)
    agent = Reinforce(env, loss="reinforce", **SMALL)
    rollout, told = agent.rollout(seed=0), Reinforce(tiny_env, loss="reinforce", **SMALL)
    assert rollout.labels is None
    # Of three steps, half a point each, beside the last one's.
    assert rollout.returns.tolist() == (told.rollout(seed=0).returns + 1.5).tolist()
    (metrics,) = metrics_of(agent, 1)
    assert metrics.accuracy == metrics.reward
    with pytest.raises(ValueError, match=r"no 'label'.*loss='hybrid'.*give loss='reinforce'"):
        Reinforce(env, **SMALL).rollout()


def test_the_metrics_of_an_update_are_the_losses_and_those_of_the_last_answers(
    tiny_env: GlimpseVectorEnv,
) -> None:
    agent = Reinforce(tiny_env, optimiser="sgd", **SMALL)
    with torch.no_grad():
        for head in (agent.network.action_network, agent.network.baseline_network):
            head.weight.zero_()
            head.bias.zero_()
        agent.network.action_network.bias[2] = math.log(2)  # probabilities 1/4, 1/4, 1/2
    (metrics,) = metrics_of(agent, 1)
    twos = metrics.reward  # how many of the labels are 2
    assert twos in (0.25, 0.5, 0.75)
    assert metrics.accuracy == twos
    cross_entropy = twos * math.log(2) + (1 - twos) * math.log(4)
    assert metrics.cross_entropy == pytest.approx(cross_entropy)
    assert metrics.classification_loss == pytest.approx(
        cross_entropy
    )  # the same after each glimpse
    assert metrics.baseline_loss == twos  # rewards are 0 or 1, expected 0
    total = metrics.classification_loss + metrics.reinforce_loss + metrics.baseline_loss
    assert metrics.loss == pytest.approx(total)


def test_the_sample_is_detached_and_the_mean_is_not(tiny_env: GlimpseVectorEnv) -> None:
    env = Recorder(tiny_env)
    agent = Reinforce(env, **SMALL, location_std=0.1)  # its mean is the centre, at first
    rollout = agent.rollout(seed=0)
    bias = agent.network.location_network.bias
    (gradient,) = torch.autograd.grad(rollout.location_log_probs.sum(), bias)
    # d log N(sample; mean, std) / d mean = (sample - mean) / std**2, of the two that were looked at
    looked_at = sum(action["location"].sum(axis=0) for action in env.actions[:2])
    np.testing.assert_allclose(gradient.numpy(), looked_at / 0.1**2, rtol=1e-4)


def test_cross_entropy_does_not_leak_into_the_location_network(
    tiny_env: GlimpseVectorEnv,
) -> None:
    agent = Reinforce(tiny_env, **SMALL)
    losses = attention_loss(agent.rollout(seed=0), agent.hyperparameters)
    losses.classification.backward()
    assert agent.network.location_network.weight.grad is None
    assert agent.network.action_network.weight.grad.abs().sum() > 0


def test_reinforce_teaches_the_core_what_tells_where_to_look(tiny_env: GlimpseVectorEnv) -> None:
    agent = with_a_gaze(Reinforce(tiny_env, **SMALL))
    losses = attention_loss(agent.rollout(seed=0), agent.hyperparameters)
    losses.reinforce.backward()
    assert agent.network.core.transition.weight.grad.abs().sum() > 0
    assert agent.network.baseline_network.weight.grad is None


def test_the_baseline_leaves_the_core_alone(tiny_env: GlimpseVectorEnv) -> None:
    agent = Reinforce(tiny_env, **SMALL)
    attention_loss(agent.rollout(seed=0), agent.hyperparameters).baseline.backward()
    assert agent.network.baseline_network.weight.grad.abs().sum() > 0
    assert agent.network.core.transition.weight.grad is None


def test_an_informed_baseline_may_know_the_truth_and_the_gaze_may_not(
    tiny_env: GlimpseVectorEnv,
) -> None:
    plain = Reinforce(tiny_env, **SMALL).rollout(seed=0)
    agent = Reinforce(tiny_env, baseline="informed", **SMALL)
    with torch.no_grad():
        agent.network.baseline_network.weight.zero_()
        agent.network.baseline_network.weight[0, -3] = 1.0
        agent.network.baseline_network.bias.zero_()
    rollout = agent.rollout(seed=0)
    likelihoods = log_likelihoods(rollout.class_logits, rollout.labels)
    torch.testing.assert_close(rollout.baselines, likelihoods)
    torch.testing.assert_close(rollout.location_log_probs, plain.location_log_probs)
    losses = attention_loss(rollout, agent.hyperparameters)
    losses.baseline.backward()
    assert agent.network.core.transition.weight.grad is None
    assert agent.network.action_network.weight.grad is None


def test_log_prob_is_of_the_sample_before_it_is_clamped(tiny_env: GlimpseVectorEnv) -> None:
    std = 3.0  # nearly every sample is outside the image
    env = Recorder(tiny_env)
    agent = Reinforce(env, **SMALL, location_std=std)  # all means are 0 before it learns
    log_probs = agent.rollout(seed=0).location_log_probs.detach().numpy()
    locations = np.stack([action["location"] for action in env.actions])[:-1]

    constant = -2 * np.log(std * np.sqrt(2 * np.pi))
    squares_of_samples = -2 * std**2 * (log_probs - constant)
    squares_of_clamped = (locations**2).sum(axis=-1)
    outside = (np.abs(locations) == 1).any(axis=-1)
    assert outside.any()
    assert (squares_of_samples[outside] > squares_of_clamped[outside] + 1e-3).all()
    np.testing.assert_allclose(
        squares_of_samples[~outside], squares_of_clamped[~outside], rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("raster", [RASTER, RASTER[:1], ()])
@pytest.mark.parametrize("core", ["rnn", "lstm", "map"])
def test_a_gaze_that_reckons_from_where_it_looks(
    tiny_env: GlimpseVectorEnv, core: str, raster: tuple[tuple[float, float], ...]
) -> None:
    env, std = Recorder(tiny_env), 0.01  # no sample leaves the image
    options = {"core": core, "raster": raster, "location_frame": "gaze", "location_std": std}
    agent = Reinforce(env, **options, **SMALL)
    log_probs = agent.rollout(seed=0).location_log_probs.detach().numpy()
    first, second, _ = (action["location"] for action in env.actions)
    # Before it learns, the steps are the raster's: from the centre, and on to the next place.
    places = np.array([raster[0], raster[-1]] if raster else [(0, 0), (0, 0)])
    noise = np.stack([first - places[0], second - first - (places[1] - places[0])])
    expected = -((noise / std) ** 2).sum(axis=-1) / 2 - 2 * np.log(std * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(log_probs, expected, rtol=1e-3, atol=1e-3)

    observation, _ = tiny_env.reset(seed=0)
    observation["location"][:] = (0.25, -0.25)
    action, _ = agent.predict(observation, deterministic=True)
    np.testing.assert_allclose(action["location"], np.tile(places[0] + (0.25, -0.25), (4, 1)))
    one, _ = agent.predict({name: part[0] for name, part in observation.items()}, None, None, True)
    np.testing.assert_allclose(one["location"], action["location"][0])


def test_the_location_that_no_glimpse_used_does_not_count(tiny_env: GlimpseVectorEnv) -> None:
    rollout = Reinforce(tiny_env, **SMALL).rollout(seed=0)
    assert rollout.location_log_probs.shape == (2, 4)  # of three
    assert (rollout.location_log_probs != 0).all()


def test_pure_reinforce_explores_classes_and_counts_the_last_alone(
    tiny_env: GlimpseVectorEnv,
) -> None:
    env = Recorder(tiny_env)
    agent = Reinforce(env, **SMALL, loss="reinforce")
    rollout = agent.rollout(seed=0)
    named = torch.as_tensor(env.actions[-1]["label"])
    expected = rollout.class_logits[-1].log_softmax(dim=-1)[torch.arange(4), named]
    torch.testing.assert_close(rollout.choice_log_probs, expected.unsqueeze(0))
    assert rollout.returns.tolist() == (named == rollout.labels).float().tolist()


def test_classes_are_explored_as_often_as_they_are_likely(tiny_env: GlimpseVectorEnv) -> None:
    agent = Reinforce(tiny_env, **SMALL, loss="reinforce")
    probabilities = torch.tensor([0.2, 0.7, 0.1])
    head = agent.network.action_network
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(probabilities.log())
    chosen = agent._choose(torch.zeros(10_000, 16)).bincount(minlength=3) / 10_000
    torch.testing.assert_close(chosen, probabilities, atol=0.02, rtol=0)


def test_one_glimpse_is_enough_for_an_episode() -> None:
    images = np.zeros((4, 4, 4), np.uint8)
    env = GlimpseVectorEnv((images, np.arange(4) % 2), num_envs=3, num_glimpses=1, patch_size=2)
    agent = Reinforce(env, **SMALL).learn(3)
    assert agent.num_timesteps == 3


# --- learning -----------------------------------------------------------------------------------


def hidden_blobs(num_images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """24x24 images with one 4x4 blob on a 6x6 grid, whose stripes tell its class.

    All three classes have the same mean, so the coarse scale of the first glimpse, which averages
    4x4 pixels, shows where the blob is but not which; the fine scale shows 6x6 pixels. A fixed
    gaze sees the blob in some 4 of 36 places.
    """
    rng = np.random.default_rng(seed)
    stripes = np.arange(4) % 2
    horizontal, vertical = np.meshgrid(stripes, stripes, indexing="ij")
    patterns = np.stack([horizontal, vertical, horizontal ^ vertical]).astype(np.uint8) * 255
    labels = rng.integers(3, size=num_images)
    images = np.zeros((num_images, 24, 24), np.uint8)
    places = images.reshape(num_images, 6, 4, 6, 4)
    rows, columns = rng.integers(6, size=(2, num_images))
    places[np.arange(num_images), rows, :, columns, :] = patterns[labels]
    return images, labels


def blob_env(num_images: int, seed: int, num_envs: int) -> GlimpseVectorEnv:
    return GlimpseVectorEnv(
        hidden_blobs(num_images, seed),
        num_envs=num_envs,
        num_glimpses=2,
        patch_size=6,
        num_scales=2,
        scale_factor=4,
        autoreset_mode="Disabled",
    )


def success_rate(agent: Any, env: GlimpseVectorEnv) -> float:
    observation, _ = env.reset(seed=0, options={"index": np.arange(env.num_envs)})
    state, terminated = None, np.zeros(env.num_envs, bool)
    while not terminated.all():
        action, state = agent.predict(observation, state, deterministic=True)
        observation, reward, terminated, _, _ = env.step(action)
    return float(reward.mean())


def test_it_learns_where_to_look() -> None:
    sizes = dict.fromkeys(("glimpse_hidden_size", "image_hidden_size", "hidden_size"), 64)
    agent = Reinforce(
        blob_env(4096, seed=0, num_envs=256),
        **sizes,
        supervise="last",
        location_std=0.3,
        learning_rate=3e-3,
        schedule="linear",
    )
    agent.learn(256 * 2 * 1000)
    test_env = blob_env(2000, seed=1, num_envs=2000)
    assert success_rate(agent, test_env) > 0.7
    assert success_rate(WithGaze(agent, RandomGaze(seed=0)), test_env) < 0.5
    assert success_rate(WithGaze(agent, center_gaze), test_env) < 0.5


def test_learning_counts_timesteps_in_whole_rollouts(tiny_env: GlimpseVectorEnv) -> None:
    agent = Reinforce(tiny_env, **SMALL)
    agent.learn(1)
    assert agent.num_timesteps == 4 * 3
    agent.learn(13, reset_num_timesteps=False)
    assert agent.num_timesteps == 3 * 4 * 3
    agent.learn(1)
    assert agent.num_timesteps == 4 * 3
    for nothing in (0, -12):
        with pytest.raises(ValueError, match=f"schedule_timesteps={nothing}"):
            Reinforce(tiny_env, **SMALL).learn(12, schedule_timesteps=nothing)
        with pytest.raises(ValueError, match=f"total_timesteps={nothing}"):
            agent.learn(nothing)


def test_every_call_of_learn_has_episodes_of_its_own(
    tiny_env: GlimpseVectorEnv, tmp_path: Path
) -> None:
    env = Recorder(tiny_env)
    agent = Reinforce(env, **SMALL).learn(2 * 12).learn(2 * 12)
    first, second = env.items[:2], env.items[2:]
    assert first != second
    # The policies' means are next to the centre: what differs by this much is their noise of 0.1.
    of_first, of_second = (env.actions[step]["location"] for step in (0, 2 * 3))
    assert np.abs(of_first - of_second).mean() > 0.03
    agent.save_training_state(tmp_path / "state.safetensors")
    agent.learn(2 * 12)
    Reinforce.load_training_state(tmp_path / "state.safetensors", env).learn(2 * 12)
    third, third_again = env.items[4:6], env.items[6:]
    assert third == third_again
    assert third not in (first, second)


def test_neighbouring_seeds_have_episodes_of_their_own(tiny_env: GlimpseVectorEnv) -> None:
    env = Recorder(tiny_env)
    for seed in (0, 1):
        Reinforce(env, seed=seed, **SMALL).learn(5 * 12)
    zero, one = np.array(env.items[:5]), np.array(env.items[5:])
    assert not (zero[:, 1:] == one[:, :-1]).all(axis=0).any()  # not the same, a place further on


def test_a_callback_stops_learning(tiny_env: GlimpseVectorEnv) -> None:
    agent = Reinforce(tiny_env, **SMALL)
    agent.learn(10_000, lambda learner, _: learner.num_timesteps < 5 * 12)  # where SB3 has it
    assert agent.num_timesteps == 5 * 12
    agent.learn(10_000, lambda _, metrics: np.array([metrics.reward]).mean() > 1)  # NumPy's False
    assert agent.num_timesteps == 12
    agent.learn(10 * 12, lambda *_: None)
    assert agent.num_timesteps == 10 * 12


@pytest.mark.parametrize("gaze", ["learned", "raster"])
def test_learning_that_diverges_says_what_to_do_and_stays_out_of_the_weights(
    tiny_env: GlimpseVectorEnv, gaze: str
) -> None:
    options = {"optimiser": "sgd", "learning_rate": 1e30, "averaging": 0.9}
    agent = Reinforce(tiny_env, **SMALL, **options, gaze=gaze)
    with pytest.raises(ValueError, match=r"diverged at timestep 12: .*lower learning_rate"):
        agent.learn(12 * 10)
    for network in (agent.network, agent.acting_network):
        assert all(weights.isfinite().all() for weights in network.parameters())


def test_the_reward_scale_is_reinforces_and_the_baselines(tiny_env: GlimpseVectorEnv) -> None:
    plain, scaled = (
        attention_loss(rollout, agent.hyperparameters)
        for agent in (Reinforce(tiny_env, **SMALL, reward_scale=scale) for scale in (1.0, 3.0))
        for rollout in [agent.rollout(seed=0)._replace(baselines=torch.zeros(3, 4))]
    )
    assert scaled.reinforce.item() == pytest.approx(3 * plain.reinforce.item())
    assert scaled.baseline.item() == pytest.approx(9 * plain.baseline.item())
    assert scaled.classification.item() == plain.classification.item()


def test_white_is_what_the_network_is_told_it_is(tiny_env: GlimpseVectorEnv) -> None:
    observation, _ = tiny_env.reset(seed=0)
    bytes_ = Reinforce(tiny_env, **SMALL, white_level=255)
    brightened = {**observation, "glimpse": 255 * observation["glimpse"]}
    plain = Reinforce(tiny_env, **SMALL)
    np.testing.assert_allclose(
        bytes_.class_probabilities(observation), plain.class_probabilities(brightened), rtol=1e-5
    )


def test_equal_seeds_give_equal_weights_to_the_bit(tiny_env: GlimpseVectorEnv) -> None:
    first = metrics_of(one := Reinforce(tiny_env, **SMALL, seed=7), 5)
    second = metrics_of(two := Reinforce(tiny_env, **SMALL, seed=7), 5)
    assert first == second
    assert torch.equal(weights_of(one), weights_of(two))
    other = Reinforce(tiny_env, **SMALL, seed=8)
    assert not torch.equal(weights_of(one), weights_of(other))


def test_the_callers_random_numbers_are_left_alone(tiny_env: GlimpseVectorEnv) -> None:
    torch.manual_seed(0)
    numpy_state = np.random.get_state()[1].tolist()  # noqa: NPY002
    torch_state = torch.get_rng_state()
    Reinforce(tiny_env, **SMALL).learn(24)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.random.get_state()[1].tolist() == numpy_state  # noqa: NPY002


def test_the_schedule_ends_where_it_is_told_to(tiny_env: GlimpseVectorEnv) -> None:
    options = {"schedule": "linear", "learning_rate": 0.4, "location_learning_rate": 0.5}
    agent = Reinforce(tiny_env, **SMALL, **options)
    rates = []
    agent.learn(
        4 * 12,
        schedule_timesteps=8 * 12,
        callback=lambda learner, _: rates.append(
            [group["lr"] for group in learner.optimiser.param_groups]
        ),
    )
    of_locations, of_others = zip(*rates, strict=True)
    assert of_locations == pytest.approx([0.2, 0.175, 0.15, 0.125])
    assert of_others == pytest.approx([0.4, 0.35, 0.3, 0.25])


def test_learning_on_ends_the_schedule_at_the_end_of_all(tiny_env: GlimpseVectorEnv) -> None:
    agent = Reinforce(tiny_env, **SMALL, schedule="linear", learning_rate=0.4)
    agent.learn(2 * 12)
    rates = []
    agent.learn(
        2 * 12,
        reset_num_timesteps=False,
        callback=lambda learner, _: rates.append(learner.optimiser.param_groups[1]["lr"]),
    )
    assert rates == pytest.approx([0.2, 0.1])


@pytest.mark.parametrize("core", ["rnn", "lstm", "map"])
@pytest.mark.parametrize("loss", ["hybrid", "reinforce"])
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_it_learns_in_every_autoreset_mode(core: str, loss: str, mode: AutoresetMode) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 5, 5, 3), dtype=np.uint8)
    sensor = {"num_glimpses": 3, "patch_size": 2}
    env, plain = (
        GlimpseVectorEnv((images, np.arange(8) % 2), num_envs=3, **sensor, autoreset_mode=each)
        for each in (mode, AutoresetMode.DISABLED)
    )
    agent = Reinforce(env, **SMALL, core=core, loss=loss)
    before = weights_of(agent)
    metrics = metrics_of(agent, 3)
    assert np.isfinite(metrics).all()
    assert not torch.equal(weights_of(agent), before)
    (first,) = metrics_of(Reinforce(plain, **SMALL, core=core, loss=loss), 1)
    assert metrics[0] == first  # what a mode has begun in between comes later


@pytest.mark.parametrize("core", ["rnn", "lstm", "map"])
@pytest.mark.parametrize("loss", ["hybrid", "reinforce"])
def test_products_of_bfloat16_give_nearly_what_float32_gives(
    tiny_env: GlimpseVectorEnv, core: str, loss: str
) -> None:
    options = {**SMALL, "core": core, "loss": loss}
    exact = Reinforce(tiny_env, **options)
    rounded = Reinforce(tiny_env, **options, precision="bfloat16")
    (expected,), (found,) = metrics_of(exact, 1), metrics_of(rounded, 1)
    assert found != expected
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.02)
    assert weights_of(rounded).dtype == torch.float32


@pytest.mark.parametrize("core", ["rnn", "lstm", "map"])
@pytest.mark.parametrize("loss", ["hybrid", "reinforce"])
def test_products_of_bfloat16_teach_every_weight_nearly_what_float32_does(
    tiny_env: GlimpseVectorEnv, core: str, loss: str
) -> None:
    gradients = []
    for precision in ("float32", "bfloat16"):
        options = {**SMALL, "core": core, "loss": loss, "precision": precision}
        agent = with_a_gaze(Reinforce(tiny_env, **options))
        agent.learn(4 * 3)
        gradients.append({name: value.grad for name, value in agent.network.named_parameters()})
    exact, rounded = gradients
    for name, gradient in exact.items():
        assert gradient.norm() > 0, name
        assert (rounded[name] - gradient).norm() < 0.2 * gradient.norm(), name


@pytest.mark.parametrize("loss", ["hybrid", "reinforce"])
def test_only_the_products_are_of_bfloat16(tiny_env: GlimpseVectorEnv, loss: str) -> None:
    agent = Reinforce(tiny_env, precision="bfloat16", loss=loss, **SMALL)
    with torch.autocast("cpu", torch.bfloat16):
        rollout = agent.rollout(seed=0)
    for values in (rollout.class_logits, rollout.baselines):
        assert values.dtype == torch.float32
        assert (values != values.bfloat16()).any()
    assert rollout.location_log_probs.dtype == torch.float32
    assert loss == "hybrid" or rollout.choice_log_probs.dtype == torch.float32


def test_acting_is_in_float32_whatever_was_learned_in(tiny_env: GlimpseVectorEnv) -> None:
    observation, _ = tiny_env.reset(seed=0)
    exact = Reinforce(tiny_env, **SMALL).predict(observation, deterministic=True)
    rounded = Reinforce(tiny_env, **SMALL, precision="bfloat16")
    action, state = rounded.predict(observation, deterministic=True)
    np.testing.assert_array_equal(action["location"], exact[0]["location"])
    np.testing.assert_array_equal(state[0], exact[1][0])
    assert action["location"].dtype == state[0].dtype == np.float32


@pytest.mark.parametrize("core", ["rnn", "map"])
def test_it_learns_in_someone_elses_vector_environment(core: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 5, 5), dtype=np.uint8)
    data = (images, np.arange(8) % 2)
    make = lambda: GlimpseEnv(data, num_glimpses=3, patch_size=2)  # noqa: E731
    native = GlimpseVectorEnv(data, num_envs=3, num_glimpses=3, patch_size=2)
    sync = SyncVectorEnv([make] * 3)
    options = {**SMALL, "core": core}
    assert metrics_of(Reinforce(sync, **options), 3) == metrics_of(Reinforce(native, **options), 3)


def test_an_environment_may_write_into_what_it_gave() -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 5, 5), dtype=np.uint8)
    make = lambda: GlimpseEnv((images, np.arange(8) % 2), num_glimpses=3, patch_size=2)  # noqa: E731
    copied, reused = (SyncVectorEnv([make] * 3, copy=copy) for copy in (True, False))
    options = {**SMALL, "location_frame": "gaze"}
    assert metrics_of(Reinforce(reused, **options), 3) == metrics_of(
        Reinforce(copied, **options), 3
    )


# --- predict ------------------------------------------------------------------------------------


def test_predict_remembers_and_forgets_where_an_episode_starts(
    tiny_env: GlimpseVectorEnv,
) -> None:
    agent = with_a_gaze(Reinforce(tiny_env, raster=RASTER, **SMALL))
    observation, _ = tiny_env.reset(seed=0)
    fresh, state = agent.predict(observation, deterministic=True)
    remembering, _ = agent.predict(observation, state, deterministic=True)
    starts = np.array([True, False, False, True])
    mixed, _ = agent.predict(observation, state, starts, deterministic=True)
    assert not np.allclose(fresh["location"], remembering["location"])
    np.testing.assert_allclose(mixed["location"][starts], fresh["location"][starts], rtol=1e-5)
    np.testing.assert_allclose(
        mixed["location"][~starts], remembering["location"][~starts], rtol=1e-5
    )


def test_predict_takes_a_single_observation(tiny_env: GlimpseVectorEnv) -> None:
    agent = Reinforce(tiny_env, **SMALL)
    batch, _ = tiny_env.reset(seed=0)
    actions, _ = agent.predict(batch, deterministic=True)
    action, state = agent.predict({k: v[0] for k, v in batch.items()}, deterministic=True)
    assert tiny_env.single_action_space.contains(
        {"location": action["location"], "label": np.int64(action["label"])}
    )
    np.testing.assert_allclose(action["location"], actions["location"][0], rtol=1e-5)
    agent.predict({k: v[0] for k, v in batch.items()}, state)


def test_predicted_actions_are_in_the_action_space(tiny_env: GlimpseVectorEnv) -> None:
    agent = Reinforce(tiny_env, **SMALL, location_std=5.0)
    observation, _ = tiny_env.reset(seed=0)
    actions, _ = agent.predict(observation)
    assert tiny_env.action_space.contains(actions)


def test_class_probabilities_sum_to_1_and_peak_at_the_predicted_class(
    tiny_env: GlimpseVectorEnv,
) -> None:
    agent = Reinforce(tiny_env, **SMALL)
    observation, _ = tiny_env.reset(seed=0)
    probabilities = agent.class_probabilities(observation)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)
    actions, _ = agent.predict(observation, deterministic=True)
    assert probabilities.argmax(axis=-1).tolist() == actions["label"].tolist()


@pytest.mark.parametrize("observation", [np.zeros((4, 1, 2, 2)), {"glimpse": np.zeros((1, 2, 2))}])
def test_what_is_no_observation_is_refused(tiny_env: GlimpseVectorEnv, observation: object) -> None:
    with pytest.raises(ValueError, match="is not a dict with 'glimpse' and 'location'"):
        Reinforce(tiny_env, **SMALL).predict(observation)


def test_observations_may_be_of_float64_and_starts_of_0_and_1(tiny_env: GlimpseVectorEnv) -> None:
    agent = Reinforce(tiny_env, **SMALL)
    observation, _ = tiny_env.reset(seed=0)
    _, state = agent.predict(observation)
    starts = np.array([1, 0, 0, 1])
    expected = agent.class_probabilities(observation, state, starts.astype(bool))
    of_float64 = {name: values.astype(np.float64) for name, values in observation.items()}
    np.testing.assert_array_equal(agent.class_probabilities(of_float64, state, starts), expected)


def test_glimpses_of_bytes_are_refused_as_white_is_1(tiny_env: GlimpseVectorEnv) -> None:
    observation, _ = tiny_env.reset(seed=0)
    glimpse = (255 * observation["glimpse"]).astype(np.uint8)
    with pytest.raises(ValueError, match=r"a glimpse of uint8; give .* from 0 \(black\) to 1"):
        Reinforce(tiny_env, **SMALL).predict({**observation, "glimpse": glimpse})


def test_starts_of_other_episodes_are_refused(tiny_env: GlimpseVectorEnv) -> None:
    agent = Reinforce(tiny_env, **SMALL)
    observation, _ = tiny_env.reset(seed=0)
    _, state = agent.predict(observation)
    with pytest.raises(ValueError, match="episode_start is of 3 episodes, the observation of 4"):
        agent.predict(observation, state, np.ones(3, bool))


def test_a_state_of_other_episodes_is_refused(tiny_env: GlimpseVectorEnv) -> None:
    agent = Reinforce(tiny_env, **SMALL)
    observation, _ = tiny_env.reset(seed=0)
    first = {name: values[0] for name, values in observation.items()}
    _, state = agent.predict(first)
    shapes = r"\[\(1, 16\), \(1, 1\)\].* \[\(4, 16\), \(4, 1\)\]"
    with pytest.raises(ValueError, match=f"state: .*{shapes}"):
        agent.predict(observation, state)


@pytest.mark.parametrize("core", ["lstm", "map"])
def test_a_state_of_another_core_is_refused(tiny_env: GlimpseVectorEnv, core: str) -> None:
    observation, _ = tiny_env.reset(seed=0)
    agents = Reinforce(tiny_env, **SMALL), Reinforce(tiny_env, **SMALL, core=core)
    for agent, other in (agents, reversed(agents)):
        _, state = other.predict(observation)
        with pytest.raises(ValueError, match="hand in what predict returned"):
            agent.predict(observation, state)
        with pytest.raises(ValueError, match="hand in what predict returned"):
            agent.predict(observation, state[0])


def test_a_hyperparameter_that_is_none_is_named_with_those_there_are(
    tiny_env: GlimpseVectorEnv,
) -> None:
    with pytest.raises(TypeError, match=r"^lr: no hyperparameter; there are .*learning_rate"):
        Reinforce(tiny_env, lr=3)


def test_observations_of_another_shape_are_refused(tiny_env: GlimpseVectorEnv) -> None:
    agent = Reinforce(tiny_env, **SMALL)
    with pytest.raises(ValueError, match=r"glimpse \(4, 1, 8, 8\)"):
        agent.predict({"glimpse": np.zeros((4, 1, 8, 8)), "location": np.zeros((4, 2))})


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("core", ["lstm", "map"])
def test_a_saved_agent_acts_as_before(
    tiny_env: GlimpseVectorEnv, tmp_path: Path, core: str
) -> None:
    agent = Reinforce(tiny_env, **SMALL, core=core).learn(60)
    agent.save(tmp_path / "model.safetensors")
    loaded = Reinforce.load(tmp_path / "model.safetensors")
    observation, _ = tiny_env.reset(seed=0)
    expected, found = (each.predict(observation, deterministic=True) for each in (agent, loaded))
    np.testing.assert_array_equal(expected[0]["location"], found[0]["location"])
    with pytest.raises(ValueError, match="no environment"):
        loaded.learn(1)


@pytest.mark.parametrize("optimiser", ["sgd", "rmsprop", "adagrad", "adadelta", "adam"])
def test_learning_on_from_a_training_state_is_learning_without_a_break(
    tiny_env: GlimpseVectorEnv, tmp_path: Path, optimiser: str
) -> None:
    path = tmp_path / "state.safetensors"
    agent = Reinforce(tiny_env, **SMALL, optimiser=optimiser, schedule="cosine", momentum=0.5)
    agent.learn(60, schedule_timesteps=120)
    agent.save_training_state(path)
    resumed = Reinforce.load_training_state(path, tiny_env)
    assert resumed.num_timesteps == 60
    on = {"reset_num_timesteps": False, "schedule_timesteps": 120}
    assert metrics_of(agent, 5, **on) == metrics_of(resumed, 5, **on)
    assert torch.equal(weights_of(agent), weights_of(resumed))


def test_a_training_state_acts_and_samples_as_the_agent_did(
    tiny_env: GlimpseVectorEnv, tmp_path: Path
) -> None:
    path = tmp_path / "state.safetensors"
    agent = Reinforce(tiny_env, averaging=0.9, location_std=0.2, final_location_std=0.1, **SMALL)
    agent.learn(24, schedule_timesteps=48)  # half of the way
    agent.save_training_state(path)
    to_act, to_learn_on = Reinforce.load(path), Reinforce.load_training_state(path, tiny_env)
    observation, _ = tiny_env.reset(seed=0)
    expected = agent.class_probabilities(observation)
    np.testing.assert_array_equal(to_act.class_probabilities(observation), expected)
    np.testing.assert_array_equal(to_learn_on.class_probabilities(observation), expected)
    assert to_act.location_std == 0.1
    assert to_learn_on.location_std == agent.location_std == pytest.approx(0.15)


def test_learning_on_elsewhere_keeps_its_precision(
    tiny_env: GlimpseVectorEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def machine_for(automatic: torch.dtype) -> None:
        def find(precision: Precision, device: torch.device) -> torch.dtype:
            return automatic if precision == "auto" else find_precision(precision, device)

        monkeypatch.setattr("agents.reinforce.find_precision", find)

    path = tmp_path / "state.safetensors"
    machine_for(torch.bfloat16)
    agent = Reinforce(tiny_env, precision="auto", **SMALL).learn(24)
    agent.save_training_state(path)
    machine_for(torch.float32)
    resumed = Reinforce.load_training_state(path, tiny_env)
    on = {"reset_num_timesteps": False}
    assert metrics_of(agent, 5, **on) == metrics_of(resumed, 5, **on)


def test_a_model_alone_is_no_training_state(tiny_env: GlimpseVectorEnv, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    Reinforce(tiny_env, **SMALL).save(path)
    with pytest.raises(ValueError, match="not the state of its training"):
        Reinforce.load_training_state(path, tiny_env)


@pytest.mark.parametrize(
    "change",
    [
        {"agent": "recurrent_ppo"},
        {"choice": "guess"},
        {"hyperparameters": {"core": "gru"}},
        {"hyperparameters": {"patches": "convolutions"}},  # the weights are of pixels
        {"hyperparameters": {"hidden_size": 9}},  # the weights are of 8
    ],
    ids=str,
)
def test_a_file_that_holds_no_such_agent_is_named(
    tiny_env: GlimpseVectorEnv, tmp_path: Path, change: dict[str, Any]
) -> None:
    path = tmp_path / "model.safetensors"
    Reinforce(tiny_env, **SMALL).save(path)
    tensors, document = read_checkpoint(path)
    options = {**document["hyperparameters"], **change.get("hyperparameters", {})}
    write_checkpoint(path, tensors, {**document, **change, "hyperparameters": options})
    with pytest.raises(DamagedCheckpointError, match=r"model\.safetensors' does not hold a Reinf"):
        Reinforce.load(path)


def test_a_training_state_has_averages_where_there_are_any(
    tiny_env: GlimpseVectorEnv, tmp_path: Path
) -> None:
    path, names = tmp_path / "state.safetensors", []
    for averaging in (0.0, 0.9):
        Reinforce(tiny_env, averaging=averaging, **SMALL).learn(12).save_training_state(path)
        names.append([name for name in read_checkpoint(path)[0] if name.startswith("average.")])
    assert names[0] == []
    assert len(names[1]) == 1 + len(Reinforce(tiny_env, **SMALL).network.state_dict())


def test_loading_for_another_environment_names_both(
    tiny_env: GlimpseVectorEnv, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    Reinforce(tiny_env, **SMALL).save(path)
    images = np.zeros((4, 6, 6), np.uint8)
    other = GlimpseVectorEnv((images, np.arange(4)), num_envs=2, patch_size=3)
    with pytest.raises(ValueError, match=r"\(1, 3, 3\).*\(2, 2, 2\)"):
        Reinforce.load(path, other)


# --- the map ------------------------------------------------------------------------------------


def test_the_map_is_of_the_games_screen(catch_env: CatchVectorEnv) -> None:
    agent = Reinforce(catch_env, **SMALL, core="map", loss="reinforce")
    assert agent.network.glimpse_network.shape[-2:] == (4, 4)
    assert np.isfinite(metrics_of(agent, 2)[-1].loss)


def test_a_map_is_for_images_of_its_own_kind(tiny_env: GlimpseVectorEnv, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    Reinforce(tiny_env, **SMALL, core="map").save(path)
    images = np.zeros((6, 7, 9), np.uint8)
    options = {"num_envs": 2, "patch_size": 2, "num_scales": 2}
    larger = GlimpseVectorEnv((images, np.arange(6) % 3), **options)
    with pytest.raises(ValueError, match=r"\(7, 9\).*\(6, 6\)"):
        Reinforce.load(path, larger)


@pytest.mark.parametrize("vectorization_mode", ["sync", "async", "vector_entry_point"])
def test_how_glimpses_lie_in_an_image_is_told_by_the_task(vectorization_mode: str) -> None:
    envs = gym.make_vec(
        "ram_env/MNIST-v0",
        num_envs=2,
        vectorization_mode=vectorization_mode,
        dataset=(np.zeros((4, 7, 9), np.uint8), np.arange(4)),
        patch_size=2,
        scale_factor=np.int64(3),
        location_range=np.float32(0.75),
    )
    geometry = GlimpseGeometry.of(envs)
    envs.close()
    assert geometry == GlimpseGeometry((7, 9), scale_factor=3, location_range=0.75)
    assert (
        GlimpseGeometry.from_json(json.loads(json.dumps(dataclasses.asdict(geometry)))) == geometry
    )


def test_an_environment_that_does_not_tell_its_geometry_has_no_map(
    tiny_env: GlimpseVectorEnv,
) -> None:
    del tiny_env.task
    with pytest.raises(ValueError, match=r"core='map' has to know.*`task` with image_size"):
        Reinforce(tiny_env, **SMALL, core="map")
    Reinforce(tiny_env, **SMALL, core="rnn")


# --- bad input ----------------------------------------------------------------------------------


def test_a_single_environment_is_refused_with_what_to_do() -> None:
    env = gym.make("ram_env/MNIST-v0", dataset=(np.zeros((2, 8, 8), np.uint8), np.arange(2)))
    with pytest.raises(ValueError, match="make_vec"):
        Reinforce(env)


@pytest.mark.parametrize("action_format", ["discrete", "multi_discrete"])
def test_other_action_formats_are_refused(action_format: str) -> None:
    data = (np.zeros((2, 8, 8), np.uint8), np.arange(2))
    with pytest.raises(ValueError, match="action_format='dict'"):
        Reinforce(GlimpseVectorEnv(data, num_envs=2, action_format=action_format))


def test_a_gpu_that_is_not_there_is_refused(tiny_env: GlimpseVectorEnv) -> None:
    with pytest.raises(ValueError, match="finds no GPU"):
        Reinforce(tiny_env, device="cuda")


def test_environments_out_of_step_are_refused() -> None:
    class Staggered(VectorWrapper):
        def step(self, actions: Any) -> Any:
            observation, reward, terminated, truncated, info = super().step(actions)
            terminated[0] = True
            return observation, reward, terminated, truncated, info

    data = (np.zeros((2, 8, 8), np.uint8), np.arange(2))
    agent = Reinforce(Staggered(GlimpseVectorEnv(data, num_envs=3)), **SMALL)
    with pytest.raises(ValueError, match="1 of 3 terminated"):
        agent.learn(1)


# --- environments that are not what it learns in --------------------------------------------------


@pytest.mark.parametrize(
    "spaces_",
    [
        {"glimpse": gym.spaces.Box(0, 255, (1, 2, 2), np.uint8)},
        {"glimpse": gym.spaces.Box(0, 1, (4,), np.float32)},
        {"glimpse": gym.spaces.Box(0, 1, (1, 4, 6), np.float32)},
        {"label": gym.spaces.Discrete(3, start=1)},
        {"location": gym.spaces.Box(0, 1, (2,), np.float32)},
        {"location": gym.spaces.Box(np.float32([-1, -1]), np.float32([1, 27]))},
    ],
    ids=str,
)
def test_other_spaces_are_refused_before_anything_is_learned(spaces_: dict[str, Any]) -> None:
    place = gym.spaces.Box(-1, 1, (2,), np.float32)
    glimpse = gym.spaces.Box(0, 1, (1, 2, 2), np.float32)
    both = {"glimpse": glimpse, "location": place, "label": gym.spaces.Discrete(3), **spaces_}
    observation = gym.spaces.Dict({name: both[name] for name in ("glimpse", "location")})
    action = gym.spaces.Dict({name: both[name] for name in ("location", "label")})
    with pytest.raises(ValueError, match=r"floats of shape \(num_scales.*from 0 on"):
        GlimpseSpaces.of(observation, action)


class Mislabelled(VectorWrapper):
    """Tells a class that there is not."""

    def step(self, actions: dict[str, np.ndarray]) -> Any:
        *told, info = super().step(actions)
        if "label" in info:
            info = {**info, "label": np.full_like(info["label"], 3)}
        return *told, info


class Blind(VectorWrapper):
    """Shows numbers that are none."""

    def reset(self, **options: Any) -> Any:
        observation, info = super().reset(**options)
        return {**observation, "glimpse": np.full_like(observation["glimpse"], np.nan)}, info


def test_a_label_that_is_no_class_is_named(tiny_env: GlimpseVectorEnv) -> None:
    with pytest.raises(ValueError, match=r"the label 3; the action space has 0\.\.2"):
        Reinforce(Mislabelled(tiny_env), **SMALL).learn(12)


def test_nan_before_anything_was_learned_is_not_the_learning_rates_fault(
    tiny_env: GlimpseVectorEnv,
) -> None:
    with pytest.raises(ValueError, match=r"before anything was learned.*environment shows"):
        Reinforce(Blind(tiny_env), **SMALL).learn(12)
