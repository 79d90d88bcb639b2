"""What one endpoint allows in a minute: requests and tokens, set and learned."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping

from ...events import HeaderIgnored, LimitLearned, Listener
from .headers import Allowance, Kind, allowance
from .headers import retry_after as read_retry_after
from .limits import RateLimits
from .window import PERIOD_S, Taken, Window

SAMPLES = 32
HEADROOM = 1.05
SLACKENING = 0.999


class MinuteLimits:
    """The windows of an endpoint, and how much of what requests may need they really use.

    Tokens: the most that a request can be billed for is what must fit into the limit at all; what is set
    aside while it runs is that times the largest share that recent answers really used, and 5 % more. An
    endpoint that refuses because of tokens may count what was asked for, whatever was used: then all of it is
    set aside and stays so, and with each success a thousandth less. A limit that a header tells paces, and
    forbids nothing: one answer that was billed more than that shows that it is none.

    Args:
        name: The endpoint's, for reports.
        limits: What is set.
        clock: The loop's time.
        tell: Hears what is learned.
    """

    def __init__(self, name: str, limits: RateLimits, *, clock: Callable[[], float], tell: Listener) -> None:
        self._name = name
        self._limits = limits
        self._clock = clock
        self._tell = tell
        self._windows: dict[Kind, Window] = {}
        for kind, limit in self._set().items():
            if limit is not None:
                self._windows[kind] = Window(limit)
        self._shares: deque[float] = deque(maxlen=SAMPLES)
        self._least_share = 0.0
        self._most_billed = 0
        self._warned: set[str] = set()
        self._told_period = 0.0

    def limit(self, kind: Kind) -> float | None:
        """Return the limit obeyed, None for none."""
        window = self._windows.get(kind)
        return None if window is None else window.a_minute

    def delay(self, tokens: int) -> float:
        """Seconds until a request may go."""
        now, weights = self._clock(), self._weights(tokens)
        return max((self._windows[kind].delay(now, weight) for kind, weight in weights.items()), default=0.0)

    def interval_s(self, tokens: int) -> float:
        """Seconds in which what a request needs is earned."""
        weights = self._weights(tokens)
        return max((self._windows[kind].interval_s(weight) for kind, weight in weights.items()), default=0.0)

    def take(self, tokens: int) -> dict[Kind, Taken]:
        """Let a request use what it is expected to."""
        now = self._clock()
        return {kind: self._windows[kind].take(now, weight) for kind, weight in self._weights(tokens).items()}

    def unused(self, taken: Mapping[Kind, Taken]) -> None:
        """Take back what a request has used that was not sent."""
        for kind, use in taken.items():
            if (window := self._windows.get(kind)) is not None:
                window.settle(use, 0.0)

    def heard(self, headers: Mapping[str, str], *, in_flight: int, tokens: int) -> None:
        """Learn from a reply's headers.

        Args:
            headers: Names in lower case.
            in_flight: Requests under way, each of about so many ``tokens``.
            tokens: The most that the one that was answered can be billed for.
        """
        read_retry_after(headers, ignored=self._ignore)
        for kind, configured in self._set().items():
            said = allowance(headers, kind, ignored=self._ignore)
            if said.limit is not None:
                self._learn(kind, said, configured, in_flight, tokens)
            if said.remaining is not None and (window := self._windows.get(kind)) is not None:
                window.told(self._clock(), said.remaining, said.reset_s)

    def answered(self, taken: Mapping[Kind, Taken], tokens: int, billed: int) -> None:
        """Note that a request of so many tokens at most was billed for so many."""
        self._settle(taken, max(billed, math.ceil(tokens * self._least_share)))
        self._least_share = self._least_share * SLACKENING if self._least_share > 0.05 else 0.0
        if tokens > 0:
            self._shares.append(billed / tokens)
        self._disprove(billed)

    def refused(self, taken: Mapping[Kind, Taken], *, tokens: bool) -> None:
        """Note that a request was refused, because of ``tokens`` if the endpoint says so."""
        self._settle(taken, 0)
        if tokens:
            self._least_share = 1.0

    def keep_away(self) -> None:
        """Keep further away from the limits: the endpoint refused although they were kept to."""
        # A window that was told to be shorter than a minute may be longer than was seen of it.
        self._told_period = min(self._told_period * 2, PERIOD_S)
        for window in self._windows.values():
            window.refused()

    def _set(self) -> dict[Kind, float | None]:
        return {"requests": self._limits.rpm, "tokens": self._limits.tpm}

    def _weights(self, tokens: int) -> dict[Kind, float]:
        weights: dict[Kind, float] = {"requests": 1.0, "tokens": float(self._expected(tokens))}
        return {kind: min(weights[kind], window.limit) for kind, window in self._windows.items()}

    def _expected(self, tokens: int) -> int:
        share = max(max(self._shares) * HEADROOM, self._least_share) if self._shares else 1.0
        return max(math.ceil(tokens * min(share, 1.0)), 1)

    def _settle(self, taken: Mapping[Kind, Taken], tokens: int) -> None:
        use, window = taken.get("tokens"), self._windows.get("tokens")
        if use is not None and window is not None:
            window.settle(use, float(tokens))

    def _learn(
        self, kind: Kind, said: Allowance, configured: float | None, in_flight: int, tokens: int
    ) -> None:
        told = said.limit or 0.0
        if kind == "tokens" and told < self._most_billed:
            return
        window = self._windows.get(kind)
        limit, period = told, self._period(kind, said)
        if configured is not None and configured <= told * PERIOD_S / period:
            limit, period = configured, PERIOD_S
        if window is not None and (window.limit, window.period_s) == (limit, period):
            return
        if window is None:
            window = self._windows[kind] = Window(limit, period)
            # What is under way already counts there too, though it was not paced.
            for _ in range(in_flight):
                window.take(self._clock(), 1.0 if kind == "requests" else float(self._expected(tokens)))
        window.limit, window.period_s = limit, period
        self._tell(LimitLearned(endpoint=self._name, limit=kind, value=window.a_minute))

    def _period(self, kind: Kind, said: Allowance) -> float:
        """Return how long a window lasts: a minute, or as long as it was ever told to."""
        if kind == "tokens":
            return PERIOD_S
        if said.period_s is not None:
            self._told_period = max(self._told_period, min(max(math.ceil(said.period_s), 1), PERIOD_S))
        return self._told_period or PERIOD_S

    def _disprove(self, billed: int) -> None:
        """Drop a limit that a header told and one answer alone went beyond."""
        self._most_billed = max(self._most_billed, billed)
        window = self._windows.get("tokens")
        if window is None or billed <= window.limit or window.limit == self._limits.tpm:
            return
        self._ignore("x-ratelimit-limit-tokens", f"{window.limit:g}, and {billed} were answered")
        if self._limits.tpm is None:
            self._windows.pop("tokens").close()
        else:
            window.limit = self._limits.tpm

    def _ignore(self, header: str, value: str) -> None:
        if header not in self._warned:
            self._warned.add(header)
            self._tell(HeaderIgnored(endpoint=self._name, header=header, value=value))
