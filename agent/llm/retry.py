"""Which failures are worth another attempt, after how long, and how often."""

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
from ..errors import ChatError, FatalChatError, RateLimitedError, RequestFailedError, UselessAnswerError

Kind = Literal["no", "transient", "rate_limited", "useless"]
T = TypeVar("T")

MODEL_SAID = frozenset({"no_content", "length", "content_filter", "refusal"})
"""Useless answers that the model itself gave: it may well give them again, and they are paid for."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a failed attempt.

    Attributes:
        kind: "no" for a failure that trying again cannot mend; "transient" for one that may pass;
            "rate_limited" for one that asks for patience; "useless" for a paid answer of no use.
        retry_after: Seconds that the endpoint asks to wait, None where it does not.
    """

    kind: Kind
    retry_after: float | None = None


def classify(error: BaseException) -> Decision:
    """Return what to do about a failed attempt; depends on the error alone."""
    if isinstance(error, FatalChatError) or not isinstance(error, ChatError):
        return Decision("no")
    if isinstance(error, RateLimitedError):
        return Decision("rate_limited", error.retry_after)
    if isinstance(error, UselessAnswerError) and error.reason in MODEL_SAID:
        return Decision("useless")
    return Decision("transient", error.retry_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How much patience one request gets.

    Attributes:
        attempts: Attempts in all, without those after which the endpoint asked for a wait: time ends these.
        useless_attempts: Attempts that may be paid for and give nothing to use.
        total_s: Seconds in attempts and in waits between them; waiting in the queue is not counted.
        attempt_s: Seconds that one attempt may take.
        first_wait_s: Longest wait after the first failure; it doubles with each.
        longest_wait_s: Longest wait between two attempts of our own choosing.
        longest_asked_s: Longest wait that an endpoint may ask for; beyond it, it is tried again sooner.
    """

    attempts: int = RETRY_ATTEMPTS
    useless_attempts: int = 4
    total_s: float = RETRY_S
    attempt_s: float = REQUEST_TIMEOUT_S
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    longest_asked_s: float = 120.0

    @classmethod
    def of(cls, config: SearchConfig) -> RetryPolicy:
        """Return that of a config."""
        return cls(
            attempts=config.retry_attempts,
            total_s=config.retry_seconds,
            attempt_s=config.request_timeout,
        )

    def wait_s(self, attempt: int, decision: Decision, rng: random.Random) -> float:
        """Seconds to wait after a failed attempt: full jitter, and no less than the endpoint asks for.

        An endpoint that asks for one second again and again is in an outage that it knows nothing of: so the
        jitter's bound grows there too.

        Full jitter (a uniform draw up to the exponential bound) is the variant with the least competing
        work in M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.

        Args:
            attempt: The number of the attempt that failed, from 1.
            decision: What was decided about it.
            rng: Where the jitter comes from.
        """
        bound = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(attempt - 1, 30))
        jitter = rng.uniform(0.0, bound)
        if decision.retry_after is None:
            return jitter
        return max(min(decision.retry_after, self.longest_asked_s) + min(jitter, 1.0), jitter)


OnRetry = Callable[[int, float, Decision], None]
Sleep = Callable[[float], Awaitable[None]]


async def retrying(
    attempt: Callable[[int], Awaitable[T]],
    policy: RetryPolicy,
    *,
    rng: random.Random,
    sleep: Sleep = asyncio.sleep,
    on_retry: OnRetry | None = None,
) -> T:
    """Make attempts until one succeeds, a failure is not worth another, or the patience ends.

    Args:
        attempt: Makes one attempt; given its number, from 1. What is no ChatError passes through.
        policy: How much patience there is.
        rng: Where the jitter comes from.
        sleep: How to wait.
        on_retry: Told of each failed attempt that another will follow: its number, the wait, the decision.

    Raises:
        RequestFailedError: The patience has ended; the last error is its cause.
        FatalChatError: Trying again cannot help.
    """
    patience = _Patience(policy, rng, on_retry)
    retries = tenacity.AsyncRetrying(
        sleep=sleep,
        stop=patience.over,
        wait=patience.wait,
        retry=tenacity.retry_if_exception(lambda error: classify(error).kind != "no"),
        before_sleep=patience.report,
        reraise=True,
    )
    try:
        return await retries(patience.timed, attempt)
    except ChatError as error:
        if classify(error).kind == "no":
            raise
        raise RequestFailedError(
            f"no usable answer in {counted(patience.attempts, 'attempt')}: {error}",
            attempts=patience.attempts,
            answered=patience.in_vain,
        ) from error


class _Patience:
    """One request's attempts, counted; tenacity asks it when to stop and how long to wait."""

    def __init__(self, policy: RetryPolicy, rng: random.Random, on_retry: OnRetry | None) -> None:
        self.attempts = 0
        self._counted = 0
        self._policy = policy
        self._rng = rng
        self._on_retry = on_retry
        self._useless = 0
        self._waited = 0.0
        self._worked = 0.0
        self._decision = Decision("no")

    @property
    def in_vain(self) -> bool:
        """Whether it has ended because the model gave nothing to use as often as may be paid for."""
        return self._useless >= min(self._policy.useless_attempts, self._policy.attempts)

    async def timed(self, attempt: Callable[[int], Awaitable[T]]) -> T:
        self.attempts += 1
        try:
            return await attempt(self.attempts)
        except ChatError as error:
            self._decision = classify(error)
            self._useless += self._decision.kind == "useless"
            self._counted += self._decision.kind != "rate_limited" and self._decision.retry_after is None
            self._worked += error.took_s
            raise

    def over(self, state: tenacity.RetryCallState) -> bool:
        policy = self._policy
        return (
            self._counted >= policy.attempts or self.in_vain or self._worked + self._waited >= policy.total_s
        )

    def wait(self, state: tenacity.RetryCallState) -> float:
        return self._policy.wait_s(self.attempts, self._decision, self._rng)

    def report(self, state: tenacity.RetryCallState) -> None:
        wait = state.next_action.sleep if state.next_action else 0.0
        self._waited += wait
        if self._on_retry is not None:
            self._on_retry(self.attempts, wait, self._decision)
