"""The ways in which endpoints count a limit of so much a minute."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal, Protocol

MINUTE = 60.0
OFFSET_S = 17.0
"""Of a minute of the clock."""
HOLDS_S = 5.0
"""What a bucket holds."""
Style = Literal["sliding", "fixed", "bucket"]


@dataclass(frozen=True)
class State:
    """One state of a limit: how much is left, and in how many seconds it is full again."""

    limit: float
    remaining: float
    full_in_s: float


class Counter(Protocol):
    def wait(self, now: float, amount: float) -> float:
        """Seconds until so much more is allowed; 0 for now."""
        ...

    def use(self, now: float, amount: float) -> None: ...

    def state(self, now: float) -> State: ...


class Sliding:
    """At most so much in any 60 seconds."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._log: deque[tuple[float, float]] = deque()

    def wait(self, now: float, amount: float) -> float:
        self._forget(now)
        over = sum(used for _, used in self._log) + amount - self._limit
        for at, used in self._log:
            if over <= 0:
                break
            over -= used
            if over <= 0:
                return at + MINUTE - now
        return 0.0 if over <= 0 else MINUTE

    def use(self, now: float, amount: float) -> None:
        self._log.append((now, amount))

    def state(self, now: float) -> State:
        self._forget(now)
        used = sum(amount for _, amount in self._log)
        full_in_s = self._log[-1][0] + MINUTE - now if self._log else 0.0
        return State(self._limit, max(self._limit - used, 0.0), full_in_s)

    def _forget(self, now: float) -> None:
        while self._log and self._log[0][0] <= now - MINUTE:
            self._log.popleft()


class Fixed:
    """At most so much in each minute of the clock."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._minute = -1
        self._used = 0.0

    def wait(self, now: float, amount: float) -> float:
        self._turn(now)
        return 0.0 if self._used + amount <= self._limit else self._left(now)

    def use(self, now: float, amount: float) -> None:
        self._turn(now)
        self._used += amount

    def state(self, now: float) -> State:
        self._turn(now)
        return State(self._limit, max(self._limit - self._used, 0.0), self._left(now))

    def _left(self, now: float) -> float:
        return MINUTE - (now + OFFSET_S) % MINUTE

    def _turn(self, now: float) -> None:
        if (minute := int((now + OFFSET_S) // MINUTE)) != self._minute:
            self._minute, self._used = minute, 0.0


class Bucket:
    """A bucket that fills at the limit's rate and holds a few seconds' worth only."""

    def __init__(self, limit: float) -> None:
        self._rate = limit / MINUTE
        self._limit = limit
        self._size = max(self._rate * HOLDS_S, 1.0)
        self._level = self._size
        self._at = 0.0

    def wait(self, now: float, amount: float) -> float:
        self._fill(now)
        # A request larger than the bucket waits for a full one, or it would wait for ever.
        return max(min(amount, self._size) - self._level, 0.0) / self._rate

    def use(self, now: float, amount: float) -> None:
        self._fill(now)
        self._level -= amount

    def state(self, now: float) -> State:
        self._fill(now)
        level = max(self._level, 0.0)
        return State(self._limit, self._limit * level / self._size, (self._size - level) / self._rate)

    def _fill(self, now: float) -> None:
        self._level = min(self._level + (now - self._at) * self._rate, self._size)
        self._at = now


def counter(style: Style, limit: float) -> Counter:
    kinds = {"sliding": Sliding, "fixed": Fixed, "bucket": Bucket}
    return kinds[style](limit)
