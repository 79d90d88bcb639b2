"""A chat client whose answer follows from the request alone, after a delay that does not."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from tests.fakes.clock import virtual_sleep

WORDS = (
    *("bright", "dark", "small", "large", "old", "new", "painted", "drawn", "quiet", "wet"),
    *("dusty", "golden", "wooden", "glass", "paper", "stone", "soft", "sharp"),
)


class ChatByHash:
    """Answers with templates made of words that the request's hash picks.

    Args:
        seed: Decides the delays; the answers depend on the request only.
        longest_s: Longest delay, in seconds of virtual time.
        fail: Called with each request and its number before it is answered; may raise.

    Attributes:
        asked: Every request, in the order of arrival.
        answered: Those that were answered.
    """

    def __init__(
        self, seed: int = 0, *, longest_s: float = 5.0, fail: Callable[[ChatRequest, int], None] | None = None
    ) -> None:
        self.asked: list[ChatRequest] = []
        self.answered: list[ChatRequest] = []
        self._rng = random.Random(seed)
        self._longest_s = longest_s
        self._fail = fail

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self.asked.append(request)
        number = len(self.asked)
        await virtual_sleep(self._rng.uniform(0, self._longest_s))
        if self._fail is not None:
            self._fail(request, number)
        self.answered.append(request)
        return ChatAnswer(text=text_for(request), prompt_tokens=100, completion_tokens=20)


def text_for(request: ChatRequest) -> str:
    """Five lines: templates, one of them without a slot now and then."""
    rng = random.Random(hashlib.sha256(request.hash.encode()).digest())
    lines = []
    for _ in range(5):
        words = rng.sample(WORDS, rng.randint(1, 4))
        words.insert(rng.randint(0, len(words)), "{}" if rng.random() < 0.9 else "thing")
        lines.append(f"- a {' '.join(words)}")
    return "\n".join(lines)
