"""The eleven data sets of the paper, laid out under ``$DATA`` as CoOp's instructions say."""

from __future__ import annotations

from .layouts import ELEVEN, Layout, read, read_in_place

__all__ = ["ELEVEN", "Layout", "read", "read_in_place"]
