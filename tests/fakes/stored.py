"""What a run has on disk."""

from __future__ import annotations

from promptclimb.agent.position import Position
from promptclimb.agent.store.records import StoredAnswer
from promptclimb.agent.store.run import Store


def answers(store: Store) -> dict[Position, StoredAnswer]:
    """Return all answers of a run, in the order of positions."""
    positions = sorted(exchange.position for exchange in store.exchanges() if exchange.answer is not None)
    return {position: stored for position in positions if (stored := store.answer(position)) is not None}
