"""Sweeps and benchmarks on Ray: local cores, and a cluster of three nodes on this machine."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from experiments.config import TrainConfig
from experiments.launcher import Workers
from experiments.ray_launcher import launch_on_ray
from experiments.run_folder import write_json

pytestmark = pytest.mark.slow
# Ray would give its workers what little other programs leave: on a busy machine, next to nothing.
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - its name
ray = pytest.importorskip("ray")

EPOCHS = 25
PATIENCE = 900  # seconds, on a machine with much else to do
OWN_AGENTS = """
import os
import torch
from agents.gaze import RandomGaze
import numpy as np


class FirstClass:
    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        num_envs = len(observation["location"])
        locations = RandomGaze(0)(np.ones(num_envs, np.int64))
        return {"location": locations, "label": np.zeros(num_envs, np.int64)}, None


def first_class(task, *, seed, timesteps):
    with open("threads.txt", "a") as file:
        file.write(f"{torch.get_num_threads()} {os.environ.get('OMP_NUM_THREADS')}\\n")
    return FirstClass()


def broken(task, *, seed, timesteps):
    if seed == 1:
        raise RuntimeError("no such luck")
    return FirstClass()
"""


@pytest.fixture(scope="module")
def preset(tiny_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("presets") / "tiny.json"
    write_json(path, dataclasses.replace(tiny_config, epochs=EPOCHS).to_json())
    return path


@pytest.fixture(scope="module")
def space(preset: Path) -> Path:
    path = preset.with_name("space.yaml")
    fields = "{agent.learning_rate: {low: 1e-4, high: 1e-1, log: true}, agent.core: [rnn, lstm]}"
    path.write_text(f"preset: {preset}\nspace: {fields}\n")
    return path


def ram(*words: object, folder: Path) -> subprocess.Popen[str]:
    """Starts `ram` in a working directory."""
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.cli", *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, (out, err)
    return out, err


def wait_until(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def epochs_of(sweep: Path) -> list[int]:
    """How many epochs each trial that was begun has."""
    files = sweep.glob("trials/*/seed-0/metrics.csv")
    return [len(path.read_text().splitlines()) - 1 for path in files]


def first_epochs(run: Path) -> list[int]:
    """The first epoch of each time that a run was trained."""
    steps = []
    for path in sorted((run / "tensorboard").iterdir(), key=lambda path: path.stat().st_mtime):
        trained = [
            event.step for event in EventFileLoader(str(path)).Load() if event.HasField("summary")
        ]
        steps += trained[:1]
    return sorted(steps)


def trial_workers() -> list[int]:
    """The processes in which Ray runs our jobs."""
    workers = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title = path.read_bytes()
        except OSError:  # it has just ended
            continue
        if title.startswith(b"ray::") and b"Func" in title:
            workers.append(int(path.parent.name))
    return workers


# --- the cores of this machine ------------------------------------------------------------------


def test_a_benchmark_on_two_workers_has_the_results_of_one_after_another(
    preset: Path, tmp_path: Path
) -> None:
    short = preset.with_name("short.json")
    document = json.loads(preset.read_text())
    write_json(short, {**document, "epochs": 2})
    (tmp_path / "own_agents.py").write_text(OWN_AGENTS)
    agents = "ram,own_agents:first_class,own_agents:broken"
    options = ("benchmark", "--agents", agents, "--tasks", short, "--seeds", 2, "--threads", 1)
    for place in ((), ("--workers", 2)):
        process = ram(*options, "--folder", f"{len(place)}", *place, folder=tmp_path)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1, (out, err)  # one is broken, the others went on
        assert "RuntimeError: no such luck" in err
    rows = [table(tmp_path / folder / "table.csv") for folder in ("0", "2")]
    for row in (*rows[0], *rows[1]):
        del row["seconds"]
    assert rows[0] == rows[1]
    assert [(row["agent"], row["seeds"]) for row in rows[1]] == [
        ("ram", "2"),
        ("own_agents:first_class", "2"),
        ("own_agents:broken", "1"),
    ]
    here, there = (
        {
            str(path.relative_to(tmp_path / folder)): [
                point["val_accuracy"] for point in json.loads(path.read_text())["curve"]
            ]
            for path in (tmp_path / folder).rglob("result.json")
        }
        for folder in ("0", "2")
    )
    assert here == there
    assert len(here) == 5
    threads = (tmp_path / "threads.txt").read_text().splitlines()
    assert [line.split()[0] for line in threads] == ["1"] * 4
    assert [line.split()[1] for line in threads[2:]] == ["1"] * 2  # as Ray has set it
    # What is finished is not run again, what failed is.
    results = {path: path.stat().st_mtime_ns for path in (tmp_path / "2").rglob("result.json")}
    again = ram(*options, "--folder", "2", "--workers", 2, folder=tmp_path)
    _, err = again.communicate(timeout=PATIENCE)
    assert "6 cells: 5 finished, 1 to run" in err
    assert {path: path.stat().st_mtime_ns for path in results} == results
    assert len((tmp_path / "threads.txt").read_text().splitlines()) == 4


def test_asha_stops_those_that_lag_behind(preset: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    rates = "[0.01, 1e-9, 2e-9, 3e-9]"  # the first learns, the others do not
    space.write_text(f"preset: {preset}\nspace: {{agent.learning_rate: {rates}}}\n")
    options = ("--search", "grid", "--early-stopping", "asha", "--workers", 2, "--threads", 1)
    finish(ram("sweep", space, *options, "--folder", "sweep", folder=tmp_path))
    rows = table(tmp_path / "sweep" / "trials.csv")
    assert [row["agent.learning_rate"] for row in rows] == ["0.01", "1e-09", "2e-09", "3e-09"]
    assert (rows[0]["state"], rows[0]["epochs_run"]) == ("done", str(EPOCHS))
    # The second may have been the first to come so far; those after it have the first before them.
    for row in rows[2:]:
        assert (row["state"], row["epochs_run"]) == ("stopped early", "1")
        run = tmp_path / "sweep" / "trials" / row["trial"] / "seed-0"
        assert len((run / "metrics.csv").read_text().splitlines()) - 1 < EPOCHS  # stopped, indeed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--workers", 1, "--gpus", 1000), "--gpus 1000 are more than any machine here has"),
        (("--cluster", "127.0.0.1:1"), "--cluster 127.0.0.1:1 cannot be reached"),
    ],
)
def test_what_would_be_waited_for_for_ever_is_refused(
    space: Path, tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    sweep = ("sweep", space, "--search", "random", "--trials", 1, "--folder", tmp_path / "sweep")
    process = ram(*sweep, *options, folder=tmp_path)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2, err
    assert message in err


def test_ray_that_does_not_start_says_so_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_slow(**_: Any) -> None:
        raise Exception("The current node timed out during startup")  # Ray's own, of no kind

    monkeypatch.setattr(ray, "init", too_slow)
    with pytest.raises(ValueError, match="Ray cannot be started here: The current node timed out"):
        launch_on_ray(None, None, Workers(workers=1))


# --- a cluster ----------------------------------------------------------------------------------


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head that runs no trials, and two worker nodes, each a set of processes of its own."""
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": 80 * 2**20}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, **small},
    )
    cluster.workers = [cluster.add_node(num_cpus=1, **small) for _ in range(2)]
    yield cluster
    cluster.shutdown()


