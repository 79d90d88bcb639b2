"""Record what the restarts of a search have done, and describe it for the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...evaluator.counts import counted
from ...prompts.requests import Message
from ..events import SearchStopped
from ..methods.memory import Entry
from ..position import Position
from ..results.result import EMPTY, ENDED_EARLY, NOTHING_USABLE


@dataclass(slots=True)
class RestartRecord:
    """What one restart has done so far; it grows while the restart runs, so a stopped search has it too.

    Attributes:
        number: Its number, from 1.
        scored: Every template that it scored.
        rejected: How many lines and templates were refused, by reason.
        skipped: Rounds without an answer.
        unusable: Those of them for which an answer came that could not be used.
        proposed: Templates of the LLM's that were new and could be scored.
        answers: Answers that it got.
        empty: Answers in which no template could be read.
        cut: Empty answers that were cut at the most tokens allowed.
        replayed: Answers that were on disk already.
        unanswered: Its last rounds, if they got no answer.
        last_skip: Why the last skipped round got no answer; empty if none was skipped.
        ended: Why it stopped early; empty if it did not.
        exchanges: Requests and answers, by position.
        done: Whether it went through all its rounds, or stopped early as it was asked to.
    """

    number: int
    scored: list[Entry] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    unusable: int = 0
    proposed: int = 0
    answers: int = 0
    empty: int = 0
    cut: int = 0
    replayed: int = 0
    unanswered: int = 0
    last_skip: str = ""
    ended: str = ""
    exchanges: dict[Position, tuple[tuple[Message, ...], str]] = field(default_factory=dict)
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What all restarts have done when they have ended.

    Attributes:
        records: One for each restart.
        stopped: What stopped them; None if they went to their ends.
        budget: What is left of each limit that was set.
    """

    records: Sequence[RestartRecord]
    stopped: SearchStopped | None = None
    budget: Mapping[str, float] = field(default_factory=dict)

    @property
    def scored(self) -> list[Entry]:
        """Every template that was scored, by whichever restart."""
        return [entry for record in self.records for entry in record.scored]

    @property
    def rejected(self) -> dict[str, int]:
        """How many lines and templates were refused, by reason."""
        total: Counter[str] = Counter()
        for record in self.records:
            total.update(record.rejected)
        return dict(sorted(total.items()))

    @property
    def notes(self) -> dict[str, str]:
        """Notes for the result on empty answers and on restarts that stopped early, by their short names."""
        found = {}
        records, of = self.records, counted(len(self.records), "restart")
        if reasons := Counter(record.ended for record in records if record.ended):
            ended = (f"{count:,} of {of} ended early: {reason}" for reason, count in reasons.items())
            found[ENDED_EARLY] = "; ".join(ended)
        answers, empty, cut = (
            sum(getattr(one, name) for one in records) for name in ("answers", "empty", "cut")
        )
        if empty:
            said = f"no template could be read in {empty:,} of {counted(answers, 'answer')}"
            found[EMPTY] = f"{said}; {cut:,} of them were cut: raise --answer-tokens" if cut else said
        answered = answers or any(record.unusable for record in records)
        if answered and not any(record.proposed for record in records):
            found[NOTHING_USABLE] = "the LLM proposed no new template that could be scored"
        return found
