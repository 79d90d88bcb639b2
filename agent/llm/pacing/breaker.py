"""Whether an endpoint of a pool is to be asked: a circuit breaker.

::

             a failure (of the last closed one: three in a row)
    CLOSED -----------------------------------------------------> OPEN <-------------+
      ^                                                             |                | it fails:
      |                                                             | the pause      | a longer
      |                                                             | is over        | pause
      |                                                             v                |
      +----------------- the probe is answered ----------------- HALF-OPEN ----------+
                                                                    ^   one request at a time,
    a new endpoint, of which nothing is known ----------------------+   the probe

The pattern is that of M. Nygard, "Release It!" (2nd edition, 2018, "Circuit Breaker"). There a caller fails
fast while the circuit is open; here there are other endpoints, and the caller goes to one of them.

Pauses double with each failure, and an answer takes off but a part of one doubling: an endpoint that is good
and bad in turn is asked ever more seldom. A probe holds up the request that makes it, for as long as a
hanging endpoint is waited for. So the pause after a failed probe is no shorter than ``HOLD_SHARE`` times what
the probe took: all probes together hold requests for at most one part in ``HOLD_SHARE`` of the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half_open"]

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0
HOLD_SHARE = 20.0
FORGIVEN = 0.125
"""Doublings that an answer takes off."""
STRIKES = 3
"""Failures in a row that open the last closed one: without it there is none to go to."""
LONGEST_ALONE_S = 30.0
"""Longest pause while no endpoint is closed: whichever comes back first is to be found soon."""


class Breaker:
    """One endpoint's.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._closed = False
        self._probing = False
        self._opened_at = self._pause_s = -math.inf
        self._doublings = 0.0
        self._in_a_row = 0

    @property
    def state(self) -> State:
        """One of the three of the drawing."""
        if self._closed:
            return "closed"
        return "open" if self.wait_s() > 0 and not self._probing else "half_open"

    @property
    def closed(self) -> bool:
        """Whether the endpoint is known to answer."""
        return self._closed

    @property
    def due(self) -> bool:
        """Whether a probe may go now."""
        return not self._closed and self.wait_s() <= 0

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._in_a_row

    def wait_s(self, *, alone: bool = False) -> float:
        """Seconds until a request may go; infinite while only the end of a probe can tell.

        Args:
            alone: Whether no endpoint is closed.
        """
        if self._closed:
            return 0.0
        if self._probing:
            return math.inf
        pause = min(self._pause_s, LONGEST_ALONE_S) if alone else self._pause_s
        return max(self._opened_at + pause - self._clock(), 0.0)

    def admit(self) -> bool:
        """Let a request go, and return whether it is a probe; ``leave`` tells of its end."""
        self._probing = self._probing or not self._closed
        return not self._closed

    def leave(self, *, probe: bool) -> None:
        """Note that a request has ended, with whatever outcome, or none."""
        if probe:
            self._probing = False

    def answered(self, *, probe: bool) -> bool:
        """Note an answer, and return whether that closes the circuit.

        What was under way when it opened says nothing of the time since.
        """
        if not self._closed and not probe:
            return False
        self._doublings = max(self._doublings - FORGIVEN, 0.0)
        self._in_a_row = 0
        closes, self._closed = not self._closed, True
        return closes

    def failed(self, took_s: float, *, probe: bool, last: bool = False) -> float | None:
        """Note a failure.

        Args:
            took_s: What the request was held for.
            probe: Whether it was a probe.
            last: Whether no other endpoint is closed.

        Returns:
            Seconds for which it is left alone now; None if it is not.
        """
        if not self._closed and not probe:
            return None  # under way when it opened: the failure of then
        self._in_a_row += 1
        if self._closed and last and self._in_a_row < STRIKES:
            return None
        pause = min(FIRST_PAUSE_S * 2.0 ** min(self._doublings, 20.0), LONGEST_PAUSE_S)
        self._pause_s = max(pause, took_s * HOLD_SHARE) if probe else pause
        self._opened_at = self._clock()
        self._doublings += 1.0
        self._closed = False
        return self._pause_s
