"""Weights files: read without running anything in them, and told apart when they do not fit."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ...errors import ModelError


def file_hash(path: Path) -> str:
    """Return SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        ModelError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"the checkpoint {path} cannot be read: {error.strerror}") from error


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors in a checkpoint, by name, on the CPU; nothing in the file is executed.

    Raises:
        ModelError: It is torn, no checkpoint, or holds pickled objects other than tensors.
    """
    if not path.is_file() or path.stat().st_size == 0:
        raise ModelError(f"the checkpoint {path} is {'empty' if path.is_file() else 'no file'}")
    found = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    state = found.get("state_dict", found) if isinstance(found, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"the checkpoint {path} holds no dictionary of tensors")
    if not state:
        raise ModelError(f"the checkpoint {path} holds no tensors")
    names = list(state)
    return {name.removeprefix("module."): state[name] for name in names}


def _read_safetensors(path: Path) -> Any:
    try:
        return load_file(path, device="cpu")
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"the checkpoint {path} is torn or no safetensors file: {error}") from error


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"the checkpoint {path} holds pickled Python objects, or is torn, and is refused: loading it "
            f"could run code. Save its state_dict alone, best as safetensors: "
            f"safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
        ) from error
    except Exception as error:  # torch's unpickler raises whatever a torn file makes it raise
        if "torchscript" in str(error).lower():
            raise ModelError(
                f"the checkpoint {path} is a TorchScript archive, which holds code, and is refused: save its "
                f"state_dict as safetensors where you trust it, or use the same weights by their tag"
            ) from error
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"the checkpoint {path} is torn or no torch checkpoint: {first}") from error


def first_mismatch(model: nn.Module, state: dict[str, Tensor]) -> str:
    """Return the first tensor, in the model's own order, that a checkpoint lacks or has in another shape."""
    wanted = model.state_dict()
    for name, tensor in wanted.items():
        if name not in state:
            return f"it has no {name} {list(tensor.shape)}"
        if state[name].shape != tensor.shape:
            return f"{name} is {list(state[name].shape)} there and {list(tensor.shape)} in the model"
    extra = next((name for name in state if name not in wanted), None)
    return "its tensors fit by name and shape" if extra is None else f"the model has no {extra}"
