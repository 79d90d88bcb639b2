"""One restart: a sample of initial templates, then conversations that each try to better what is known.

A restart is a *restart*: it has a memory of its own, and nothing flows between restarts, so that the result
does
not depend on which of them is faster. Within it, a *conversation* opens a new conversation from the ranking
as it
stands, and an *round* is the next turn of that conversation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ...evaluator.errors import UsageError
from ...evaluator.scoring import EvaluatorInfo
from ...prompts.kinds import Candidate, kind_named
from ...prompts.requests import Message, Outcome
from ...prompts.starting import draw
from ...prompts.wording import Wordings
from ..config.llm_name import style_of
from ..config.schema import SearchConfig, most_free
from ..events import (
    AnswerEmpty,
    AnswerReceived,
    Listener,
    Noted,
    RestartFinished,
    RoundFinished,
    RoundSkipped,
    StartingTemplatesDrawn,
    StartingTemplatesScored,
)
from ..llm.types import ChatAnswer, ChatRequest
from ..methods.base import Ask, Consult, Feedback, Propose, Script, View
from ..methods.memory import Memory
from ..methods.registry import METHODS
from ..position import INITIAL, Position, derived, rng_for
from .endings import Endings
from .record import RestartRecord
from .trials import Scores, Trials


class Skipped(Exception):  # noqa: N818 - not an error: the restart goes on
    """A request gets no answer, and its round is skipped.

    Attributes:
        reason: Why, in words.
        useless: Whether an answer did come, and could not be used.
    """

    def __init__(self, reason: str, *, useless: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.useless = useless


class Answers(Protocol):
    """Where a restart's answers come from: from disk, or from the LLM and then from disk."""

    async def answer(self, position: Position, request: ChatRequest) -> tuple[ChatAnswer, bool]:
        """Return the answer that belongs at a position, and whether it was on disk.

        Raises:
            Skipped: There is none, and will be none.
            PromptclimbError: A budget, an outage, a signal or a failure.
        """
        ...

    def heard(self, *, empty: bool, cut: bool) -> None:
        """Take what came of an answer that was not on disk: whether it held no template, and was cut."""
        ...

    @property
    def unanswered(self) -> int:
        """Rounds skipped since the last answer."""
        ...


