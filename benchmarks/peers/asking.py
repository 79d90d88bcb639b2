"""How a peer asks the endpoint, and what it may ask: so many calls, and so many templates scored."""

from __future__ import annotations

from benchmarks.peers.black_box import BlackBox
from benchmarks.peers.job import Job

TEMPERATURE, ANSWER_TOKENS = 1.0, 512
"""What searches of ours ask with."""
PATIENCE_S = 36_000.0
CALLS, SCORINGS, ROUNDS, ITSELF = "calls", "scorings", "rounds", "itself"
"""What ended a search: what it may, the rounds that it was asked for, or its own rule."""


class SpentError(Exception):
    """A peer wants more than it has."""


class Allowance:
    """Counts calls, and refuses those that are too many.

    Args:
        job: What it may.
        box: What it has scored.

    Attributes:
        calls: Made so far.
        ended: What it ran out of; empty where nothing yet.
    """

    def __init__(self, job: Job, box: BlackBox) -> None:
        self._job, self._box = job, box
        self.calls = 0
        self.ended = ""

    def is_spent(self, wanted: int = 1) -> bool:
        """Whether so many calls are too many, or no template more may be scored."""
        if self._job.scorings is not None and self._box.scored >= self._job.scorings:
            self.ended = SCORINGS
        elif self.calls + wanted > self._job.calls:
            self.ended = CALLS
        return bool(self.ended)

    def take(self, wanted: int = 1) -> None:
        """Count calls.

        Raises:
            SpentError: They are too many.
        """
        if self.is_spent(wanted):
            raise SpentError(f"no more {self.ended}")
        self.calls += wanted
