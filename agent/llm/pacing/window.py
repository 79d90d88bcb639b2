"""One limit of so much a minute, or in another time, held on every kind of server."""

from __future__ import annotations

from collections import deque

PERIOD_S = 60.0
BURST_S = 0.6
"""The burst: what one percent of a minute allows is allowed at once, and at least one."""

FIRST_MARGIN_S = 0.5
LONGEST_MARGIN_S = 8.0


class Taken:
    """One use of a limit: when, and how much."""

    __slots__ = ("at", "counted", "weight")

    def __init__(self, at: float, weight: float) -> None:
        self.at = at
        self.weight = weight
        self.counted = True


class Window:
    """At most ``limit`` a minute, spread out.

    Two rules hold at once. A log of what was used in the last 60 s (and a margin) never holds more than the
    limit: so a server that counts a sliding minute never refuses, nor does one that counts fixed minutes.
    And uses are spread over the minute by the generic cell rate algorithm (ITU-T I.371) at the limit's own
    rate with a burst of ``BURST_S``: so a server with a small bucket does not refuse either. The margin is
    for requests that reach the server closer together than they were sent; it doubles with each refusal, up
    to 8 s.

    Args:
        limit: What a minute allows, of requests or of tokens.
        period_s: Seconds that take the minute's place.
    """

    def __init__(self, limit: float, period_s: float = PERIOD_S) -> None:
        self.limit = limit
        self.period_s = period_s
        self.margin = FIRST_MARGIN_S
        self._log: deque[Taken] = deque()
        self._used = 0.0
        self._due = 0.0
        self._others = 0.0
        self._others_until = 0.0

    def delay(self, now: float, weight: float) -> float:
        """Seconds until so much may be used; 0 for now."""
        self._forget(now)
        # What takes longer than the burst to earn gets none: a bucket that holds just one would refuse it.
        burst = BURST_S * self.period_s / PERIOD_S if weight * PERIOD_S <= BURST_S * self.limit else 0.0
        spread = self._due - burst - now
        over = self._used + self._others + weight - self.limit
        if over <= 0:
            return max(spread, 0.0)
        return max(spread, self._freed(over) - now, 0.0)

    def interval_s(self, weight: float) -> float:
        """Seconds in which so much is earned."""
        return weight * self.period_s / self.limit

    @property
    def a_minute(self) -> float:
        """What 60 s allow."""
        return self.limit * PERIOD_S / self.period_s

    def take(self, now: float, weight: float) -> Taken:
        """Use so much now."""
        taken = Taken(now, weight)
        self._log.append(taken)
        self._used += weight
        self._due = max(self._due, now) + self.interval_s(weight)
        return taken

    def settle(self, taken: Taken, weight: float) -> None:
        """Correct how much one use was."""
        change = weight - taken.weight
        taken.weight = weight
        if taken.counted:
            self._used += change
        self._due += self.interval_s(change)

    def told(self, now: float, remaining: float, reset_s: float | None) -> None:
        """Take in how much the server says is left: where that is less than we know, others used it."""
        self._forget(now)
        missing = self.limit - self._used - remaining
        if missing > self._others:
            self._others = missing
            self._others_until = now + min(self.period_s if reset_s is None else reset_s, self.period_s)

    def close(self) -> None:
        """Let go of what is counted: the limit does not hold any more."""
        for taken in self._log:
            taken.counted = False

    def refused(self) -> None:
        """Keep further away from the limit: the server refused although we kept to it."""
        self.margin = min(self.margin * 2, LONGEST_MARGIN_S)

    def _forget(self, now: float) -> None:
        horizon = now - self.period_s - self.margin
        while self._log and self._log[0].at <= horizon:
            gone = self._log.popleft()
            gone.counted = False
            self._used -= gone.weight
        if not self._log:
            self._used = 0.0
        if now >= self._others_until:
            self._others = 0.0

    def _freed(self, over: float) -> float:
        """When so much will have left the log."""
        at = self._others_until if self._others else 0.0
        over -= self._others
        for taken in self._log:
            if over <= 0:
                break
            over -= taken.weight
            at = max(at, taken.at + self.period_s + self.margin)
        return at
