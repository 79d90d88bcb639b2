"""Trying templates: what an answer proposes is read, scored and ranked, or refused with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ...evaluator.scoring import Rejection, Verdict
from ...prompts.replies import Reply, parse_reply
from ...prompts.requests import Outcome
from ...prompts.template import Template
from ..config.schema import SearchConfig
from ..events import Listener, TemplateRefused, TemplateScored
from ..position import INITIAL, LLM, Position
from .memory import Memory
from .record import RestartRecord
from .scored import Scored

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
    """One restart's way from templates to its memory.

    Args:
        memory: Where scored templates are ranked.
        record: What is done is written down there.
        scores: Scores templates.
        config: Says how many proposals are tried, and what is maximised.
        emit: Hears of each template.
    """

    def __init__(
        self, memory: Memory, record: RestartRecord, scores: Scores, config: SearchConfig, emit: Listener
    ) -> None:
        self._memory = memory
        self._record = record
        self._scores = scores
        self._objective = config.objective
        self._proposals = config.proposals
        self._max_words = config.max_words
        self._emit = emit

    def read(self, text: str) -> Reply:
        """Return what an answer holds."""
        return parse_reply(text, max_words=self._max_words)

    async def judge(self, reply: Reply, position: Position) -> list[Outcome]:
        """Return what became of each proposal in an answer; no more are tried than were asked for."""
        refused: list[Outcome] = []
        fresh: list[Template] = []
        for template in reply.templates:
            if template.key in self._memory:
                refused.append(self._refuse(template.text, "known", "it was tried before", position))
            elif len(fresh) == self._proposals:
                message = "it is more than asked for"
                refused.append(self._refuse(template.text, "too_many_proposals", message, position))
            else:
                fresh.append(template)
        refused += [self._refuse(each.line, each.reason, each.message, position) for each in reply.refused]
        return [*await self.score(fresh, position, LLM), *refused[: 2 * self._proposals]]

    def has_scores_of(self, templates: Sequence[Template]) -> bool:
        """Return whether all are on disk, so that nothing new is to be done for them."""
        return all(self._scores.has(template.text) for template in templates)

    async def score(self, templates: Sequence[Template], position: Position, source: str) -> list[Outcome]:
        """Score templates, rank those that have a score, and return what became of each.

        Args:
            templates: In the order in which they are told.
            position: Where they came up.
            source: Who made them, see ``Scored``.
        """
        known = self._memory.best(1)
        # Where nothing was known before, and among initial templates, there is nothing to be better than.
        best = known[0].value if known and source != INITIAL else float("inf")
        verdicts = await self._scores.score_all([template.text for template in templates])
        outcomes = []
        for template, verdict in zip(templates, verdicts, strict=True):
            if isinstance(verdict, Rejection):
                outcomes.append(self._refuse(template.text, verdict.reason, verdict.message, position))
            else:
                scored = Scored(
                    template=template,
                    score=verdict,
                    value=verdict.value(self._objective),
                    position=position,
                    source=source,
                )
                outcomes.append(self._rank(scored, improved=scored.value > best))
                best = max(best, scored.value)
        return outcomes

    def _rank(self, scored: Scored, *, improved: bool) -> Outcome:
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
