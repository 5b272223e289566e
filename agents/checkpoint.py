"""Checkpoints: tensors and a JSON document in one safetensors file, safe to load from a stranger.

Nothing is pickled. A file is written beside its place and moved there whole, so whenever a program
is killed there is either the old file or the new one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from agents.files import replace_atomically

DOCUMENT_KEY = "document"


class DamagedCheckpointError(ValueError):
    """A file that is not there, not whole, or not of the kind that is asked for."""


def write_checkpoint(
    path: str | os.PathLike[str], tensors: dict[str, Tensor], document: dict[str, Any]
) -> None:
    """Writes a checkpoint, or leaves what was there.

    Args:
        path: The file; its folder is made if need be.
        tensors: What is to be kept, by name.
        document: What JSON can hold; kept in the file's header.
    """
    contents = safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        metadata={DOCUMENT_KEY: json.dumps(document, allow_nan=False)},
    )
    with replace_atomically(path) as beside:
        beside.write_bytes(contents)


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Returns the tensors, on the CPU, and the document of a checkpoint.

    Raises:
        DamagedCheckpointError: There is no such file, or it is no checkpoint of this package.
        OSError: It cannot be read now, whatever it holds.
    """
    if not Path(path).is_file():
        raise DamagedCheckpointError(f"there is no checkpoint {str(path)!r}")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            document = json.loads((file.metadata() or {})[DOCUMENT_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise DamagedCheckpointError(
            f"{str(path)!r} is damaged, or not a checkpoint of this package: {error!r}"
        ) from error
    return tensors, document
