"""Who may send a request next, and to which endpoint."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import FatalChatError, PromptclimbError, RequestTooLargeError
from .limiter import Permit, RateLimiter


@dataclass(slots=True, eq=False)
class _Waiter:
    tokens: int
    granted: asyncio.Future[Permit]


class Pacer:
    """A queue in front of one endpoint or several: first come, first served.

    The first in the queue goes to the endpoint that has room soonest, of several with room to the one with
    the smallest share of its room taken. Nobody overtakes. No task runs of its own: the queue moves when a
    request comes, ends or is cancelled, and by one timer.

    Args:
        limiters: The endpoints, at least one; all on the running loop's clock.
    """

    def __init__(self, limiters: Sequence[RateLimiter]) -> None:
        self._limiters = list(limiters)
        self._waiting: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._failure: PromptclimbError | None = None

    @property
    def limiters(self) -> tuple[RateLimiter, ...]:
        """The endpoints in use."""
        return tuple(self._limiters)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def acquire(self, tokens: int) -> Permit:
        """Wait for leave to send one request.

        Args:
            tokens: The most that the request can be billed for.

        Returns:
            A permit, to be given back by leaving it.

        Raises:
            RequestTooLargeError: It needs more tokens than any endpoint allows in a minute.
            PromptclimbError: What ``fail`` was called with.
        """
        self._check(tokens)
        waiter = _Waiter(tokens, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self.move()
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            granted = waiter.granted
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                granted.result().leave()
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
            self.move()
            raise

    def move(self) -> None:
        """Let go whoever may; call it when something has changed that ``Permit.leave`` does not tell of."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            waiter = self._waiting[0]
            if not waiter.granted.done():
                wait = self._try(waiter)
                if wait > 0:
                    if math.isfinite(wait):
                        self._timer = asyncio.get_running_loop().call_later(wait, self.move)
                    return
            self._waiting.popleft()

    def remove(self, limiter: RateLimiter, error: FatalChatError) -> int:
        """Take an endpoint out; those who wait go to the others, or fail if there are none.

        Returns:
            How many are left.
        """
        limiter.closed = error
        if limiter in self._limiters:
            self._limiters.remove(limiter)
        if not self._limiters:
            self.fail(error)
        self.move()
        return len(self._limiters)

    def fail(self, error: PromptclimbError) -> None:
        """Refuse everybody from now on, those who wait included."""
        self._failure = self._failure or error
        self.move()

    def _try(self, waiter: _Waiter) -> float:
        """Answer the first in the queue, or say how long it has to wait."""
        try:
            self._check(waiter.tokens)
        except PromptclimbError as error:
            waiter.granted.set_exception(error)
            return 0.0
        wait, _, limiter = min(
            ((limiter.delay(waiter.tokens), limiter.load(), limiter) for limiter in self._limiters),
            key=lambda each: each[:2],
        )
        if wait <= 0:
            permit = limiter.admit(waiter.tokens)
            permit.on_leave(self.move)
            waiter.granted.set_result(permit)
            return 0.0
        return wait

    def _check(self, tokens: int) -> None:
        if self._failure is not None:
            raise self._failure
        if not any(limiter.fits(tokens) for limiter in self._limiters):
            most = max(limiter.token_limit() or 0.0 for limiter in self._limiters)
            raise RequestTooLargeError(
                f"a request may need {tokens} tokens, but only {most:.0f} are allowed in a minute; "
                "show fewer templates (--top-k), allow shorter answers (--answer-tokens), or raise --tpm"
            )
