"""The run on disk."""

from __future__ import annotations

from agent.store.types import Position, StoredAnswer

__all__ = ["Position", "StoredAnswer"]
