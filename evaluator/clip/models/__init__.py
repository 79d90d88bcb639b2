"""Models: open_clip's, a checkpoint file's, and the bundled ones, all by one path."""

from __future__ import annotations

from .devices import best_dtype, devices, parse_devices
from .names import check_named, pretrained_pairs
from .open_clip_model import LoadedModel, check_bundled, load_model

__all__ = [
    "LoadedModel",
    "best_dtype",
    "check_bundled",
    "check_named",
    "devices",
    "load_model",
    "parse_devices",
    "pretrained_pairs",
]
