from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from agents.hyperparameters import ReinforceHyperparameters
from experiments.config import TaskConfig
from experiments.evaluate import evaluation_task
from experiments.presets import PRESETS, find_preset, preset_of


def test_the_six_glimpses_of_paper_28_begin_side_by_side_over_the_middle() -> None:
    config = PRESETS["paper-28"]
    task = evaluation_task(config.task, "val")
    boxes = task.sensor.boxes(task.image_size, np.array([task.start, *config.agent.raster]))
    seen = np.zeros(task.image_size, int)
    for left, top, right, bottom in boxes.reshape(task.num_glimpses, 4):
        seen[top:bottom, left:right] += 1
    middle = np.zeros_like(seen)
    middle[2:26, 6:22] = 1
    np.testing.assert_array_equal(seen, middle)


def test_mnih_2014_is_the_papers_agent_on_plain_digits() -> None:
    config = PRESETS["mnih-2014"]
    assert config.task == TaskConfig(env="ram_env/MNIST-v0")
    agent = config.agent
    assert isinstance(agent, ReinforceHyperparameters)
    # g of 128 + 128 and 256 units, a ReLU core of 256 (section 3.1 and 4)
    assert (agent.patches, agent.what_where, agent.core) == ("pixels", "sum", "rnn")
    assert (agent.glimpse_hidden_size, agent.location_hidden_size) == (128, 128)
    assert (agent.image_hidden_size, agent.hidden_size) == (256, 256)
    assert (agent.location_frequencies, agent.white_level, agent.raster) == (0, 1.0, ())
    # the hybrid loss, of the last answer (section 3.2); the learning rate falls along a line
    assert (agent.loss, agent.supervise, agent.schedule) == ("hybrid", "last", "linear")
    assert (agent.location_return, agent.baseline) == ("reward", "uninformed")
    assert (agent.reinforce_weight, agent.location_frame) == (1.0, "image")
    assert agent.final_location_std is None
    assert agent.averaging == agent.weight_decay == 0


@pytest.mark.parametrize("name", PRESETS)
def test_reinforce_in_place_of_a_files_ppo_is_that_of_the_environments_preset(
    name: str, tmp_path: Path
) -> None:
    ppo = find_preset(name, "recurrent_ppo")
    task = dataclasses.replace(ppo.task, num_glimpses=3)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(dataclasses.replace(ppo, task=task).to_json()))
    own = PRESETS[preset_of(ppo.task.env)]
    assert find_preset(str(file), "reinforce") == dataclasses.replace(own, task=task)
