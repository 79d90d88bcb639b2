"""The most tokens that a request can be billed for, learned from what was billed."""

from __future__ import annotations

from ..token_usage import TokenUsage
from .types import ChatRequest

HEADROOM = 1.5
BYTES_A_MESSAGE = 16


class TokenBound:
    """A bound for each request.

    Nothing is known of an endpoint's tokens at first, so a byte counts as one: no byte-level tokenizer makes
    more of it. Every answer then tells how many tokens a byte really was; the largest such rate so far, and
    a half of it more, is the bound from then on. An answer counts with ``max_tokens``, or with more for an
    endpoint that was seen to exceed it.
    """

    def __init__(self) -> None:
        self._rate: float | None = None
        self._excess = 1.0

    def of(self, request: ChatRequest) -> TokenUsage:
        """Return the most that one attempt at the request can be billed for."""
        rate = 1.0 if self._rate is None else self._rate * HEADROOM
        return TokenUsage(
            prompt_tokens=int(_size(request) * rate) + 1,
            completion_tokens=int(request.max_tokens * self._excess) + (self._excess > 1),
        )

    def learn(self, request: ChatRequest, billed: TokenUsage) -> None:
        """Take in what an answer was billed for."""
        if billed.prompt_tokens:
            self._rate = max(self._rate or 0.0, billed.prompt_tokens / _size(request))
        self._excess = max(self._excess, billed.completion_tokens / max(request.max_tokens, 1))


def _size(request: ChatRequest) -> int:
    texts = (str(message["content"]) for message in request.messages)
    return sum(len(text.encode("utf-8", "surrogatepass")) + BYTES_A_MESSAGE for text in texts)
