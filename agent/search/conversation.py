"""One conversation as a restart keeps it: bounded, and a function of what was said."""

from __future__ import annotations

from collections.abc import Sequence

from ...prompts.requests import Message
from ...prompts.thinking import without_thinking

MAX_ANSWER_CHARACTERS = 4_000
"""Of an answer, what later turns repeat to the LLM: templates are short, and chatter costs each time."""


class Conversation:
    """The opening request and the latest turns.

    Args:
        opening: The messages that open it; always kept.
        max_turns: How many turns are shown, the newest among them; older ones are left out, so that neither
            the cost of a request nor its length grows without bound.
    """

    def __init__(self, opening: Sequence[Message], *, max_turns: int) -> None:
        self._opening = tuple(opening)
        self._turns: list[tuple[Message, Message]] = []
        self._max_turns = max_turns

    def add(self, answer: str, feedback: Message) -> None:
        """Add what the LLM said, without its thinking, and what it is told of it."""
        # First: of a long thought and a short answer, the answer is what the cut must leave.
        content = without_thinking(answer)[:MAX_ANSWER_CHARACTERS] or "(nothing)"
        said: Message = {"role": "assistant", "content": content}
        self._turns.append((said, feedback))
        # The turn to come is one of those that are shown.
        del self._turns[: max(0, len(self._turns) - (self._max_turns - 1))]

    def messages(self) -> tuple[Message, ...]:
        """Return what is sent now: the opening, or the opening and the latest turns with what they scored."""
        return (*self._opening, *(message for turn in self._turns for message in turn))
