"""One endpoint among those that are asked, and what it has shown so far."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ..errors import BadRequestError, ChatError
from ..token_usage import TokenUsage
from .endpoint import Endpoint
from .pacing import RateLimiter
from .standing import Standing
from .told_price import ToldPrice
from .types import ChatRequest, asked_tokens

MORE_TOKENS = 4
"""How many times the answer tokens are allowed where answers are cut before they begin: once, and no more."""


SPARE_TOKENS = 8
"""Tokens that an answer may be billed beyond its bound: some servers count the end of a text too."""


@dataclass(frozen=True, slots=True)
class Addressed:
    """A request as it is sent to one endpoint.

    Attributes:
        request: What is sent.
        longer: Whether it asks for more answer tokens than the search does.
    """

    request: ChatRequest
    longer: bool


@dataclass(eq=False, slots=True)
class Member:
    """One endpoint, its limits, and what is known of it.

    Attributes:
        endpoint: The endpoint itself.
        limiter: When it may be asked.
        standing: What a refusal of it means.
        price: What it charges; None if that is not known.
        bounded: Whether its answers are as long as is asked for at most.
        usage_untold: Whether it was said that it does not tell what it bills.
        set_aside: Whether it was said that it is left alone for a while.
        answers: Whether its answers need more tokens: not as far as is known ("short"), perhaps ("trying"),
            it answers with more ("long"), it takes no request for more ("capped").
    """

    endpoint: Endpoint
    limiter: RateLimiter
    standing: Standing
    price: ToldPrice | None
    bounded: bool = True
    usage_untold: bool = False
    set_aside: bool = False
    answers: Literal["short", "trying", "long", "capped"] = "short"

    def addressed(self, request: ChatRequest) -> Addressed:
        """Return a request as it is sent here."""
        sent = self.lengthened(request)
        longer = sent.max_tokens > request.max_tokens
        return Addressed(replace(sent, model=self.endpoint.model or request.model), longer)

    def lengthened(self, request: ChatRequest) -> ChatRequest:
        """Return a request with as many answer tokens as are asked for here, where a minute allows them."""
        longest = self.longest(request)
        asks_more = self.asks_more and self.limiter.fits(longest.tokens_at_most)
        return longest if asks_more else request

    def longest(self, request: ChatRequest) -> ChatRequest:
        """Return a request with as many answer tokens as may ever be asked for."""
        return replace(request, max_tokens=request.max_tokens * MORE_TOKENS)

    @property
    def asks_more(self) -> bool:
        """Whether more answer tokens are asked for here than the search asks for."""
        return self.answers in ("trying", "long")

    def answered(self, *, longer: bool) -> None:
        """Note an answer, to a request for more tokens or not."""
        self.standing.answered()
        if longer and self.answers == "trying":
            self.answers = "long"

    def billed(self, request: ChatRequest, usage: TokenUsage) -> bool:
        """Take in what a request was billed for; return whether that shows that its answers have no bound."""
        if self.price is not None:
            self.price.learn(usage)
        was = self.bounded
        self.bounded = (
            was
            and asked_tokens(self.endpoint.client, request) > 0
            and usage.completion_tokens <= request.max_tokens + SPARE_TOKENS
        )
        return was and not self.bounded

    def asked_too_much(self, error: ChatError, *, longer: bool) -> bool:
        """Whether a request is refused that asked for more tokens; from then on it does not."""
        if not longer or self.answers != "trying" or not isinstance(error, BadRequestError):
            return False
        self.answers = "capped"
        return True
