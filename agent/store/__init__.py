"""The run on disk."""

from __future__ import annotations

from .records import Position, StoredAnswer, StoredScore
from .run import Store

__all__ = ["Position", "Store", "StoredAnswer", "StoredScore"]
