"""One training split over several processes, which `torchrun` starts (torch.distributed).

Each process steps its share of the environments and draws its share of the exploration; gradients
are averaged over all. So together they do what one process does with the whole batch.
"""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Value = TypeVar("Value")


class Share(NamedTuple):
    """Which share of a batch is this process's; all of it, where there is no other process.

    Attributes:
        rank: The process, from 0 on.
        processes: How many there are.
    """

    rank: int = 0
    processes: int = 1

    @classmethod
    def of_this_process(cls) -> Share:
        """Returns the share of the process that calls."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    @property
    def is_whole(self) -> bool:
        """Whether there is no other process."""
        return self.processes == 1

    def size_of(self, batch_size: int) -> int:
        """Returns how many of a batch are this process's; a ValueError if it cannot be shared."""
        if batch_size % self.processes:
            raise ValueError(
                f"batch_size={batch_size} cannot be shared out evenly among {self.processes} "
                f"processes; give a multiple of {self.processes}"
            )
        return batch_size // self.processes

    def part_of(self, batch: Tensor) -> Tensor:
        """Returns this process's rows of a whole batch."""
        return batch.chunk(self.processes)[self.rank]

    def mean(self, values: Tensor) -> Tensor:
        """Returns the mean of all processes' values."""
        total = values.clone()
        if not self.is_whole:
            dist.all_reduce(total)
        return total / self.processes

    def any(self, value: bool, device: torch.device) -> bool:
        """Returns whether a value is true in any process."""
        if self.is_whole:
            return value
        flag = torch.tensor(float(value), device=device)
        dist.all_reduce(flag)
        return bool(flag > 0)

    def from_first(self, value: Value) -> Value:
        """Returns the first process's value."""
        values = [value]
        if not self.is_whole:
            dist.broadcast_object_list(values)
        return values[0]


@contextmanager
def joined_processes(*, use_gpus: bool) -> Iterator[Share]:
    """Joins the processes that `torchrun` has started, if it has; yields this one's share.

    When it is over, nothing is left of the group, its threads included: one that is still at work
    when Python ends would abort the process.

    Args:
        use_gpus: Whether each process runs on a GPU of its own, by NCCL, or on the CPU, by Gloo.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("WORLD_SIZE") == "1":
        yield Share()
        return
    if use_gpus:
        _take_gpu(int(os.environ["LOCAL_RANK"]))
    # As it is imported, torch.distributed.nn binds the group that there is as a default argument.
    # Before there is one, that binds none; DistributedDataParallel would import it afterwards, and
    # the group would outlive its destruction.
    importlib.import_module("torch.distributed.nn")
    dist.init_process_group("nccl" if use_gpus else "gloo")
    try:
        yield Share.of_this_process()
    finally:
        dist.destroy_process_group()
        gc.collect()  # DistributedDataParallel has the group, too, and is part of a cycle


def _take_gpu(local_rank: int) -> None:
    """Makes the GPU of that number the process's own."""
    if local_rank >= torch.cuda.device_count():
        raise ValueError(
            f"process {local_rank} has no GPU of its own: there are {torch.cuda.device_count()} "
            "here; start as many processes, or give --device cpu"
        )
    torch.cuda.set_device(local_rank)
