"""When a conversation or a restart is over before its rounds are used up.

Each judgement follows from what the restart itself has done, round by round, so a run that is gone
through again ends where it ended before, and no restart depends on how fast another is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ...evaluator.counts import counted
from ..config.schema import SearchConfig
from .choice import pooled
from .record import RestartRecord

REPEATS = frozenset({"known", "duplicate"})
"""Reasons of a refusal that say that a proposal is nothing new."""
MOST_REPEATS = 2
"""Answers of nothing new, one after the other, that end a conversation: a conversation that repeats itself is
better begun anew."""


class Endings:
    """Watch a restart; ``look`` is called when its initial templates are scored and after every round.

    ``leave_aside`` is called before an round's own step, once what stands beside it is scored.

    Args:
        record: What the restart does is found there.
        config: Has ``patience`` and ``until``.
        sizes: Images in ``train`` and ``val``.
    """

    def __init__(self, record: RestartRecord, config: SearchConfig, sizes: Mapping[str, int]) -> None:
        self._record = record
        self._config = config
        self._sizes = sizes
        self._scored = 0
        self._best = self._best_pooled = float("-inf")
        self._in_vain = -1
        self._repeats = 0
        self._aside = 0, Counter[str]()

    def leave_aside(self) -> None:
        """Take note of what was scored before an round's own step: it says nothing of the answer."""
        self._aside = len(self._record.scored), self._record.rejected.copy()

    def look(self) -> None:
        """Take note of what came of an round, or of the initial templates."""
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

    def begin_conversation(self) -> None:
        """Forget what an earlier conversation repeated."""
        self._repeats = 0

    @property
    def of_conversation(self) -> str | None:
        """Why the conversation is over, in words; None while it is not."""
        if self._repeats < MOST_REPEATS:
            return None
        return f"{counted(MOST_REPEATS, 'answer')} in a row held nothing new"

    @property
    def of_restart(self) -> str | None:
        """Why the restart is over, in words; None while it is not."""
        until, patience = self._config.until, self._config.patience
        if until is not None and self._best_pooled >= until:
            return f"a template reached --until {until:g}"
        if patience is not None and self._in_vain >= patience:
            return f"no better template in {counted(patience, 'round')} (--patience)"
        return None
