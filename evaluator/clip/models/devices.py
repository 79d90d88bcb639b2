"""What can compute here."""

from __future__ import annotations

import re

import torch

from ...errors import ModelError

_FORM = re.compile(r"auto|cpu|mps|cuda(:\d+(,\d+)*)?")


def devices() -> list[str]:
    """Return every device of this machine, with the names of its GPUs."""
    found = ["cpu"]
    if torch.backends.mps.is_available():
        found.append("mps")
    found += [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    return found


def parse_devices(name: str) -> list[torch.device]:
    """Return the devices meant by ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``cuda:0,1`` or ``mps``.

    Raises:
        ModelError: There is no such device here.
    """
    if not _FORM.fullmatch(name):
        raise ModelError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:0, cuda:0,1 or mps")
    if name == "auto":
        return [_best()]
    kind, _, numbers = name.partition(":")
    chosen = [torch.device(kind, int(number)) for number in numbers.split(",") if number]
    chosen = chosen or [torch.device(kind, 0) if kind == "cuda" else torch.device(kind)]
    for device in chosen:
        _check(device)
    return chosen


def _best() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _check(device: torch.device) -> None:
    here = ", ".join(devices())
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ModelError(f"there is no mps device here; there is {here}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"there is no device {device} here (torch {torch.__version__}); there is {here}")


def best_dtype(device: torch.device) -> torch.dtype:
    """Return the fastest type that the hardware multiplies in by itself, without emulation."""
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if major >= 8 else torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.bfloat16 if _cpu_has_bf16() else torch.float32


def _cpu_has_bf16() -> bool:
    """Return whether the CPU has bf16 instructions; how torch tells differs between its versions."""
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in names)
