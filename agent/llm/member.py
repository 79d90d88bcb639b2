"""One endpoint among those that are asked, and what it has shown so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from ..errors import BadRequestError, ChatError, UselessAnswerError
from .endpoint import Endpoint
from .pacing import RateLimiter
from .standing import Standing
from .types import ChatRequest

MORE_TOKENS = 4
"""How many times the answer tokens are allowed where answers are cut before they begin: once, and no more."""


@dataclass(eq=False, slots=True)
class Member:
    """One endpoint, its limits, and what is known of it.

    Attributes:
        endpoint: The endpoint itself.
        limiter: When it may be asked.
        standing: What a refusal of it means.
        usage_untold: Whether it was said that it does not tell what it bills.
        set_aside: Whether it was said that it is left alone for a while.
        answers: Whether its answers need more tokens: not as far as is known ("short"), perhaps ("trying"),
            it answers with more ("long"), it takes no request for more ("capped").
    """

    endpoint: Endpoint
    limiter: RateLimiter
    standing: Standing = field(default_factory=Standing)
    usage_untold: bool = False
    set_aside: bool = False
    answers: Literal["short", "trying", "long", "capped"] = "short"

    def addressed(self, request: ChatRequest) -> ChatRequest:
        """Return a request as it is sent here."""
        return self.lengthened(replace(request, model=self.endpoint.model or request.model))

    def lengthened(self, request: ChatRequest) -> ChatRequest:
        """Return a request with as many answer tokens as are asked for here."""
        if self.answers not in ("trying", "long"):
            return request
        return replace(request, max_tokens=request.max_tokens * MORE_TOKENS)

    def longest(self, request: ChatRequest) -> ChatRequest:
        """Return a request with as many answer tokens as may ever be asked for."""
        return replace(request, max_tokens=request.max_tokens * MORE_TOKENS)

    def answered(self) -> None:
        """Note an answer."""
        self.standing.answered()
        if self.answers == "trying":
            self.answers = "long"

    def cut_short(self, error: ChatError) -> bool:
        """Whether an answer ended before it began, and more tokens have not been tried."""
        return self.answers == "short" and isinstance(error, UselessAnswerError) and error.reason == "length"

    def asked_too_much(self, error: ChatError) -> bool:
        """Whether a request is refused that asked for more tokens; from then on it does not."""
        if self.answers != "trying" or not isinstance(error, BadRequestError):
            return False
        self.answers = "capped"
        return True
