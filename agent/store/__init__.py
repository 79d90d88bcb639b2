"""The run on disk."""

from __future__ import annotations

from agent.store.records import Position, StoredAnswer, StoredScore, Verdict
from agent.store.run import Store

__all__ = ["Position", "Store", "StoredAnswer", "StoredScore", "Verdict"]
