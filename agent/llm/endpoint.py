"""One place that answers, its reply, and the seam behind which any number of them stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from .pacing import RateLimits
from .price_table import Row
from .types import ChatAnswer, ChatClient, ChatRequest
from .usage import Bill, Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One place that answers.

    Attributes:
        name: What reports call it.
        client: How to reach it.
        model: Its own name of the model, where it differs from the request's.
        price: What it charges, None if that is not known.
        limits: What it may be asked at most.
        content: What tells the file of a model of the user's own from others; None where its name does.
        row: The row of the table of prices that its price comes from, None where it does not.
    """

    name: str
    client: ChatClient
    model: str | None = None
    price: Price | None = None
    limits: RateLimits = field(default_factory=RateLimits)
    content: str | None = None
    row: Row | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and what it cost.

    Attributes:
        answer: What the model said.
        bill: What is to be written down with it.
        endpoint: Who answered.
    """

    answer: ChatAnswer
    bill: Bill
    endpoint: str


class Asker(Protocol):
    """What gets an answer by all means that it has, such as ``Proposer``."""

    async def ask(self, request: ChatRequest) -> Reply:
        """Return an answer to a request.

        Raises:
            RequestFailedError: All attempts failed.
            BudgetSpentError: A limit is reached.
        """
        ...
