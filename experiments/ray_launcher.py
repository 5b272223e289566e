"""Jobs on Ray: Tune starts them where there is room, and starts again those whose worker died.

Tune asks a `Searcher` for configurations and a scheduler whether a trial is to go on: two thin
adapters hand both questions to the `Jobs`. What is done and left to do is theirs to know, in files
of their own, so a driver that dies takes nothing along, and whoever goes on needs neither the same
cluster nor Ray. Nothing of Tune's own state is read again.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from typing import Any

# Before Tune is imported, which reads them: no files or tables of its own, the working directory
# left as it is, and Ctrl-C for whoever called.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

import ray
import torch
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from experiments.launcher import Job, Jobs, Run, Workers, attempt

# How often a job whose worker died is started again. A job that takes its worker along each time
# (out of memory, say) must not do so for ever.
MAX_DEATHS = 3
SECONDS_TO_ANSWER = 10.0
JOB, PROGRESS, FAILURE, ENDED = "job", "progress", "failure", "ended"


def launch_on_ray(jobs: Jobs[Job], run: Run[Job], place: Workers) -> None:
    """Runs jobs side by side, see `launch`."""
    threads = place.threads_of_a_job or 1
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # a death is told of in one line, below
    if place.cluster is None:
        cpus, address = (place.workers or 1) * threads, None
    else:
        cpus, address = None, place.cluster
    try:
        if address is not None:
            _knock(address)
        ray.init(
            address=address or "local",
            num_cpus=cpus,
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
        )
    except Exception as error:  # Ray raises that itself, where it takes too long to start
        what = (
            "Ray cannot be started here"
            if address is None
            else f"--cluster {address} cannot be reached"
        )
        raise ValueError(f"{what}: {error}") from error
    try:
        _require_room(threads, place.gpus)
        room = int(ray.cluster_resources().get("CPU", 1) // threads)  # type: ignore[no-untyped-call]
        _tune(jobs, run, threads, place.gpus, place.workers or max(1, room))
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raises an OSError if nobody listens at an address of the kind HOST:PORT; Ray would wait."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()


def _require_room(threads: int, gpus: float) -> None:
    """Raises a ValueError if no machine has what a job needs, for which Tune would wait for ever.

    A cluster that starts machines as they are needed has to have one of the kind to begin with.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    if not any(
        machine.get("CPU", 0) >= threads and machine.get("GPU", 0) >= gpus for machine in machines
    ):
        found = ", ".join(
            f"{machine.get('CPU', 0):g} cores and {machine.get('GPU', 0):g} GPUs"
            for machine in machines
        )
        raise ValueError(
            f"--threads {threads} and --gpus {gpus:g} are more than any machine here has: {found}"
        )


def _tune(jobs: Jobs[Job], run: Run[Job], threads: int, gpus: float, side_by_side: int) -> None:
    told = _Told(jobs)
    with tempfile.TemporaryDirectory() as scratch:
        tuner = tune.Tuner(
            tune.with_resources(_trainable(run, threads), {"cpu": threads, "gpu": gpus}),
            tune_config=tune.TuneConfig(
                search_alg=_Proposals(told),
                scheduler=_Judge(told),
                num_samples=-1,  # until the jobs are at their end
                # Also how many wait for room at a time: left out, that is one, and workers that
                # take seconds to start would be started one after another.
                max_concurrent_trials=side_by_side,
                reuse_actors=True,  # a worker's start, with PyTorch, takes seconds
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=scratch,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=MAX_DEATHS),
                callbacks=[_Deaths()],
            ),
        )
        tuner.fit()


def _trainable(run: Run[Any], threads: int) -> Callable[[dict[str, Any]], None]:
    """Returns what Tune calls in a worker."""
    folder = os.getcwd()

    def run_job(config: dict[str, Any]) -> None:
        torch.set_num_threads(threads)
        if os.path.isdir(folder):
            os.chdir(folder)
        failure = attempt(
            run, config[JOB], lambda progress: tune.report({PROGRESS: dict(progress)})
        )
        tune.report({ENDED: True, FAILURE: failure})

    return run_job


class _Told:
    """What is told to the jobs, by the name that Tune has for each.

    Args:
        jobs: The jobs.
    """

    def __init__(self, jobs: Jobs[Any]) -> None:
        self.jobs = jobs
        self.running: dict[str, Any] = {}


class _Proposals(Searcher):
    """Proposes the next job, and hears how each ended."""

    def __init__(self, told: _Told) -> None:
        super().__init__()
        self._told = told

    def suggest(self, trial_id: str) -> Any:
        """Returns the next job as the configuration of a trial."""
        job = self._told.jobs.next()
        if job is None:
            return Searcher.FINISHED
        self._told.running[trial_id] = job
        return {JOB: job}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Hands on how a job ended, if it was not stopped."""
        job = self._told.running.pop(trial_id, None)
        if job is None:
            return
        failure = (result or {}).get(FAILURE)
        if error:
            failure = f"its worker died {MAX_DEATHS + 1} times, or could not be started"
        self._told.jobs.on_end(job, failure)

    def save(self, checkpoint_path: str) -> None:
        """Keeps nothing: the jobs keep what is to be kept."""

    def restore(self, checkpoint_path: str) -> None:
        """Restores nothing."""

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles what it is given; the jobs stay here."""
        return {}


class _Judge(FIFOScheduler):
    """Asks the jobs whether to go on with one that has reported."""

    def __init__(self, told: _Told) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._told = told

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Returns whether the trial is to go on."""
        job = self._told.running.get(trial.trial_id)
        if job is None or ENDED in result:
            return str(TrialScheduler.CONTINUE)
        prefix = f"{PROGRESS}/"  # Tune flattens what it is told
        progress = {
            key.removeprefix(prefix): value
            for key, value in result.items()
            if key.startswith(prefix)
        }
        if self._told.jobs.on_report(job, progress):
            return str(TrialScheduler.CONTINUE)
        del self._told.running[trial.trial_id]
        return str(TrialScheduler.STOP)

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles what it is given; the jobs stay here."""
        return {}


class _Deaths(tune.Callback):
    """Says on stderr when a job is started again."""

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_info: Any) -> None:
        """Says which job has lost its worker."""
        print(f"the worker of {trial.config[JOB]} died; it goes on in another", file=sys.stderr)
