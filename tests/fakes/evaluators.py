"""The public fake evaluator, with a record of its calls, and calls that block or raise."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from promptclimb.evaluator import fakes
from promptclimb.evaluator.errors import EvaluatorError
from promptclimb.evaluator.scoring import SplitScores, Verdict


class FakeEvaluator(fakes.FakeEvaluator):
    """Scores as the public one does.

    Args:
        before_batch: Called with each batch before it is scored, in the scoring thread; may block or raise.
        in_flight: How many batches it takes at once.
    """

    def __init__(
        self, *, before_batch: Callable[[Sequence[str]], None] | None = None, in_flight: int = 1, **words: Any
    ) -> None:
        super().__init__(**words)
        self.in_flight = in_flight
        self.batches: list[tuple[str, ...]] = []
        self.opened = 0
        self._before_batch = before_batch
        self._free = threading.Semaphore(in_flight)

    def score(self, templates: Sequence[str]) -> list[Verdict]:
        if not self._free.acquire(blocking=False):
            raise EvaluatorError(f"{self.in_flight + 1} threads scored at once")
        try:
            self.batches.append(tuple(templates))
            if self._before_batch is not None:
                self._before_batch(templates)
            return super().score(templates)
        finally:
            self._free.release()

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores]:
        self.opened += test
        return super().examine(ensembles, test=test)
