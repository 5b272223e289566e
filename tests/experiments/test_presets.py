from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from experiments.evaluate import evaluation_task
from experiments.presets import PRESETS, find_preset


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


@pytest.mark.parametrize("name", PRESETS)
def test_reinforce_in_place_of_a_files_ppo_is_that_of_the_environments_preset(
    name: str, tmp_path: Path
) -> None:
    ppo = find_preset(name, "recurrent_ppo")
    task = dataclasses.replace(ppo.task, num_glimpses=3)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(dataclasses.replace(ppo, task=task).to_json()))
    assert find_preset(str(file), "reinforce") == dataclasses.replace(PRESETS[name], task=task)
