"""Decides which failures are retried, when and how often; and tracks the outage of all endpoints."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import tenacity

from ...evaluator.counts import counted
from ..config.fields import REQUEST_TIMEOUT_S, RETRY_ATTEMPTS, RETRY_S
from ..config.schema import SearchConfig
from ..errors import ChatError, FatalChatError, RateLimitedError, RequestFailedError, UnusableAnswerError

T = TypeVar("T")
FailureKind = Literal["no", "transient", "rate_limited", "unusable"]
OnRetry = Callable[[int, float, FailureKind], None]
"""Called with the number of a failed attempt, the wait after it, and its kind."""

MODEL_SAID = frozenset({"no_content", "length", "content_filter", "refusal"})
"""Unusable answers by the model itself: it may well give them again, and they are paid for."""
SHORTEST_REST_S = 5.0
LONGEST_REST_S = 300.0
LOCAL_S = 1200.0
"""A local model answers as fast as a busy machine lets it; its answer under way is not thrown away before."""


def classify(error: BaseException) -> FailureKind:
    """Return the kind of a failure; "no" is not worth another attempt, "unusable" is a paid answer."""
    if isinstance(error, FatalChatError) or not isinstance(error, ChatError):
        return "no"
    if isinstance(error, RateLimitedError):
        return "rate_limited"
    if isinstance(error, UnusableAnswerError) and error.reason in MODEL_SAID:
        return "unusable"
    return "transient"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How much patience one request gets.

    Attributes:
        attempts: Most attempts, not counting those after which the endpoint asks for a wait.
        unusable_attempts: Most attempts that are paid for and give nothing usable.
        total_s: Seconds of attempts and waits between them; waiting in the queue is not counted.
        attempt_s: Seconds that one attempt may take.
        first_wait_s: Longest wait after the first failure; it doubles with each.
        longest_wait_s: Longest wait between two attempts of our own choosing.
        longest_asked_s: Longest wait that an endpoint may ask for; after that it is tried anyway.
    """

    attempts: int = RETRY_ATTEMPTS
    unusable_attempts: int = 4
    total_s: float = RETRY_S
    attempt_s: float = REQUEST_TIMEOUT_S
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    longest_asked_s: float = 120.0

    @classmethod
    def of(cls, config: SearchConfig, *, local: bool = False) -> RetryPolicy:
        """Return the policy of a config; ``local`` if the requests go to a local LLM."""
        return cls(
            attempts=config.retry_attempts,
            total_s=config.retry_seconds,
            attempt_s=max(config.request_timeout, LOCAL_S if local else 0.0),
        )

    def wait_s(self, attempt: int, retry_after: float | None, rng: random.Random) -> float:
        """Return the seconds to wait after the failed attempt, numbered from 1.

        Full jitter (a uniform draw up to the exponential bound) has the least competing work in M. Brooker,
        "Exponential Backoff and Jitter", AWS Architecture Blog, 2015. The bound grows even if the endpoint
        asks for one second again and again: that is an outage it does not know of. The wait is at least
        ``retry_after``, up to ``longest_asked_s``.
        """
        bound = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(attempt - 1, 30))
        jitter = rng.uniform(0.0, bound)
        if retry_after is None:
            return jitter
        return max(min(retry_after, self.longest_asked_s) + min(jitter, 1.0), jitter)


async def retrying(
    attempt: Callable[[int], Awaitable[T]],
    policy: RetryPolicy,
    *,
    rng: random.Random,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    on_retry: OnRetry | None = None,
) -> T:
    """Make attempts, numbered from 1, until one succeeds, is not worth repeating, or the patience ends.

    Errors other than ChatError pass through. ``on_retry`` is called before each wait.

    Raises:
        RequestFailedError: The patience has ended; the last error is its cause.
        FatalChatError: Trying again cannot help.
    """
    failures: list[ChatError] = []

    def unusable() -> bool:
        answers = [error for error in failures if classify(error) == "unusable"]
        final = any(isinstance(error, UnusableAnswerError) and error.final for error in answers)
        return final or len(answers) >= min(policy.unusable_attempts, policy.attempts)

    def over(state: tenacity.RetryCallState) -> bool:
        # Attempts after which the endpoint asks for a wait are not counted: total_s ends those.
        tries = [one for one in failures if classify(one) != "rate_limited" and one.retry_after is None]
        took_s = sum(one.took_s for one in failures) + state.idle_for
        return len(tries) >= policy.attempts or unusable() or took_s >= policy.total_s

    def report(state: tenacity.RetryCallState) -> None:
        if on_retry is not None:
            wait = state.next_action.sleep if state.next_action else 0.0
            on_retry(len(failures), wait, classify(failures[-1]))

    async def once() -> T:
        try:
            return await attempt(len(failures) + 1)
        except ChatError as error:
            failures.append(error)
            raise

    retries = tenacity.AsyncRetrying(
        sleep=sleep,
        stop=over,
        wait=lambda _: policy.wait_s(len(failures), failures[-1].retry_after, rng),
        retry=tenacity.retry_if_exception(lambda error: classify(error) != "no"),
        before_sleep=report,
        reraise=True,
    )
    try:
        return await retries(once)
    except ChatError as error:
        if classify(error) == "no":
            raise
        attempts = len(failures)
        raise RequestFailedError(
            f"no usable answer in {counted(attempts, 'attempt')}: {error}",
            attempts=attempts,
            answered=unusable(),
        ) from error


class Outage:
    """A time in which no attempt succeeds: how long it lasts, and how long the endpoints rest."""

    def __init__(self, give_up_after_s: float, clock: Callable[[], float]) -> None:
        self._give_up_after_s = give_up_after_s
        self._clock = clock
        self._since: float | None = None
        self._requests = 0

    @property
    def lasted_s(self) -> float:
        """Seconds since the start of the first failure after the last success; 0 after a success."""
        return 0.0 if self._since is None else self._clock() - self._since

    @property
    def over_the_limit(self) -> bool:
        return self._since is not None and self.lasted_s >= self._give_up_after_s

    def succeeded(self) -> None:
        self._since = None
        self._requests = 0

    def failed(self, took_s: float) -> None:
        """Record a failed attempt that took so many seconds."""
        if self._since is None:
            self._since = self._clock() - took_s

    def rest_s(self) -> float:
        """Return the seconds to wait after one more failed request, so that not every round is lost.

        None after the first, which may be that request's own fault; then 5 s, doubling up to five minutes,
        but not beyond the time to give up.
        """
        self._requests += 1
        if self._since is None or self._requests < 2:
            return 0.0
        rest = min(SHORTEST_REST_S * 2.0 ** min(self._requests - 2, 10), LONGEST_REST_S)
        return max(min(rest, self._give_up_after_s - self.lasted_s), 0.0)