class Restart:
    """Run one restart; see the module's text.

    Args:
        number: Its number, from 1.
        config: The search's config.
        pool: What initial templates are drawn from.
        info: What is scored on: its class names are told unless the config says ``blind``.
        wordings: How the LLM is addressed.
        answers: Gets the LLM's answers.
        scores: Scores templates.
        check: Called before templates that no LLM proposed are scored anew; raises where the search is to
            stop.
        emit: Hears of events.

    Attributes:
        record: What it has done so far.
    """

    def __init__(
        self,
        number: int,
        config: SearchConfig,
        *,
        pool: Sequence[Candidate],
        info: EvaluatorInfo,
        wordings: Wordings,
        answers: Answers,
        scores: Scores,
        check: Callable[[], None],
        emit: Listener,
    ) -> None:
        self.record = RestartRecord(number)
        self._config = config
        self._memory = Memory(derived(config.seed, "ties", number))
        self._pool = pool
        self._info = info
        self._wordings = wordings
        self._method = METHODS[config.method]
        self._kind = kind_named(config.prompts)
        self._state: dict[str, Any] = {}
        self._answers = answers
        self._trials = Trials(self._memory, self.record, scores, config, emit)
        self._endings = Endings(self.record, config, info.sizes)
        self._check = check
        self._emit = emit

    async def run(self) -> None:
        """Go through all rounds; what is done stands in ``record``, whatever ends it.

        Raises:
            PromptclimbError: A budget, an outage, a signal or a failure ended the restart early.
        """
        await self._score_pool()
        for conversation in range(1, self._config.conversations + 1):
            if reason := self._endings.of_restart:
                self._end_early(reason)
                break
            await self._conversation(conversation)
        self.record.unanswered = self._answers.unanswered
        self.record.done = True
        best, position = self._memory.best(1)[0], Position(self.record.number)
        self._emit(RestartFinished(position=position, best=best.text, train=best.score.train))

    @property
    def begun(self) -> bool:
        """Whether an earlier session, or another restart, has scored all its initial templates."""
        return self._trials.has_scores_of(self._sample())

    def _sample(self) -> Sequence[Candidate]:
        config = self._config
        groups = self._kind.starting(config.initial_pool) if config.draws_from_grammar else [self._pool]
        number = min(config.most_initial, sum(map(len, groups)))
        return draw(groups, number, rng_for(config.seed, "initial", self.record.number))

    async def _score_pool(self) -> None:
        position, sample = Position(self.record.number), self._sample()
        self._emit(StartingTemplatesDrawn(position=position, templates=len(sample)))
        await self._trials.score(sample, position, INITIAL)
        if not len(self._memory):
            raise UsageError(
                f"none of the {len(sample)} initial templates can be scored by this model "
                f"({', '.join(self.record.rejected) or 'no reason given'}); give others with --initial"
            )
        self._endings.look()
        best = self._memory.best(1)[0]
        self._emit(
            StartingTemplatesScored(
                position=position, templates=len(self._memory), best=best.text, train=best.score.train
            )
        )

    async def _conversation(self, conversation: int) -> None:
        """Run one conversation: the method says what is done next, and hears what came of it."""
        place = Position(self.record.number, conversation)
        steps = self._method.conversation(self._view(lambda: place))
        script = Script(steps, most_requests=self._method.requests)
        self._endings.begin_conversation()
        for number in range(1, self._config.rounds + 1):
            place = Position(self.record.number, conversation, number)
            try:
                if not await self._iterate(script, place):
                    return
            except Skipped as skip:
                self.record.skipped += 1
                self.record.useless += skip.useless
                self.record.last_skip = skip.reason
                script.skip()
                self._emit(RoundSkipped(position=place, reason=skip.reason))
            else:
                best = self._memory.best(1)[0]
                self._emit(RoundFinished(position=place, best=best.text, train=best.score.train))
                self._endings.look()
                if reason := self._endings.of_restart:
                    if number < self._config.rounds:
                        self._end_early(reason)
                    return
                if reason := self._endings.of_conversation:
                    self._emit(
                        Noted(
                            text=f"restart {place.restart}, conversation {conversation} ends here: {reason}"
                        )
                    )
                    return

    def _end_early(self, reason: str) -> None:
        if not self.record.ended:
            self.record.ended = reason
            self._emit(Noted(text=f"restart {self.record.number} ends early: {reason}"))

    async def _iterate(self, script: Script, place: Position) -> bool:
        """Do the steps of one round; False where the method has ended its conversation."""
        sample = 0
        while isinstance(step := script.next(sample), Consult) or (isinstance(step, Propose) and step.free):
            if isinstance(step, Propose):
                script.take(Feedback(outcomes=await self._try(step, place)))
                continue
            thought, _ = await self._ask(step.messages, place._replace(sample=sample))
            script.take(Feedback(text=thought.text))
            sample += 1
        if step is None:
            return False
        self._endings.leave_aside()
        before = self._memory.best(1)[0].value
        text, outcomes = "", list[Outcome]()
        if isinstance(step, Ask):
            answer, replayed = await self._ask(step.messages, place._replace(sample=sample))
            text, reply = answer.text, self._trials.read(answer.text)
            self._note(answer, place, empty=not reply.candidates, replayed=replayed)
            outcomes = await self._trials.judge(reply, place)
            self.record.proposed += sum(one.score is not None for one in outcomes)
        else:
            outcomes = await self._try(step, place)
        script.take(Feedback(text=text, outcomes=outcomes, best_before=before))
        return True

    async def _try(self, step: Propose, place: Position) -> list[Outcome]:
        if not self._trials.has_scores_of(step.candidates):
            self._check()
        return await self._trials.score(step.candidates, place, step.source or self._config.method)

    def _note(self, answer: ChatAnswer, place: Position, *, empty: bool, replayed: bool) -> None:
        cut = empty and answer.finish_reason == "length"
        self.record.empty += empty
        self.record.cut += cut
        if empty:
            self._emit(AnswerEmpty(position=place, cut=cut))
        if not replayed:
            self._answers.heard(empty=empty, cut=cut)

    async def _ask(self, messages: Sequence[Message], position: Position) -> tuple[ChatAnswer, bool]:
        config = self._config
        # The first request of an round has the seed that it had when there was but one.
        place = position if position.sample else position[:3]
        request = ChatRequest(
            messages=tuple(messages),
            model=config.placeless_llm or "",
            temperature=config.temperature,
            max_tokens=config.answer_tokens,
            seed=derived(config.seed, *place),
            reasoning_effort=config.reasoning_effort,
            extra_body=config.extra_body,
        )
        now = asyncio.get_running_loop().time
        asked = now()
        answer, replayed = await self._answers.answer(position, request)
        self.record.answers += 1
        self.record.replayed += replayed
        self.record.exchanges[position] = (request.messages, answer.text)
        self._emit(
            AnswerReceived(
                position=position,
                replayed=replayed,
                prompt_tokens=answer.prompt_tokens,
                completion_tokens=answer.completion_tokens,
                seconds=0.0 if replayed else round(now() - asked, 3),
                model=answer.model,
                finish_reason=answer.finish_reason,
            )
        )
        return answer, replayed

    def _view(self, place: Callable[[], Position]) -> View:
        config = self._config
        return View(
            memory=self._memory,
            pool=self._pool,
            proposals=config.proposals,
            top_k=config.top_k,
            max_words=config.max_words,
            max_turns=config.max_turns,
            rng=lambda: rng_for(config.seed, *place()[:3]),
            kind=self._kind,
            description=config.description if self._method.uses_description else "",
            class_names=self._info.class_names if self._method.uses_class_names and not config.blind else (),
            style=config.style or style_of(config.llm),
            wordings=self._wordings,
            state=self._state,
            objective=config.objective,
            free=most_free(self._info),
        )
