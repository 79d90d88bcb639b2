"""What a run keeps on disk, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from agent.chat import ChatAnswer


class Position(NamedTuple):
    """Where in a search an answer belongs; numbers count from 0.

    Attributes:
        climb: The climb (restart).
        reset: The conversation of that climb.
        iteration: The turn of that conversation.
        sample: Which of several answers to one request.
    """

    climb: int
    reset: int
    iteration: int
    sample: int = 0


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer from the journal, and which request it answers.

    Attributes:
        request_hash: `ChatRequest.hash` of the request.
        answer: What the model said.
    """

    request_hash: str
    answer: ChatAnswer
