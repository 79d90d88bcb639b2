"""Events on the way to the LLM: failures, retries, pauses, learned limits, endpoints of a pool.

They hold no secret: every text in them has passed the scrubber of ``agent.secrets``.
"""

from __future__ import annotations

from .event import Event


class EndpointEvent(Event):
    """An event of one endpoint.

    Attributes:
        endpoint: Its name.
    """

    endpoint: str


class ChatFailed(EndpointEvent, name="chat.failed"):
    """An attempt failed.

    Attributes:
        error: Class name of the error.
        message: Its message.
        billed: Whether it counts against the budget.
    """

    error: str
    message: str
    billed: bool


class RetryScheduled(EndpointEvent, name="retry.scheduled"):
    """A failed attempt will be made again.

    Attributes:
        attempt: The number of the attempt that failed, from 1.
        wait_s: Seconds until the next one.
        reason: ``transient``, ``rate_limited`` or ``unusable``.
    """

    attempt: int
    wait_s: float
    reason: str


class LimitLearned(EndpointEvent, name="pacing.limit_learned"):
    """The endpoint stated a limit, or changed one.

    Attributes:
        limit: ``requests`` or ``tokens`` (a minute), or ``in_flight``.
        value: The limit from now on.
    """

    limit: str
    value: float


class HeaderIgnored(EndpointEvent, name="pacing.header_ignored"):
    """A rate-limit header makes no sense and is ignored; emitted once for each header.

    Attributes:
        header: Its name.
        value: Its value, cut to a few characters.
    """

    header: str
    value: str


class ModelFetched(Event, name="endpoint.model_fetched"):
    """A part of a local model has been downloaded.

    Attributes:
        model: Its name.
        source: Where it comes from.
        done: Bytes of it that are there.
        of: Bytes of all of it.
    """

    model: str
    source: str
    done: int
    of: int


class UsageMissing(EndpointEvent, name="endpoint.usage_missing"):
    """The endpoint's answers do not report their tokens; emitted once for each endpoint.

    Each answer then counts against limits with the most that it can have cost.
    """


class Paused(EndpointEvent, name="pacing.paused"):
    """No request is sent to the endpoint for a while, because it asked for that.

    Attributes:
        wait_s: Seconds.
    """

    wait_s: float


class WaitCapped(EndpointEvent, name="pacing.wait_capped"):
    """The endpoint asked for a longer wait than is accepted; it is tried again sooner.

    Attributes:
        asked_s: Seconds that it asked for.
        wait_s: Seconds until it is tried again.
    """

    asked_s: float
    wait_s: float


class EndpointPaced(EndpointEvent, name="endpoint.paced"):
    """A session ends: the endpoint's limits, as configured or learned.

    Attributes:
        in_flight: Requests at once.
        rpm: Requests a minute; None for no limit.
        tpm: Tokens a minute; None for no limit.
    """

    in_flight: int
    rpm: float | None
    tpm: float | None


class EndpointRemoved(EndpointEvent, name="endpoint.removed"):
    """The endpoint is no longer used.

    Attributes:
        message: Why.
        left: How many endpoints are left.
    """

    message: str
    left: int


class EndpointSuspended(EndpointEvent, name="endpoint.suspended"):
    """Other endpoints are asked in its place; emitted when that begins, not for each failed probe after it.

    Attributes:
        message: Why.
        wait_s: Seconds until one request may see whether it answers again.
    """

    message: str
    wait_s: float


class EndpointResumed(EndpointEvent, name="endpoint.resumed"):
    """A suspended endpoint has answered and is used again."""


class AnswerTokensRaised(EndpointEvent, name="endpoint.answer_tokens_raised"):
    """Answers were cut before they began: from now on more tokens are asked for here.

    Attributes:
        before: Tokens of the longest answer asked for until now.
        now: Tokens from now on.
    """

    before: int
    now: int


class GaveUp(EndpointEvent, name="endpoint.gave_up"):
    """Nothing has succeeded for too long.

    Attributes:
        failing_s: Seconds since the first failure after the last success.
        message: The last error.
    """

    failing_s: float
    message: str
