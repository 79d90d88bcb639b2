"""Facts on how the restarts went that belong beside a result's figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ...evaluator.counts import counted
from ..results.result import EMPTY, ENDED_EARLY, NOTHING_USABLE
from .record import RestartRecord


def notes_on_restarts(records: Sequence[RestartRecord]) -> dict[str, str]:
    """Return notes on restarts that ended early and on answers that brought nothing, by their short names."""
    return _on_endings(records) | _on_answers(records)


def _on_answers(records: Sequence[RestartRecord]) -> dict[str, str]:
    """Return notes on answers that were paid for and brought nothing; none where there are none."""
    answers, empty, cut = (
        sum(getattr(record, count) for record in records) for count in ("answers", "empty", "cut")
    )
    found = {}
    if empty:
        said = f"no template could be read in {empty:,} of {counted(answers, 'answer')}"
        found[EMPTY] = f"{said}; {cut:,} of them were cut: raise --answer-tokens" if cut else said
    came = answers or any(record.useless for record in records)
    if came and not any(record.proposed for record in records):
        found[NOTHING_USABLE] = "the LLM proposed no new template that could be scored"
    return found


def _on_endings(records: Sequence[RestartRecord]) -> dict[str, str]:
    """Return a note on restarts that ended early, as they were asked to; none where none did."""
    reasons = Counter(record.ended for record in records if record.ended)
    of = counted(len(records), "restart")
    said = [f"{count:,} of {of} ended early: {reason}" for reason, count in reasons.items()]
    return {ENDED_EARLY: "; ".join(said)} if said else {}
