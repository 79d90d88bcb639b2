"""A black box of the user's own: any object that scores templates, from a program or from a command line."""

from __future__ import annotations

from .black_box import as_evaluator
from .factories import open_custom, pinned

__all__ = ["as_evaluator", "open_custom", "pinned"]
