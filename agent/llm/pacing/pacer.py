"""Who may send a request next, and to which endpoint."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ....evaluator.errors import PromptclimbError
from ...errors import FatalChatError, RequestTooLargeError
from .choice import choose, has_hope, patience_s
from .limiter import Permit, RateLimiter

SHORTEST_WAIT_S = 0.001


@dataclass(slots=True, eq=False)
class _Waiter:
    tokens: int
    granted: asyncio.Future[Permit]
    avoid: Collection[RateLimiter]
    moved: bool


class Pacer:
    """A queue in front of one endpoint or several: first come, first served.

    Where the first in the queue goes, ``choice`` decides. A request that has failed at one endpoint comes
    back to the front. Nobody overtakes, but to an endpoint that those before have failed at and avoid.
    No task runs of its own: the queue moves when a request comes, ends or is cancelled, and by one timer.

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

    async def acquire(
        self, tokens: int, *, avoid: Collection[RateLimiter] = (), moved: bool = False
    ) -> Permit:
        """Wait for leave to send one request.

        Args:
            tokens: The most that the request can be billed for.
            avoid: Endpoints where it has failed: not asked while there is hope elsewhere.
            moved: Whether it has failed elsewhere and is tried at once: it has had its turn in the queue.

        Returns:
            A permit, to be given back by leaving it.

        Raises:
            RequestTooLargeError: It needs more tokens than any endpoint is set to allow in a minute.
            PromptclimbError: What ``fail`` was called with.
        """
        self._check(tokens)
        waiter = _Waiter(tokens, asyncio.get_running_loop().create_future(), frozenset(avoid), moved)
        if moved:
            self._waiting.appendleft(waiter)
        else:
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
        shortest = math.inf
        open_to: set[RateLimiter] | None = None
        blocked: list[_Waiter] = []
        while self._waiting and (open_to is None or open_to):
            waiter = self._waiting.popleft()
            if waiter.granted.done():
                continue
            wait = self._try(waiter, 1 + len(self._waiting) + len(blocked), open_to)
            if wait > 0:
                blocked.append(waiter)
                shortest = min(shortest, wait)
                avoided = set(waiter.avoid)
                open_to = avoided if open_to is None else open_to & avoided
        self._waiting.extendleft(reversed(blocked))
        if math.isfinite(shortest):
            # Sums of times round: waiting for less than the clock tells apart would be waiting for nothing.
            wait = max(shortest, SHORTEST_WAIT_S)
            self._timer = asyncio.get_running_loop().call_later(wait, self.move)

    def has_hope(self, avoid: Collection[RateLimiter]) -> bool:
        """Whether another endpoint than these may well answer."""
        return has_hope([one for one in self._limiters if one not in avoid])

    def patience_s(self, permit: Permit) -> float:
        """Seconds after which a request is better off elsewhere; infinite where it is not."""
        return patience_s(
            permit.limiter, self._limiters, permit.tokens, waiting=self.waiting, probe=permit.probe
        )

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

    def _try(self, waiter: _Waiter, waiting: int, open_to: Collection[RateLimiter] | None) -> float:
        """Answer one who waits, or say how long that will be."""
        try:
            self._check(waiter.tokens)
        except PromptclimbError as error:
            waiter.granted.set_exception(error)
            return 0.0
        wait, limiter = choose(
            self._limiters, waiter.tokens, waiting=waiting, avoid=waiter.avoid, moved=waiter.moved
        )
        if open_to is not None and limiter not in open_to:
            return math.inf
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
                f"a request may need {tokens} tokens, but --tpm allows only {most:.0f} in a minute; "
                "show fewer templates (--top-k), allow shorter answers (--answer-tokens), or raise --tpm"
            )
