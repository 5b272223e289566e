from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.gaze import RandomGaze, RasterGaze, WithGaze, center_gaze
from agents.reinforce import Reinforce
from ram_env import GlimpseVectorEnv


def test_center_gaze_stays_at_the_centre() -> None:
    assert center_gaze(np.array([1, 5])).tolist() == [[0, 0], [0, 0]]


def test_random_gaze_covers_the_image_and_follows_its_seed() -> None:
    taken = np.ones(4000, np.int64)
    locations = RandomGaze(seed=0)(taken)
    assert np.abs(locations).max() <= 1
    np.testing.assert_allclose(locations.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(locations.std(axis=0), 1 / np.sqrt(3), atol=0.02)
    np.testing.assert_array_equal(locations, RandomGaze(seed=0)(taken))
    assert not np.array_equal(locations, RandomGaze(seed=1)(taken))


def test_raster_gaze_goes_round_its_places() -> None:
    raster = RasterGaze(np.array([[-0.5, 0.5], [0.5, -0.5]]))
    found = raster(np.array([1, 2, 3]))
    np.testing.assert_array_equal(found, [[-0.5, 0.5], [0.5, -0.5], [-0.5, 0.5]])


@pytest.mark.parametrize("locations", [[], [0.5, 0.5], [[1.5, 0.5]], [["left", "up"]], [[0.5]]])
def test_a_raster_of_no_places_is_refused(locations: object) -> None:
    with pytest.raises(ValueError, match=r"^locations=.* are no places \(x, y\) in \[-1, 1\]$"):
        RasterGaze(locations)


def test_with_gaze_looks_by_the_script_and_answers_as_the_agent(
    tiny_env: GlimpseVectorEnv,
) -> None:
    agent = Reinforce(tiny_env, hidden_size=8)
    raster = RasterGaze(np.array([[-0.5, 0.5], [0.5, -0.5]]))
    scripted = WithGaze(agent, raster)
    observation, _ = tiny_env.reset(seed=0)
    first, state = scripted.predict(observation, deterministic=True)
    expected, agent_state = agent.predict(observation, deterministic=True)
    assert first["location"].tolist() == [[-0.5, 0.5]] * 4
    assert first["label"].tolist() == expected["label"].tolist()

    starts = np.array([False, True, False, True])
    second, _ = scripted.predict(observation, state, starts, deterministic=True)
    expected, _ = agent.predict(observation, agent_state, starts, deterministic=True)
    assert second["location"].tolist() == [[0.5, -0.5], [-0.5, 0.5]] * 2
    assert second["label"].tolist() == expected["label"].tolist()

    single = {name: values[1] for name, values in observation.items()}
    action, state = scripted.predict(single, deterministic=True)
    assert action["location"].tolist() == [-0.5, 0.5]
    assert action["label"] == first["label"][1]
    assert scripted.predict(single, state)[0]["location"].tolist() == [0.5, -0.5]


def test_an_agent_that_is_none_is_told_so(tiny_env: GlimpseVectorEnv) -> None:
    class Forgetful:
        def predict(self, *_: Any, **__: Any) -> dict[str, np.ndarray]:
            return {"location": np.zeros((4, 2)), "label": np.zeros(4, int)}

    observation, _ = tiny_env.reset(seed=0)
    with pytest.raises(ValueError, match=r"must return \(actions, state\), that of Forgetful"):
        WithGaze(Forgetful(), center_gaze).predict(observation)
    with pytest.raises(ValueError, match="has no method predict"):
        WithGaze(None, center_gaze).predict(observation)


def test_answers_without_a_location_are_refused() -> None:
    class Sampler:
        def predict(self, observation: Any, *_: Any, **__: Any) -> tuple[np.ndarray, None]:
            return np.zeros((len(observation["location"]), 3), np.int64), None

    env = GlimpseVectorEnv(
        (np.zeros((2, 8, 8), np.uint8), [0, 1]), num_envs=2, action_format="multi_discrete"
    )
    with pytest.raises(ValueError, match=r"^Sampler answers by .*action_format='dict'$"):
        WithGaze(Sampler(), center_gaze).predict(env.reset()[0])
