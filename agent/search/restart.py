"""One restart: sample starting templates, then hold conversations that each try to improve on them.

Nothing flows between restarts, so the result does not depend on which of them is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.errors import UsageError
from ...evaluator.scoring import NOT_A_NUMBER, REFUSED, EvaluatorInfo, Rejection, Score, Verdict
from ...prompts.kinds import Candidate, Proposals, kind_named
from ...prompts.requests import Outcome
from ...prompts.starting import draw
from ..config.schema import most_free
from ..errors import BudgetSpentError, EvaluationFailedError, GaveUpError, asking_errors_as_causes
from ..events.types import (
    AnswerEmpty,
    BestEvent,
    Noted,
    RestartFinished,
    RoundFinished,
    RoundSkipped,
    StartingTemplatesDrawn,
    StartingTemplatesScored,
    TemplateRefused,
    TemplateScored,
)
from ..methods.base import MAX_TURNS, TOP_K, Ask, Consult, Feedback, Propose, Script, View
from ..methods.memory import Entry, Memory
from ..methods.registry import METHODS
from ..position import INITIAL, LLM, Position, derived, rng_for
from .journal import MOST_REPEATS, MOST_SHOWN_OF_A_LINE, Journal, Skipped
from .racing import Dropped, Out, Racer
from .scorebook import Scorebook

REPEATS = frozenset({"known", "duplicate"})
"""Reasons for refusing a proposal that is not new."""


@dataclass(eq=False)
class Restart:
    """Run one restart.

    ``check`` is called before templates that no LLM proposed are scored anew; it raises if the search is to
    stop. The LLM gets the class names in ``info`` unless the config says ``blind``.
    """

    journal: Journal
    _: KW_ONLY
    pool: Sequence[Candidate]
    info: EvaluatorInfo
    scorebook: Scorebook
    racer: Racer | None = None
    check: Callable[[], None]

    def __post_init__(self) -> None:
        self.record, self.config, self.emit = self.journal.record, self.journal.config, self.journal.emit
        self._memory = Memory(derived(self.config.seed, "ties", self.record.number))
        self._method = METHODS[self.config.method]
        self._kind = self.config.kind
        self._state: dict[str, Any] = {}
        self._repeats = 0

    async def run(self) -> None:
        """Go through all rounds; ``record`` has what was done, whatever ends it."""
        await self._score_starting()
        for conversation in range(1, self.config.conversations + 1):
            await self._conversation(conversation)
        self.record.done = True
        self._emit_best(RestartFinished, Position(self.record.number))

    @property
    def begun(self) -> bool:
        """Whether an earlier session, or another restart, has scored all its starting templates."""
        return self._all_scored(self._sample(), Position(self.record.number))

    def _sample(self) -> Sequence[Candidate]:
        config, restart = self.config, self.record.number
        if config.draws_from_many:
            kind, pool = config.search_for, config.pool_name
            return _drawn_from(kind, pool, config.most_initial, config.seed, restart)
        return _drawn([[self.pool]], config.most_initial, config.seed, restart)

    async def _score_starting(self) -> None:
        position, sample = Position(self.record.number), self._sample()
        self.emit(StartingTemplatesDrawn(position=position, templates=len(sample)))
        await self._score(sample, position, INITIAL)
        noun = self._kind.words.noun
        if not len(self._memory) and set(self.record.rejected) == {NOT_A_NUMBER}:
            raise EvaluationFailedError(
                f"the scorer failed: it answered nan or infinity for all {len(sample)} starting {noun}s; "
                "make it return a finite number for each"
            )
        if not len(self._memory) and set(self.record.rejected) == {REFUSED}:
            # By a scorer behind an API, whose own words say why.
            verdicts = self.scorebook.known([candidate.scored_as for candidate in sample]).values()
            why = next(verdict.message for verdict in verdicts if isinstance(verdict, Rejection))
            raise UsageError(f"none of the {len(sample)} starting {noun}s can be scored: {why}")
        if not len(self._memory):
            raise UsageError(
                f"none of the {len(sample)} starting {noun}s can be scored by this model "
                f"({', '.join(self.record.rejected) or 'no reason given'}); give others with "
                "`initial`",
            )
        self._emit_best(StartingTemplatesScored, position, templates=len(self._memory))

    def _emit_best(self, event: type[BestEvent], position: Position, **fields: int) -> None:
        best = self._memory.best(1)[0]
        train, objective = best.score.train, self._objective(best)
        self.emit(event(position=position, best=best.text, train=train, objective=objective, **fields))

    def _objective(self, entry: Entry) -> float | None:
        """Return what an entry is ordered by; None if that is its accuracy, which events have anyway."""
        return None if self.config.objective == "accuracy" else entry.value

    async def _conversation(self, conversation: int) -> None:
        position = Position(self.record.number, conversation)
        # The view reads ``position`` when the method draws: by then it is that of the current round.
        steps = self._method.conversation(self._view(lambda: position))
        script = Script(steps, most_requests=self._method.requests)
        self._repeats = 0
        for number in range(1, self.config.rounds + 1):
            position = Position(self.record.number, conversation, number)
            try:
                if not await self._round(script, position):
                    return
            except Skipped as skip:
                script.skip()
                self.emit(RoundSkipped(position=position, reason=skip.reason))
            else:
                self._emit_best(RoundFinished, position)
                if self._repeats >= MOST_REPEATS:
                    where = f"restart {self.record.number}, conversation {conversation}"
                    answers = counted(MOST_REPEATS, "answer")
                    self.emit(Noted(text=f"{where} ends here: {answers} in a row held nothing new"))
                    return

    async def _round(self, script: Script, position: Position) -> bool:
        """Do the steps of one round; return False if the method has ended its conversation."""
        request_number = 0
        while isinstance(step := script.next(request_number), Consult) or (
            isinstance(step, Propose) and step.free
        ):
            if isinstance(step, Propose):
                script.take(Feedback(outcomes=await self._score_own(step, position)))
                continue
            thought, _ = await self.journal.ask(step.messages, position._replace(sample=request_number))
            script.take(Feedback(text=thought.text))
            request_number += 1
        if step is None:
            return False
        before = self._memory.best(1)[0].value
        scored, rejected = len(self.record.scored), self.record.rejected.copy()
        text, outcomes = "", list[Outcome]()
        if isinstance(step, Ask):
            answer, replayed = await self.journal.ask(step.messages, position._replace(sample=request_number))
            text, proposals = answer.text, self._kind.read(answer.text)
            empty = not proposals.candidates
            cut = empty and answer.finish_reason == "length"
            self.record.empty += empty
            self.record.cut += cut
            if empty:
                self.emit(AnswerEmpty(position=position, cut=cut))
            if not replayed:
                self.journal.empty_answers.count(empty=empty, cut=cut)
            try:
                outcomes = await self._score_proposals(proposals, position)
            except (BudgetSpentError, GaveUpError):
                self.record.proposed += 1  # what ends the scoring is no fault of the LLM's
                raise
            self.record.proposed += sum(outcome.score is not None for outcome in outcomes)
        else:
            outcomes = await self._score_own(step, position)
        script.take(Feedback(text=text, outcomes=outcomes, best_before=before))
        refused = self.record.rejected - rejected
        is_repeat = bool(refused) and len(self.record.scored) == scored and REPEATS.issuperset(refused)
        self._repeats = self._repeats + 1 if is_repeat else 0
        return True

    async def _score_own(self, step: Propose, position: Position) -> list[Outcome]:
        """Score candidates that the method made itself."""
        if not self._all_scored(step.candidates, position):
            self.check()
        return await self._score(step.candidates, position, step.source or self.config.method)

    def _view(self, position: Callable[[], Position]) -> View:
        config = self.config
        return View(
            memory=self._memory,
            pool=self.pool,
            proposals=config.proposals,
            top_k=TOP_K,
            max_turns=MAX_TURNS,
            rng=lambda: rng_for(config.seed, *position()[:3]),
            kind=self._kind,
            description=config.description if self._method.uses_description else "",
            class_names=self.info.class_names if self._method.uses_class_names and not config.blind else (),
            style=config.request_style,
            state=self._state,
            objective=config.objective,
            free=most_free(self.info),
        )

    async def _score_proposals(self, proposals: Proposals, position: Position) -> list[Outcome]:
        """Score the proposals of an answer that are new, and refuse the others."""
        refused: list[Outcome] = []
        fresh: list[Candidate] = []
        for candidate in proposals.candidates:
            if candidate.key in self._memory:
                refused.append(self._refuse(candidate.text, "known", "it was tried before", position))
            elif len(fresh) == self.config.proposals:
                message = "it is more than asked for"
                refused.append(self._refuse(candidate.text, "too_many_proposals", message, position))
            else:
                fresh.append(candidate)
        refused += [
            self._refuse(line.line, line.reason, line.message, position) for line in proposals.refused
        ]
        return [*await self._score(fresh, position, LLM), *refused[: 2 * self.config.proposals]]

    def _all_scored(self, candidates: Sequence[Candidate], position: Position) -> bool:
        texts = [candidate.scored_as for candidate in candidates]
        if self.racer is not None and texts:
            out = self.racer.known(texts, self._incumbent, position)
            if out is None:
                return False
            texts = [text for text in texts if text not in out]
        return self.scorebook.known(texts).keys() >= set(texts)

    @property
    def _incumbent(self) -> str | None:
        best = self._memory.best(1)
        return best[0].scored_as if best else None

    async def _score(self, candidates: Sequence[Candidate], position: Position, source: str) -> list[Outcome]:
        """Score candidates, after a race those still in it, and return what became of each."""
        texts = [candidate.scored_as for candidate in candidates]
        out: Mapping[str, Out] = {}
        if self.racer is not None and texts:
            with asking_errors_as_causes():  # a limit of the scorer is none of the LLM's
                out = await self.racer.out(texts, self._incumbent, position)
        finalists = [text for text in texts if text not in out]
        try:
            scored = await self.scorebook.score_all(finalists)
            if self._incumbent is None and not any(isinstance(each, Score) for each in scored.values()):
                # There must be a best one to improve on.
                dropped = [text for text, outcome in out.items() if isinstance(outcome, Dropped)]
                scored |= await self.scorebook.score_all(dropped)
        except (BudgetSpentError, GaveUpError):
            # What could be scored still counts.
            known = self.scorebook.known(finalists)
            self._add_all(candidates, {**out, **known}, position, source)
            raise
        return self._add_all(candidates, {**out, **scored}, position, source)

    def _add_all(
        self,
        candidates: Sequence[Candidate],
        verdicts: Mapping[str, Verdict | Dropped],
        position: Position,
        source: str,
    ) -> list[Outcome]:
        """Rank what was scored, refuse what cannot be, and leave out finalists without a score."""
        objective = self.config.objective
        best_before = self._memory.best(1)
        # Starting candidates, and the first ones known, have nothing to improve on.
        best = best_before[0].value if best_before and source != INITIAL else float("inf")
        scores = [entry.score for entry in best_before]
        scores += [verdict for verdict in verdicts.values() if isinstance(verdict, Score)]
        leading = max(scores, key=lambda score: score.value(objective), default=None)
        outcomes = []
        for candidate in candidates:
            verdict = verdicts.get(candidate.scored_as)
            if isinstance(verdict, Rejection):
                outcomes.append(self._refuse(candidate.text, verdict.reason, verdict.message, position))
                continue
            # One without a verdict is left over where the scorer stopped before its turn.
            if verdict is None or leading is None:
                continue
            if isinstance(verdict, Dropped):  # its estimate is below the leading one
                score, value = verdict.score(leading), verdict.estimate(leading.value(objective))
            else:
                score, value = verdict, verdict.value(objective)
            entry = Entry(candidate=candidate, score=score, value=value, position=position, source=source)
            outcomes.append(self._add(entry, improved=score.whole and value > best))
            if score.whole:
                best = max(best, value)
        return outcomes

    def _add(self, entry: Entry, *, improved: bool) -> Outcome:
        self._memory.add(entry)
        self.record.scored.append(entry)
        self.emit(
            TemplateScored(
                position=entry.position,
                template=entry.text,
                train=entry.score.train,
                val=entry.score.val,
                improved=improved,
                source=entry.source,
                images=entry.score.images,
                estimate=entry.score.estimate,
                objective=self._objective(entry),
            )
        )
        return Outcome(entry.text, score=entry.value, pictures=entry.score.images)

    def _refuse(self, line: str, reason: str, message: str, position: Position) -> Outcome:
        self.record.rejected[reason] += 1
        self.emit(TemplateRefused(position=position, line=line[:MOST_SHOWN_OF_A_LINE], reason=reason))
        return Outcome(line, reason=message)


@lru_cache(maxsize=100)
def _drawn_from(kind: str, pool: str, most: int, seed: int, restart: int) -> Sequence[Candidate]:
    """Draw starting candidates of a large pool; methods that are compared begin with the same ones."""
    return _drawn(kind_named(kind).starting(pool), most, seed, restart)


def _drawn(
    tiers: Sequence[Sequence[Sequence[Candidate]]], most: int, seed: int, restart: int
) -> Sequence[Candidate]:
    rng = rng_for(seed, "initial", restart)
    drawn: list[Candidate] = []
    for groups in tiers:
        if number := min(most - len(drawn), sum(map(len, groups))):
            drawn += draw(groups, number, rng)
    return tuple(drawn)
