"""End a conversation or a restart before its rounds are used up (``--patience``, ``--until``, repeats).

Each decision follows from what the restart itself has done, round by round, so a replayed run ends where it
ended before, and no restart depends on how fast another is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ...evaluator.counts import counted
from ..config.schema import SearchConfig
from .choice import pooled
from .record import RestartRecord

REPEATS = frozenset({"known", "duplicate"})
"""Reasons of a refusal that say that a proposal is not new."""
MOST_REPEATS = 2
"""Answers in a row without a new template that end a conversation: a new one does better."""


class EarlyStopping:
    """Watch one restart.

    Args:
        record: What the restart does.
        config: Has ``patience`` and ``until``.
        sizes: Images in ``train`` and ``val``.
    """

    def __init__(self, record: RestartRecord, config: SearchConfig, sizes: Mapping[str, int]) -> None:
        self._record = record
        self._config = config
        self._sizes = sizes
        self._scored = 0
        self._best = self._best_pooled = float("-inf")
        self._rounds_without_gain = -1
        self._repeats = 0
        self._before_step = 0, Counter[str]()

    def begin_conversation(self) -> None:
        """Forget what an earlier conversation repeated."""
        self._repeats = 0

    def begin_step(self) -> None:
        """Leave out the free candidates scored before a round's own step: they say nothing of the answer."""
        self._before_step = len(self._record.scored), self._record.rejected.copy()

    def end_round(self) -> None:
        """Take in the outcome of a round, or of the starting templates."""
        record = self._record
        scored, (free, refused_free) = record.scored[self._scored :], self._before_step
        self._scored = len(record.scored)
        best = max((entry.value for entry in scored), default=self._best)
        self._rounds_without_gain = 0 if best > self._best else self._rounds_without_gain + 1
        self._best = max(self._best, best)
        self._best_pooled = max([self._best_pooled, *(pooled(entry.score, self._sizes) for entry in scored)])
        refused = record.rejected - refused_free
        nothing_new = bool(refused) and len(record.scored) == free and REPEATS.issuperset(refused)
        self._repeats = self._repeats + 1 if nothing_new else 0
        self.begin_step()

    @property
    def ends_conversation(self) -> str | None:
        """Why the conversation is over; None while it is not."""
        if self._repeats < MOST_REPEATS:
            return None
        return f"{counted(MOST_REPEATS, 'answer')} in a row held nothing new"

    @property
    def ends_restart(self) -> str | None:
        """Why the restart is over; None while it is not."""
        until, patience = self._config.until, self._config.patience
        if until is not None and self._best_pooled >= until:
            return f"a template reached --until {until:g}"
        if patience is not None and self._rounds_without_gain >= patience:
            return f"no better template in {counted(patience, 'round')} (--patience)"
        return None
