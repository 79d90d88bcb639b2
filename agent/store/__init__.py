"""The run on disk."""

from __future__ import annotations

from .records import Position, StoredAnswer, StoredScore, Verdict
from .run import Store

__all__ = ["Position", "Store", "StoredAnswer", "StoredScore", "Verdict"]
