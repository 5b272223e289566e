"""Runs jobs: one after another here, or side by side by Ray, on these cores or on a cluster.

`ram sweep` and `ram benchmark` say what is to be run (`Jobs`) and how (`Run`); where, and what
becomes of those whose process dies, is decided here and in `ray_launcher.py`, for both alike.
"""

from __future__ import annotations

import importlib.util
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

import torch

from ram_env.validation import require_integer, require_number

Job = TypeVar("Job")
Numbers: TypeAlias = dict[str, float]
Report: TypeAlias = Callable[[Numbers], None]
Run: TypeAlias = Callable[[Job, Report], None]
SOME_FAILED = 1  # what a command exits with if a job has failed and the others are done


class Jobs(Protocol[Job]):
    """What is to be run, and who is told how it goes; never leaves the process of the command.

    So nothing here needs a lock, and whatever it keeps on disk is written by one process alone, if
    that holds the folder (`run_folder.sole_driver`).
    """

    def next(self) -> Job | None:
        """Returns what to run next, something that can be pickled; None if there is no more."""

    def on_report(self, job: Job, progress: Numbers) -> bool:
        """Is told how far a job is. False stops it, and no more is heard of it.

        A job that goes on after its process died may report once more what it had reported.
        """

    def on_end(self, job: Job, failure: str | None) -> None:
        """Is told that a job has ended, with the traceback of what went wrong, if anything did."""


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Where jobs run."""

    workers: int | None = None
    """How many run side by side, by Ray, on the cores of this machine or on those of --cluster;
    None: one after another here, without Ray, or as many as the cluster has cores for."""
    cluster: str | None = None
    """Ray cluster to run on: auto for the one that this machine belongs to, or its address. Its
    machines need this package and --folder at the same path, on storage that they share."""
    threads: int | None = None
    """Cores that each run has, and threads that it uses; None: all here, a fair share with
    --workers, one on a cluster."""
    gpus: float = 0.0
    """GPUs that each run has, by Ray; 0.25 lets four share one."""

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ValueError: A value that is not allowed, or Ray is asked for and not installed.
        """
        for name in ("workers", "threads"):
            if (value := getattr(self, name)) is not None:
                require_integer(name, value, at_least=1)
        require_number("gpus", self.gpus, at_least=0)
        if self.is_here and self.gpus:
            raise ValueError(
                f"gpus={self.gpus!r} is for Ray to give out: go with --workers or --cluster"
            )
        if not self.is_here and importlib.util.find_spec("ray") is None:
            raise ValueError(
                "--workers and --cluster need Ray: pip install 'recurrent-attention[cluster]'"
            )

    @property
    def is_here(self) -> bool:
        """Whether it is this process, without Ray."""
        return self.workers is None and self.cluster is None

    @property
    def threads_of_a_job(self) -> int | None:
        """How many threads each job uses; None leaves PyTorch's."""
        if self.threads is not None or self.is_here:
            return self.threads
        if self.workers is None or self.cluster is not None:
            return 1
        return max(1, _usable_cores() // self.workers)


def _usable_cores() -> int:
    """Returns how many cores this process may use, where the system tells; otherwise all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Stopped(BaseException):
    """Ends a job from within its report, past whatever it catches."""


def launch(jobs: Jobs[Job], run: Run[Job], place: Workers) -> None:
    """Runs jobs until there are no more.

    A job that raises is told of, and the others go on. By Ray, one whose process or machine dies
    is started again where there is room: `run` has to find what it has done, in files.

    Args:
        jobs: What to run.
        run: Called with a job and with whom to report to; here, or in a process of Ray's, in the
            working directory of the command, if that is there.
        place: Where.
    """
    if not place.is_here:
        from experiments.ray_launcher import launch_on_ray  # an extra, not needed here

        launch_on_ray(jobs, run, place)
        return
    with using_threads(place.threads_of_a_job):
        while (job := jobs.next()) is not None:
            _run_here(jobs, run, job)


def _run_here(jobs: Jobs[Job], run: Run[Job], job: Job) -> None:
    def report(progress: Numbers) -> None:
        if not jobs.on_report(job, progress):
            raise _Stopped

    try:
        failure = attempt(run, job, report)
    except _Stopped:
        return
    jobs.on_end(job, failure)


def attempt(run: Run[Job], job: Job, report: Report) -> str | None:
    """Runs a job, and returns the traceback of what it raised, None if nothing."""
    try:
        run(job, report)
    except Exception:  # whatever an agent may raise: the others go on
        return traceback.format_exc()
    return None


@contextmanager
def using_threads(threads: int | None) -> Iterator[None]:
    """Has PyTorch use so many threads; None leaves it as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def last_line(failure: str) -> str:
    """Returns what a traceback comes to."""
    return failure.strip().rpartition("\n")[2]
