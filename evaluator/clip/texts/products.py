"""Matrix products by the fastest kernel that torch has on this processor."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, *, gelu: bool = False) -> Tensor:
    """Return ``x @ weight.T + bias``, and the exact GELU of that where asked for: [..., in] -> [..., out].

    Under autograd, and wherever oneDNN is not known to be as fast, it is torch's own.
    """
    if x.device.type == "cpu" and not x.requires_grad and has_onednn(x.dtype):
        product: Any = torch.ops.mkldnn._linear_pointwise
        found: Tensor = product(x, weight, bias, "gelu" if gelu else "none", [], "none" if gelu else "")
        return found
    x = functional.linear(x, weight, bias)
    return functional.gelu(x) if gelu else x


@cache
def has_onednn(dtype: torch.dtype) -> bool:
    """Return whether products of this type go to oneDNN directly, which torch uses for its own compiled code.

    torch gives float32 to MKL, which runs at half the width on processors of other makers than its own.
    Without AVX-512, oneDNN may have no kernel of its own for them.
    """
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or (dtype == torch.float32 and _is_intels()):
        return False
    try:
        product: Any = torch.ops.mkldnn._linear_pointwise
        x = torch.ones(16, 16, dtype=dtype)
        return torch.equal(product(x, x, None, "none", [], ""), functional.linear(x, x))
    except (AttributeError, RuntimeError):
        return False


def _is_intels() -> bool:
    listed = Path("/proc/cpuinfo")
    return "Intel" in (listed.read_text("utf-8") if listed.exists() else platform.processor())
