"""Trying candidates: proposals are read from an answer, scored and ranked, or refused with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ...evaluator.scoring import Rejection, Verdict
from ...prompts.kinds import Candidate, Proposals, kind_named
from ...prompts.requests import Outcome
from ..config.schema import SearchConfig
from ..events import Listener, TemplateRefused, TemplateScored
from ..methods.memory import Entry, Memory
from ..position import INITIAL, LLM, Position
from .record import RestartRecord

MOST_SHOWN_OF_A_LINE = 200


class Scores(Protocol):
    """Where a restart's scores come from: from disk, or from the evaluator and then from disk."""

    def has(self, template: str) -> bool:
        """Return whether a score is on disk."""
        ...

    async def score_all(self, templates: Sequence[str]) -> list[Verdict]:
        """Return what is known of each template, in their order.

        Raises:
            PromptclimbError: The evaluator is broken.
        """
        ...


class Trials:
    """Try candidates for one restart.

    Args:
        memory: Ranks what was scored.
        record: Counts what is done.
        scores: Scores templates.
        config: Has the prompt kind, the number of proposals to try, and the objective.
        emit: Gets an event for each candidate.
    """

    def __init__(
        self, memory: Memory, record: RestartRecord, scores: Scores, config: SearchConfig, emit: Listener
    ) -> None:
        self._memory = memory
        self._record = record
        self._scores = scores
        self._kind = kind_named(config.prompts)
        self._objective = config.objective
        self._proposals = config.proposals
        self._max_words = config.max_words
        self._emit = emit

    def read(self, text: str) -> Proposals:
        """Return the proposals of an answer."""
        return self._kind.read(text, max_words=self._max_words)

    async def judge(self, reply: Proposals, position: Position) -> list[Outcome]:
        """Return what became of each proposal in an answer; no more are tried than were asked for."""
        refused: list[Outcome] = []
        fresh: list[Candidate] = []
        for candidate in reply.candidates:
            if candidate.key in self._memory:
                refused.append(self._refuse(candidate.text, "known", "it was tried before", position))
            elif len(fresh) == self._proposals:
                message = "it is more than asked for"
                refused.append(self._refuse(candidate.text, "too_many_proposals", message, position))
            else:
                fresh.append(candidate)
        refused += [self._refuse(each.line, each.reason, each.message, position) for each in reply.refused]
        return [*await self.score(fresh, position, LLM), *refused[: 2 * self._proposals]]

    def has_scores_of(self, candidates: Sequence[Candidate]) -> bool:
        """Return whether all are on disk, so that nothing new is to be done for them."""
        return all(self._scores.has(candidate.scored_as) for candidate in candidates)

    async def score(self, candidates: Sequence[Candidate], position: Position, source: str) -> list[Outcome]:
        """Score candidates, rank those that have a score, and return what became of each.

        Args:
            candidates: In the order of the outcomes.
            position: Where they came up.
            source: Who made them, see ``Entry``.
        """
        known = self._memory.best(1)
        # Where nothing was known before, and among starting candidates, there is nothing to be better than.
        best = known[0].value if known and source != INITIAL else float("inf")
        verdicts = await self._scores.score_all([candidate.scored_as for candidate in candidates])
        outcomes = []
        for candidate, verdict in zip(candidates, verdicts, strict=True):
            if isinstance(verdict, Rejection):
                outcomes.append(self._refuse(candidate.text, verdict.reason, verdict.message, position))
            else:
                scored = Entry(
                    candidate=candidate,
                    score=verdict,
                    value=verdict.value(self._objective),
                    position=position,
                    source=source,
                )
                outcomes.append(self._rank(scored, improved=scored.value > best))
                best = max(best, scored.value)
        return outcomes

    def _rank(self, scored: Entry, *, improved: bool) -> Outcome:
        self._memory.add(scored)
        self._record.scored.append(scored)
        self._emit(
            TemplateScored(
                position=scored.position,
                template=scored.text,
                train=scored.score.train,
                val=scored.score.val,
                improved=improved,
                source=scored.source,
            )
        )
        return Outcome(scored.text, score=scored.value)

    def _refuse(self, line: str, reason: str, message: str, position: Position) -> Outcome:
        self._record.rejected[reason] += 1
        self._emit(TemplateRefused(position=position, line=line[:MOST_SHOWN_OF_A_LINE], reason=reason))
        return Outcome(line, reason=message)
