"""The run on disk."""

from __future__ import annotations

from .records import StoredAnswer, StoredScore
from .run import Store

__all__ = ["Store", "StoredAnswer", "StoredScore"]