def test_12_trials_end_and_none_twice_whoever_is_killed(
    cluster: Any, space: Path, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    options = ("sweep", space, "--search", "random", "--trials", 12, "--folder", sweep)
    on_cluster = (*options, "--cluster", cluster.address)

    driver = ram(*on_cluster, folder=tmp_path)
    wait_until(lambda: any(2 <= epochs < EPOCHS for epochs in epochs_of(sweep)), driver)
    os.kill(trial_workers()[0], signal.SIGKILL)
    wait_until(lambda: epochs_of(sweep).count(EPOCHS) >= 5, driver)
    driver.kill()
    out, err = driver.communicate()
    print(out, err)
    assert err.count("died; it goes on in another") == 1
    assert not (sweep / "trials.csv").exists()
    time.sleep(1)
    states = list(sweep.glob("trials/*/seed-0/checkpoints/latest.safetensors"))
    finished = {
        path: path.stat().st_mtime_ns
        for path in states
        if len((path.parents[1] / "metrics.csv").read_text().splitlines()) == EPOCHS + 1
    }
    assert 5 <= len(finished) < 12

    driver = ram(*on_cluster, "--resume", folder=tmp_path)
    wait_until(lambda: epochs_of(sweep).count(EPOCHS) > len(finished), driver)
    cluster.remove_node(cluster.workers[0], allow_graceful=False)  # a machine leaves
    out, err = finish(driver)
    print(out, err)

    rows = table(sweep / "trials.csv")
    assert [row["trial"] for row in rows] == [str(number) for number in range(12)]
    assert {row["state"] for row in rows} == {"done"}
    assert {row["epochs_run"] for row in rows} == {str(EPOCHS)}
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    sessions = {int(path.parent.name): first_epochs(path) for path in sweep.glob("trials/*/seed-0")}
    print("epochs that each trial began at:", dict(sorted(sessions.items())))
    assert len(sessions) == 12
    again = [begun[1:] for begun in sessions.values() if len(begun) > 1]
    # One had its worker killed, at most two their driver, and at most one its machine.
    assert 1 <= len(again) <= 4
    assert max(max(begun) for begun in again) > 1  # from a checkpoint, not from the beginning

    # The same without Ray: what was killed and went on is, number by number, what never was.
    finish(ram(*options[:-1], tmp_path / "here", "--threads", 1, folder=tmp_path))
    for here in (tmp_path / "here").glob("trials/*/seed-0/metrics.csv"):
        there = sweep / here.relative_to(tmp_path / "here")
        assert there.read_text() == here.read_text(), here
    assert [row["val_accuracy"] for row in table(tmp_path / "here" / "trials.csv")] == [
        row["val_accuracy"] for row in rows
    ]
