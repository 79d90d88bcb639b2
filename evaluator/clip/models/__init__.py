"""Models: open_clip's, a checkpoint file's, and the bundled ones, all by one path."""

from __future__ import annotations

from .devices import best_dtype, devices, parse_devices
from .loading import LoadedModel, check_bundled, load_model
from .names import pretrained_pairs

__all__ = [
    "LoadedModel",
    "best_dtype",
    "check_bundled",
    "devices",
    "load_model",
    "parse_devices",
    "pretrained_pairs",
]
