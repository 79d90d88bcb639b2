"""The run on disk."""

from __future__ import annotations

from agent.store.run import Store
from agent.store.types import Position, StoredAnswer, StoredScore, Verdict

__all__ = ["Position", "Store", "StoredAnswer", "StoredScore", "Verdict"]
