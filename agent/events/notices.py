"""What the proposer reports while it works: frozen details, named `room.past_tense`.

They hold no secret: every text in them has passed the scrubber of `agent.secrets`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """The root of all notices.

    Attributes:
        endpoint: Name of the endpoint that it is about.
    """

    name: ClassVar[str]
    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatFailed(Notice):
    """An attempt failed.

    Attributes:
        error: Class name of the error.
        message: What it says.
        billed: Whether it counts against the budget.
    """

    name: ClassVar[str] = "chat.failed"
    error: str
    message: str
    billed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryScheduled(Notice):
    """A failed attempt will be made again.

    Attributes:
        attempt: The number of the attempt that failed, from 1.
        wait_s: Seconds until the next one.
        reason: "transient", "rate_limited" or "useless".
    """

    name: ClassVar[str] = "retry.scheduled"
    attempt: int
    wait_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitLearned(Notice):
    """The endpoint told a limit, or changed one.

    Attributes:
        limit: "requests" or "tokens" (a minute), or "in_flight".
        value: The limit now obeyed.
    """

    name: ClassVar[str] = "pacing.limit_learned"
    limit: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderIgnored(Notice):
    """A rate-limit header made no sense and is not obeyed; told once for each header.

    Attributes:
        header: Its name.
        value: What it said, cut to a few characters.
    """

    name: ClassVar[str] = "pacing.header_ignored"
    header: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused(Notice):
    """No request goes to the endpoint for a while, because it asked for that.

    Attributes:
        wait_s: Seconds.
    """

    name: ClassVar[str] = "pacing.paused"
    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rested(Notice):
    """The endpoint asked for a longer wait than is obeyed; it is tried again sooner.

    Attributes:
        asked_s: Seconds that it asked for.
        wait_s: Seconds until it is tried again.
    """

    name: ClassVar[str] = "proposer.rested"
    asked_s: float
    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRemoved(Notice):
    """The endpoint is not used any more.

    Attributes:
        message: Why.
        left: How many endpoints are left.
    """

    name: ClassVar[str] = "endpoint.removed"
    message: str
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GaveUp(Notice):
    """Nothing has succeeded for too long.

    Attributes:
        failing_s: Seconds since the first failure after the last success.
        message: The last error.
    """

    name: ClassVar[str] = "proposer.gave_up"
    failing_s: float
    message: str


Report: TypeAlias = Callable[[Notice], None]


def unheard(notice: Notice) -> None:
    """For those who do not listen."""
