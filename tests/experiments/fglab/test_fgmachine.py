"""The real FGMachine runs our experiments, and a stand-in for FGLab takes what it sends.

`FGMACHINE_DIR` names a checkout of FGMachine with its dependencies installed (`npm install`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from experiments.fglab.schema import original_schema

REPOSITORY = Path(__file__).parents[3]
FGMACHINE = os.environ.get("FGMACHINE_DIR")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(FGMACHINE is None, reason="FGMACHINE_DIR names no checkout of FGMachine"),
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no node"),
]

PROJECT = "560a6553e9b1973d39d06e43"
# What the original's web form sends if nothing is changed: it preselects cuda.
DEFAULTS = {name: field["default"] for name, field in original_schema().items()} | {"cuda": True}
QUICK = {"batchSize": 500, "hiddenSize": 32, "imageHiddenSize": 32}
PICTURES = {f"{kind}{t}.png" for kind in ("glimpse", "patch") for t in range(1, 7)} | {
    "loss.png",
    "losses.png",
    "gaze.png",
    "episode.gif",
}


class Lab:
    """FGLab's API, as far as FGMachine uses it."""

    def __init__(self) -> None:
        self.experiments: dict[str, dict[str, Any]] = defaultdict(dict)
        self.files: dict[str, dict[str, bytes]] = defaultdict(dict)
        self.chart_updates: dict[str, int] = defaultdict(int)
        self.finished: set[str] = set()
        lab = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self._answer({**json.loads(body or b"{}"), "_id": "machine"})

            def do_PUT(self) -> None:
                body = self._body()
                _, _, _, _, experiment, *rest = self.path.split("/")
                if rest == ["files"]:
                    lab.take_files(experiment, self.headers["Content-Type"], body)
                elif rest == ["finished"]:
                    lab.finished.add(experiment)
                elif not rest:
                    lab.experiments[experiment].update(json.loads(body))
                    lab.chart_updates[experiment] += b"_charts" in body
                self._answer({})

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                chunks = []
                while size := int(self.rfile.readline(), 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)

            def _answer(self, document: dict[str, Any]) -> None:
                body = json.dumps(document).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128  # uploads come in bursts

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take_files(self, experiment: str, content_type: str, body: bytes) -> None:
        boundary = re.search("boundary=(.+)", content_type)
        assert boundary is not None
        for part in body.split(b"--" + boundary[1].encode()):
            if name := re.search(rb'filename="([^"]+)"', part):
                content = part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
                self.files[experiment][name[1].decode()] = content


