"""When a reset or a climb is over before its iterations are used up.

Each judgement follows from what the climb itself has done, iteration by iteration, so a run that is gone
through again ends where it ended before, and no climb depends on how fast another is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ...evaluator.counts import counted
from ..config.schema import SearchConfig
from .record import ClimbRecord
from .selection import pooled

REPEATS = frozenset({"known", "duplicate"})
"""Reasons of a refusal that say that a proposal is nothing new."""
MOST_REPEATS = 2
"""Answers of nothing new, one after the other, that end a reset: a conversation that repeats itself is
better begun anew."""


class Endings:
    """Watch a climb; ``look`` is called when its initial templates are scored and after every iteration.

    ``leave_aside`` is called before an iteration's own step, once what stands beside it is scored.

    Args:
        record: What the climb does is found there.
        config: Has ``patience`` and ``until``.
        sizes: Images in ``train`` and ``val``.
    """

    def __init__(self, record: ClimbRecord, config: SearchConfig, sizes: Mapping[str, int]) -> None:
        self._record = record
        self._config = config
        self._sizes = sizes
        self._scored = 0
        self._best = self._best_pooled = float("-inf")
        self._in_vain = -1
        self._repeats = 0
        self._aside = 0, Counter[str]()

    def leave_aside(self) -> None:
        """Take note of what was scored before an iteration's own step: it says nothing of the answer."""
        self._aside = len(self._record.scored), self._record.rejected.copy()

    def look(self) -> None:
        """Take note of what came of an iteration, or of the initial templates."""
        record = self._record
        scored, (aside, refused_aside) = record.scored[self._scored :], self._aside
        self._scored = len(record.scored)
        best = max((entry.value for entry in scored), default=self._best)
        self._in_vain = 0 if best > self._best else self._in_vain + 1
        self._best = max(self._best, best)
        found = [pooled(entry.score, self._sizes) for entry in scored]
        self._best_pooled = max([self._best_pooled, *found])
        refused = record.rejected - refused_aside
        nothing_new = bool(refused) and len(record.scored) == aside and REPEATS.issuperset(refused)
        self._repeats = self._repeats + 1 if nothing_new else 0
        self.leave_aside()

    def begin_reset(self) -> None:
        """Forget what an earlier conversation repeated."""
        self._repeats = 0

    @property
    def of_reset(self) -> str | None:
        """Why the reset is over, in words; None while it is not."""
        if self._repeats < MOST_REPEATS:
            return None
        return f"{counted(MOST_REPEATS, 'answer')} in a row held nothing new"

    @property
    def of_climb(self) -> str | None:
        """Why the climb is over, in words; None while it is not."""
        until, patience = self._config.until, self._config.patience
        if until is not None and self._best_pooled >= until:
            return f"a template reached --until {until:g}"
        if patience is not None and self._in_vain >= patience:
            return f"no better template in {counted(patience, 'iteration')} (--patience)"
        return None
