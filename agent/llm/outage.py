"""When nothing succeeds: how long it has lasted, how long to leave the endpoints alone, when to give up."""

from __future__ import annotations

from collections.abc import Callable

SHORTEST_REST_S = 5.0
LONGEST_REST_S = 300.0


class Outage:
    """Watches attempts for a time in which none succeeds.

    Args:
        give_up_after_s: Seconds of nothing but failures after which there is no point in going on.
        clock: Seconds.
    """

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
        """Whether it has lasted too long."""
        return self._since is not None and self.lasted_s >= self._give_up_after_s

    def succeeded(self) -> None:
        """Note that an attempt has succeeded."""
        self._since = None
        self._requests = 0

    def failed(self, took_s: float) -> None:
        """Note that an attempt has failed that took so many seconds."""
        if self._since is None:
            self._since = self._clock() - took_s

    def rest_s(self) -> float:
        """Seconds to wait after one more request has used up its attempts: not every round may be lost.

        Nothing after the first, which may be that request's own fault; then 5 s, and twice as much each time,
        up to five minutes, but not beyond the time to give up.
        """
        self._requests += 1
        if self._since is None or self._requests < 2:
            return 0.0
        rest = min(SHORTEST_REST_S * 2.0 ** min(self._requests - 2, 10), LONGEST_REST_S)
        return max(min(rest, self._give_up_after_s - self.lasted_s), 0.0)
