"""One restart: sample starting templates, then hold conversations that each try to improve on them.

Nothing flows between restarts, so the result does not depend on which of them is faster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.errors import UsageError
from ...evaluator.scoring import NOT_A_NUMBER, EvaluatorInfo, Rejection, Score, Verdict
from ...prompts.kinds import Candidate, Proposals, kind_named
from ...prompts.requests import Outcome
from ...prompts.starting import draw
from ...prompts.wording import Wordings
from ..config.schema import SearchConfig, most_free
from ..errors import BudgetSpentError, EvaluationFailedError, GaveUpError
from ..events.types import (
    AnswerEmpty,
    Listener,
    Noted,
    RestartFinished,
    RoundFinished,
    RoundSkipped,
    StartingTemplatesDrawn,
    StartingTemplatesScored,
    TemplateRefused,
    TemplateScored,
)
from ..llm.chat import ChatAnswer
from ..methods.base import Ask, Consult, Feedback, Propose, Script, View
from ..methods.memory import Entry, Memory
from ..methods.registry import METHODS
from ..position import INITIAL, LLM, Position, derived, rng_for
from .choice import pooled
from .journal import MOST_REPEATS, MOST_SHOWN_OF_A_LINE, Journal, RestartRecord, Skipped
from .racing import Dropped, Finalist, Raced, Racer
from .scorebook import Scorebook

REPEATS = frozenset({"known", "duplicate"})
"""Reasons for refusing a proposal that is not new."""


class EarlyStopping:
    """Decide when a conversation or a restart ends early; ``sizes`` are the images in train and val."""

    def __init__(self, record: RestartRecord, config: SearchConfig, sizes: Mapping[str, int]) -> None:
        self._record = record
        self._config = config
        self._sizes = sizes
        self._words = kind_named(config.search_for).words
        self._scored = 0
        self._best = self._best_pooled = float("-inf")
        self._rounds_without_gain = -1
        self._repeats = 0
        self._before_step = 0, Counter[str]()

    def begin_conversation(self) -> None:
        """Forget the repeats of an earlier conversation."""
        self._repeats = 0

    def begin_step(self) -> None:
        """Leave out free candidates scored before a round's own step: they say nothing about the answer."""
        self._before_step = len(self._record.scored), self._record.rejected.copy()

    def end_round(self) -> None:
        """Take in the outcome of a round, or of the starting templates."""
        record = self._record
        scored, (free, refused_free) = record.scored[self._scored :], self._before_step
        self._scored = len(record.scored)
        best = max((entry.value for entry in scored), default=self._best)
        self._rounds_without_gain = 0 if best > self._best else self._rounds_without_gain + 1
        self._best = max(self._best, best)
        whole = [pooled(entry.score, self._sizes) for entry in scored if entry.score.whole]
        self._best_pooled = max([self._best_pooled, *whole])
        refused = record.rejected - refused_free
        nothing_new = bool(refused) and len(record.scored) == free and REPEATS.issuperset(refused)
        self._repeats = self._repeats + 1 if nothing_new else 0
        self.begin_step()

    @property
    def ends_conversation(self) -> str | None:
        """Why the conversation is over; None if it continues."""
        if self._repeats < MOST_REPEATS:
            return None
        return f"{counted(MOST_REPEATS, 'answer')} in a row held nothing new"

    @property
    def ends_restart(self) -> str | None:
        """Why the restart is over; None if it continues."""
        until, patience = self._config.until, self._config.patience
        if until is not None and self._best_pooled >= until:
            return self._words.worded(f"a template reached --until {until:g}")
        if patience is not None and self._rounds_without_gain >= patience:
            return self._words.worded(f"no better template in {counted(patience, 'round')} (--patience)")
        return None