class Machine:
    """A real FGMachine in a folder of its own."""

    def __init__(self, folder: Path, lab: Lab, project: dict[str, Any]) -> None:
        assert FGMACHINE is not None
        self.lab = lab
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        (folder / ".env").write_text(f"FGLAB_URL={lab.url}\nFGMACHINE_URL={self.url}\n")
        (folder / "specs.json").write_text(json.dumps({"_id": "machine", "gpus": []}))
        (folder / "projects.json").write_text(json.dumps({PROJECT: project}))
        self.log = (folder / "machine.log").open("w")
        self.process = subprocess.Popen(
            ["node", str(Path(FGMACHINE) / "machine.js")],
            cwd=folder,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        wait_until(lambda: self.call("GET", f"/projects/{PROJECT}/capacity") is not None, 20)

    def call(self, method: str, path: str, document: dict[str, Any] | None = None) -> Any:
        """Returns the answer, None if there is none to be had."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if document is None else json.dumps(document).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.loads(answer.read())
        except urllib.error.URLError:
            return None

    def submit(self, experiment: str, options: dict[str, Any]) -> None:
        """Starts an experiment as soon as there is capacity."""
        document = {**options, "_id": experiment}
        wait_until(lambda: self.call("POST", f"/projects/{PROJECT}", document) is not None, 300)

    def wait(self, *experiments: str) -> None:
        """Waits for experiments to be finished, and for their last files."""
        wait_until(lambda: set(experiments) <= self.lab.finished, 300)
        time.sleep(4)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.2)


@pytest.fixture
def make_machine(tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    """Makes FGMachines with a project in one of its styles; `results` is where it looks."""
    machines = []

    def make(*, options: str, boolean: str, capacity: float = 1) -> Machine:
        results = tmp_path / "results"
        results.mkdir()
        runs = ["--runs", str(tmp_path / "runs"), "--results", str(results)]
        project = {
            "cwd": str(REPOSITORY),
            "command": sys.executable,
            "args": ["-u", "-m", "experiments.fglab", *runs],
            "options": options,
            "boolean": boolean,
            "capacity": capacity,
            "results": str(results),
        }
        machines.append(Machine(tmp_path, Lab(), project))
        return machines[-1]

    yield make
    for machine in machines:
        machine.close()


def test_the_original_schema_as_the_original_project_has_it(
    make_machine: Callable[..., Machine], tmp_path: Path
) -> None:
    machine = make_machine(options="single-dash", boolean="optional")
    experiment = "55e069f9cf4e1fe075b76b95"
    machine.submit(experiment, DEFAULTS)
    machine.wait(experiment)
    found = machine.lab.experiments[experiment]
    assert found["_status"] == "success"
    assert found["_scores"]["Accuracy"] > 0.4
    assert [chart["columnNames"][0] for chart in found["_charts"]] == ["train", "train"]
    assert "WARNING: cuda was asked for" in found["Device"]
    files = machine.lab.files[experiment]
    assert set(files) == PICTURES
    run = tmp_path / "runs" / "fglab" / experiment
    for name in PICTURES:
        assert files[name] == (run / name).read_bytes()
    wait_until(lambda: not (tmp_path / "results" / experiment).exists(), 20)
    assert (run / "checkpoints" / "best.safetensors").exists()


def test_the_kill_button(make_machine: Callable[..., Machine]) -> None:
    machine = make_machine(options="double-dash", boolean="mandatory")
    experiment = "55e069f9cf4e1fe075b76b96"
    machine.submit(experiment, {**DEFAULTS, "epochs": 1000})
    wait_until(lambda: machine.lab.chart_updates[experiment] >= 2, 60)
    killed = time.monotonic()
    machine.call("POST", f"/experiments/{experiment}/kill")
    wait_until(lambda: experiment in machine.lab.finished, 10)
    assert time.monotonic() - killed < 10
    wait_until(lambda: "Notes" in machine.lab.experiments[experiment], 10)
    assert machine.lab.experiments[experiment]["_status"] == "fail"
    assert "stopped by a signal" in machine.lab.experiments[experiment]["Notes"]


def test_a_wrong_option_fails_the_experiment(make_machine: Callable[..., Machine]) -> None:
    machine = make_machine(options="plain", boolean="mandatory")
    experiment = "55e069f9cf4e1fe075b76b97"
    machine.submit(experiment, {**DEFAULTS, "unitPixels": 15})
    machine.wait(experiment)
    assert machine.lab.experiments[experiment] == {"_status": "fail"}


@pytest.mark.parametrize("options", ["plain", "double-dash"])
def test_ten_experiments_two_at_a_time_and_none_lost(
    make_machine: Callable[..., Machine], options: str
) -> None:
    boolean = {"plain": "optional", "double-dash": "mandatory"}[options]
    machine = make_machine(options=options, boolean=boolean, capacity=0.5)
    experiments = {
        f"55e069f9cf4e1fe075b7{number:04x}": {
            **DEFAULTS,
            **QUICK,
            "cuda": number % 2 == 0,
            "seed": number,
            "optimiser": ["sgd", "rmsprop", "adagrad", "adadelta", "adam"][number % 5],
            "learningRate": [1e-4, 1e-5, 1e-7, 0.1, 0.001][number % 5],
            "glimpseDepth": 1 + number % 3,
        }
        for number in range(10)
    }
    for experiment, values in experiments.items():
        machine.submit(experiment, values)
    machine.wait(*experiments)
    for experiment in experiments:
        found = machine.lab.experiments[experiment]
        assert found["_status"] == "success", experiment
        assert 0 <= found["_scores"]["Accuracy"] <= 1
        assert len(found["_charts"]) == 2
        assert set(machine.lab.files[experiment]) == PICTURES, experiment
