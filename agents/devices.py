"""Where a model runs, and in which precision it multiplies there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import torch

from agents.hyperparameters import Device, Precision
from ram_env.validation import require_choice

# What processors call their instructions for products of bfloat16 (x86, x86, ARM).
BFLOAT16_CAPABILITIES = ("avx512_bf16", "amx_bf16", "bf16")


def find_device(device: Device) -> torch.device:
    """Returns the device to run on.

    Raises:
        ValueError: It is not one of `Device`, or it is a GPU and there is none.
    """
    require_choice("device", device, get_args(Device))
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device='cuda', but PyTorch finds no GPU; use 'auto' or 'cpu'")
    return torch.device(device)


def find_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Returns the type to multiply in; for `"auto"`, bfloat16 where the hardware is made for it."""
    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    if device.type == "cuda":
        is_made_for_it = torch.cuda.is_bf16_supported(including_emulation=False)
    else:  # older versions of PyTorch do not tell
        capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        is_made_for_it = any(capabilities.get(name) for name in BFLOAT16_CAPABILITIES)
    return torch.bfloat16 if is_made_for_it else torch.float32
