"""What has gone through the consumer, counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """A snapshot of a consumer.

    Attributes:
        depth: Templates waiting for a batch.
        in_flight: Templates waiting or being scored.
        scored: Templates scored.
        rejected: Templates that the scorer rejected.
        failed: Templates on which the scorer failed.
        joined: Requests that found their template in flight already (hits).
        batches: Calls of the scorer.
        mean_batch: Templates a call, on average.
        largest_batch: Most templates in one call.
        max_batch: Most templates that a call may hold now.
        splits: Failed calls that were split.
        busy_s: Seconds spent in the scorer.
        busy_share: The same as a share of the consumer's life.
        templates_per_s: Templates answered a busy second.
        texts_per_s: The same in class texts, where the scorer says how many classes it has.
    """

    depth: int
    in_flight: int
    scored: int
    rejected: int
    failed: int
    joined: int
    batches: int
    mean_batch: float
    largest_batch: int
    max_batch: int
    splits: int
    busy_s: float
    busy_share: float
    templates_per_s: float
    texts_per_s: float


class Tally:
    """Counts for ``Statistics``; all times in seconds of one clock.

    Args:
        classes: Class texts a template.
    """

    def __init__(self, classes: int = 1) -> None:
        self._classes = classes
        self.scored = self.rejected = self.failed = self.joined = self.splits = 0
        self._started = self._busy_s = 0.0
        self._calls = self._sent = self._largest = 0

    def start(self, now: float) -> None:
        """Begins the life over which the busy share is taken."""
        self._started = now

    def note_call(self, size: int, seconds: float) -> None:
        """One call of the scorer has returned or raised."""
        self._calls += 1
        self._sent += size
        self._largest = max(self._largest, size)
        self._busy_s += seconds

    def note_answer(self, *, rejected: bool) -> None:
        """One template has been answered."""
        self.rejected += rejected
        self.scored += not rejected

    def snapshot(self, *, now: float, depth: int, in_flight: int, max_batch: int) -> Statistics:
        """The counts so far."""
        life = now - self._started
        rate = (self.scored + self.rejected) / self._busy_s if self._busy_s > 0 else 0.0
        return Statistics(
            depth=depth,
            in_flight=in_flight,
            scored=self.scored,
            rejected=self.rejected,
            failed=self.failed,
            joined=self.joined,
            batches=self._calls,
            mean_batch=self._sent / self._calls if self._calls else 0.0,
            largest_batch=self._largest,
            max_batch=max_batch,
            splits=self.splits,
            busy_s=self._busy_s,
            busy_share=min(1.0, self._busy_s / life) if life > 0 else 0.0,
            templates_per_s=rate,
            texts_per_s=rate * self._classes,
        )