class Restart:
    """Run one restart.

    ``check`` is called before templates that no LLM proposed are scored anew; it raises if the search is to
    stop. The LLM gets the class names in ``info`` unless the config says ``blind``.
    """

    def __init__(
        self,
        config: SearchConfig,
        *,
        pool: Sequence[Candidate],
        info: EvaluatorInfo,
        wordings: Wordings,
        journal: Journal,
        scores: Scorebook,
        racer: Racer | None = None,
        check: Callable[[], None],
        emit: Listener,
    ) -> None:
        self.record = journal.record
        self._config = config
        self._memory = Memory(derived(config.seed, "ties", self.record.number))
        self._pool = pool
        self._info = info
        self._wordings = wordings
        self._method = METHODS[config.method]
        self._kind = kind_named(config.search_for)
        self._state: dict[str, Any] = {}
        self._journal = journal
        self._scores = scores
        self._racer = racer
        self._stopping = EarlyStopping(self.record, config, info.sizes)
        self._check = check
        self._emit = emit

    async def run(self) -> None:
        """Go through all rounds; ``record`` has what was done, whatever ends it."""
        await self._score_starting()
        for conversation in range(1, self._config.conversations + 1):
            if reason := self._stopping.ends_restart:
                self._end_early(reason)
                break
            await self._conversation(conversation)
        self.record.unanswered = self._journal.unanswered
        self.record.done = True
        best, position = self._memory.best(1)[0], Position(self.record.number)
        self._emit(RestartFinished(position=position, best=best.text, train=best.score.train))

    @property
    def begun(self) -> bool:
        """Whether an earlier session, or another restart, has scored all its starting templates."""
        return self._all_scored(self._sample(), Position(self.record.number))

    def _sample(self) -> Sequence[Candidate]:
        config, restart = self._config, self.record.number
        if config.draws_from_grammar:
            return _drawn_from_grammar(config.search_for, config.most_initial, config.seed, restart)
        return _drawn([self._pool], config.most_initial, config.seed, restart)

    async def _score_starting(self) -> None:
        position, sample = Position(self.record.number), self._sample()
        self._emit(StartingTemplatesDrawn(position=position, templates=len(sample)))
        await self._score(sample, position, INITIAL)
        noun = self._kind.words.noun
        if not len(self._memory) and set(self.record.rejected) == {NOT_A_NUMBER}:
            raise EvaluationFailedError(
                f"the scorer failed: it answered nan or infinity for all {len(sample)} starting {noun}s; "
                "make it return a finite number for each"
            )
        if not len(self._memory):
            raise UsageError(
                f"none of the {len(sample)} starting {noun}s can be scored by this model "
                f"({', '.join(self.record.rejected) or 'no reason given'}); give others with --initial"
            )
        self._stopping.end_round()
        best = self._memory.best(1)[0]
        self._emit(
            StartingTemplatesScored(
                position=position, templates=len(self._memory), best=best.text, train=best.score.train
            )
        )

    async def _conversation(self, conversation: int) -> None:
        place = Position(self.record.number, conversation)
        steps = self._method.conversation(self._view(lambda: place))
        script = Script(steps, most_requests=self._method.requests)
        self._stopping.begin_conversation()
        for number in range(1, self._config.rounds + 1):
            place = Position(self.record.number, conversation, number)
            try:
                if not await self._round(script, place):
                    return
            except Skipped as skip:
                script.skip()
                self._emit(RoundSkipped(position=place, reason=skip.reason))
            else:
                best = self._memory.best(1)[0]
                self._emit(RoundFinished(position=place, best=best.text, train=best.score.train))
                self._stopping.end_round()
                if reason := self._stopping.ends_restart:
                    if number < self._config.rounds:
                        self._end_early(reason)
                    return
                if reason := self._stopping.ends_conversation:
                    where = f"restart {place.restart}, conversation {conversation}"
                    self._emit(Noted(text=f"{where} ends here: {reason}"))
                    return

    def _end_early(self, reason: str) -> None:
        if not self.record.ended:
            self.record.ended = reason
            self._emit(Noted(text=f"restart {self.record.number} ends early: {reason}"))

    async def _round(self, script: Script, place: Position) -> bool:
        """Do the steps of one round; return False if the method has ended its conversation."""
        sample = 0
        while isinstance(step := script.next(sample), Consult) or (isinstance(step, Propose) and step.free):
            if isinstance(step, Propose):
                script.take(Feedback(outcomes=await self._propose(step, place)))
                continue
            thought, _ = await self._journal.ask(step.messages, place._replace(sample=sample))
            script.take(Feedback(text=thought.text))
            sample += 1
        if step is None:
            return False
        self._stopping.begin_step()
        before = self._memory.best(1)[0].value
        text, outcomes = "", list[Outcome]()
        if isinstance(step, Ask):
            answer, replayed = await self._journal.ask(step.messages, place._replace(sample=sample))
            text, proposals = answer.text, self._kind.read(answer.text, max_words=self._config.most_words)
            self._count(answer, place, empty=not proposals.candidates, replayed=replayed)
            outcomes = await self._judge(proposals, place)
            self.record.proposed += sum(one.score is not None for one in outcomes)
        else:
            outcomes = await self._propose(step, place)
        script.take(Feedback(text=text, outcomes=outcomes, best_before=before))
        return True

    async def _propose(self, step: Propose, place: Position) -> list[Outcome]:
        """Score candidates that the method made itself."""
        if not self._all_scored(step.candidates, place):
            self._check()
        return await self._score(step.candidates, place, step.source or self._config.method)

    def _count(self, answer: ChatAnswer, place: Position, *, empty: bool, replayed: bool) -> None:
        cut = empty and answer.finish_reason == "length"
        self.record.empty += empty
        self.record.cut += cut
        if empty:
            self._emit(AnswerEmpty(position=place, cut=cut))
        if not replayed:
            self._journal.count(empty=empty, cut=cut)

    def _view(self, place: Callable[[], Position]) -> View:
        config = self._config
        return View(
            memory=self._memory,
            pool=self._pool,
            proposals=config.proposals,
            top_k=config.top_k,
            max_words=config.most_words,
            max_turns=config.max_turns,
            rng=lambda: rng_for(config.seed, *place()[:3]),
            kind=self._kind,
            description=config.description if self._method.uses_description else "",
            class_names=self._info.class_names if self._method.uses_class_names and not config.blind else (),
            style=config.request_style,
            wordings=self._wordings,
            state=self._state,
            objective=config.objective,
            free=most_free(self._info),
        )

    async def _judge(self, proposals: Proposals, position: Position) -> list[Outcome]:
        """Score the proposals of an answer that are new, and refuse the others."""
        refused: list[Outcome] = []
        fresh: list[Candidate] = []
        for candidate in proposals.candidates:
            if candidate.key in self._memory:
                refused.append(self._refuse(candidate.text, "known", "it was tried before", position))
            elif len(fresh) == self._config.proposals:
                message = "it is more than asked for"
                refused.append(self._refuse(candidate.text, "too_many_proposals", message, position))
            else:
                fresh.append(candidate)
        refused += [
            self._refuse(each.line, each.reason, each.message, position) for each in proposals.refused
        ]
        return [*await self._score(fresh, position, LLM), *refused[: 2 * self._config.proposals]]

    def _all_scored(self, candidates: Sequence[Candidate], position: Position) -> bool:
        texts = [candidate.scored_as for candidate in candidates]
        if self._racer is not None and texts:
            raced = self._racer.known(texts, self._incumbent, position)
            if raced is None:
                return False
            texts = _finalists(raced)
        return all(map(self._scores.has, texts))

    @property
    def _incumbent(self) -> str | None:
        known = self._memory.best(1)
        return known[0].scored_as if known else None

    async def _score(self, candidates: Sequence[Candidate], position: Position, source: str) -> list[Outcome]:
        """Score candidates, after a race the finalists only, and return what became of each."""
        texts = [candidate.scored_as for candidate in candidates]
        raced: Mapping[str, Raced] = dict.fromkeys(texts, Finalist())
        if self._racer is not None and texts:
            raced = await self._racer.outcomes(texts, self._incumbent, position)
        try:
            scored = await self._score_finalists(raced)
        except (BudgetSpentError, GaveUpError):
            # What could be scored still counts.
            self._take(candidates, {**raced, **self._scores.known(_finalists(raced))}, position, source)
            raise
        return self._take(candidates, {**raced, **scored}, position, source)

    async def _score_finalists(self, raced: Mapping[str, Raced]) -> dict[str, Verdict]:
        texts = _finalists(raced)
        scored = dict(zip(texts, await self._scores.score_all(texts), strict=True))
        if self._incumbent is None and not any(isinstance(one, Score) for one in scored.values()):
            # There must be a best one to improve on.
            others = [text for text, one in raced.items() if isinstance(one, Dropped)]
            scored |= zip(others, await self._scores.score_all(others), strict=True)
        return scored

    def _take(
        self,
        candidates: Sequence[Candidate],
        verdicts: Mapping[str, Verdict | Raced],
        position: Position,
        source: str,
    ) -> list[Outcome]:
        """Rank what was scored, refuse what cannot be, and leave out finalists without a score."""
        known = self._memory.best(1)
        # Starting candidates, and the first ones known, have nothing to improve on.
        best = known[0].value if known and source != INITIAL else float("inf")
        scores = [one.score for one in known]
        scores += [one for one in verdicts.values() if isinstance(one, Score)]
        leading = max(scores, key=lambda one: one.value(self._config.objective), default=None)
        outcomes = []
        for candidate in candidates:
            verdict = verdicts[candidate.scored_as]
            if isinstance(verdict, Rejection):
                outcomes.append(self._refuse(candidate.text, verdict.reason, verdict.message, position))
                continue
            if isinstance(verdict, Finalist) or leading is None:
                continue
            score, value = self._valued(verdict, leading)
            entry = Entry(candidate=candidate, score=score, value=value, position=position, source=source)
            outcomes.append(self._rank(entry, improved=score.whole and value > best))
            if score.whole:
                best = max(best, value)
        return outcomes

    def _valued(self, verdict: Score | Dropped, leading: Score) -> tuple[Score, float]:
        """Return a score and its value to rank by; estimates below the leading one, if a race dropped it."""
        objective = self._config.objective
        if isinstance(verdict, Dropped):
            return verdict.score(leading), verdict.estimate(leading.value(objective))
        return verdict, verdict.value(objective)

    def _rank(self, scored: Entry, *, improved: bool) -> Outcome:
        self._memory.add(scored)
        self.record.scored.append(scored)
        self._emit(
            TemplateScored(
                position=scored.position,
                template=scored.text,
                train=scored.score.train,
                val=scored.score.val,
                improved=improved,
                source=scored.source,
                images=scored.score.images,
                estimate=scored.score.estimate,
            )
        )
        return Outcome(scored.text, score=scored.value, pictures=scored.score.images)

    def _refuse(self, line: str, reason: str, message: str, position: Position) -> Outcome:
        self.record.rejected[reason] += 1
        self._emit(TemplateRefused(position=position, line=line[:MOST_SHOWN_OF_A_LINE], reason=reason))
        return Outcome(line, reason=message)


@lru_cache(maxsize=100)
def _drawn_from_grammar(prompts: str, most: int, seed: int, restart: int) -> Sequence[Candidate]:
    """Draw starting candidates of the grammar; methods that are compared begin with the same ones."""
    return _drawn(kind_named(prompts).starting("grammar"), most, seed, restart)


def _drawn(groups: Sequence[Sequence[Candidate]], most: int, seed: int, restart: int) -> Sequence[Candidate]:
    number = min(most, sum(map(len, groups)))
    return tuple(draw(groups, number, rng_for(seed, "initial", restart)))


def _finalists(raced: Mapping[str, Raced]) -> list[str]:
    """Return the candidates that are to be scored on all images."""
    return [text for text, one in raced.items() if isinstance(one, Finalist)]
