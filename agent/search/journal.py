"""A restart's journal: its record, and its access to the LLM. Answers are on disk before they are used.

What is on disk already is used again, so a resumed run asks nothing twice; ``scorebook`` does so for scores.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from ...evaluator.failures import RULES, Evidence, FailureKind, NextStep, judge
from ...prompts.requests import ChatMessage
from ..config.schema import SearchConfig
from ..errors import (
    GaveUpError,
    RequestFailedError,
    StoreMismatchError,
)
from ..events.types import AnswerReceived, Listener, SearchStopped
from ..llm.ask import EndpointAsker
from ..llm.chat import ChatAnswer, ChatRequest
from ..methods.memory import Entry
from ..position import Position, derived
from ..results.result import NameSource, ReadNames
from ..stop import Stop
from ..store.run import Store
from .event_loop import FairScheduler

MOST_REPEATS = 2
"""Answers in a row without a new template that end a conversation: a new one does better."""
MOST_SHOWN_OF_A_LINE = 200
"""Characters of a refused line in an event."""


@dataclass(slots=True)
class RestartRecord:
    """The record of one restart; grows while it runs, so a stopped search has it too.

    Attributes:
        rejected: Refused lines and templates, by reason.
        skipped: Rounds without an answer.
        unusable: Skipped rounds for which an answer came that could not be used.
        proposed: Templates of the LLM's that were new and could be scored, or that a limit left unscored.
        empty: Answers in which no template could be read.
        cut: Empty answers that were cut at the token limit.
        replayed: Answers that were on disk already.
        unanswered: Its last rounds, if they got no answer: a resumed run asks for them again.
        last_skip: Why the last skipped round got no answer.
        done: It went through all its rounds.
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
    done: bool = False


class NamedTemplate(NamedTuple):
    """A template and the new names by label with which it is better than the best template without any.

    ``read``: they started from the LLM's reading of all classes, not from names chosen one by one.
    """

    template: str
    renaming: Mapping[int, str]
    read: bool = False


@dataclass(slots=True)
class NamesRecord(RestartRecord):
    """The record of the search for class names.

    Attributes:
        named_template: The template with the names accepted so far; None if there are none.
        read: What the LLM said that the classes are, before the rounds; None if it was not asked.
        sources: Where each name that was tried comes from, by label and name.
    """

    named_template: NamedTemplate | None = None
    read: ReadNames | None = None
    sources: dict[tuple[int, str], NameSource] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOutcome:
    """What all restarts did, and the search for class names, if there was one; and how the search ended.

    Attributes:
        stopped: None if all were completed.
        budget: What is left of each limit, by its name in a result.
        asked_llm: An LLM was asked, in this session or an earlier one.
    """

    records: Sequence[RestartRecord]
    names: NamesRecord | None = None
    stopped: SearchStopped | None = None
    budget: Mapping[str, float] = field(default_factory=dict)
    asked_llm: bool = False

    @property
    def all_records(self) -> Sequence[RestartRecord]:
        return self.records if self.names is None else (*self.records, self.names)

    @property
    def scored(self) -> list[Entry]:
        return [entry for record in self.records for entry in record.scored]

    @property
    def rejected(self) -> dict[str, int]:
        total: Counter[str] = Counter()
        for record in self.all_records:
            total.update(record.rejected)
        return dict(sorted(total.items()))


class Skipped(Exception):  # noqa: N818 - not an error: the restart goes on
    """A request gets no answer, and its round is skipped; ``unusable`` if an unusable answer came."""

    def __init__(self, reason: str, *, unusable: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unusable = unusable


class EmptyAnswers:
    """Count new answers in a row without a template, over all restarts, to stop paying for nothing.

    ``has_answers``: the run has answers of an earlier session; ``noun`` is a candidate's name.
    """

    def __init__(self, *, has_answers: bool = False, noun: str = "template") -> None:
        self._has_answers = has_answers
        self._noun = noun
        self._in_a_row = self._cut = 0
        self._last = ""

    def count(self, *, empty: bool, cut: bool, unusable: str = "") -> None:
        """Count a new answer: whether it held no template, was cut at the token limit, why it is unusable."""
        self._in_a_row = self._in_a_row + 1 if empty else 0
        self._cut = self._cut + cut if empty else 0
        self._last = unusable or self._last
        self._has_answers = self._has_answers or not unusable

    def check(self) -> None:
        """Raise GaveUpError if too many answers in a row held no template."""
        evidence = Evidence(answers=self._has_answers, in_a_row=self._in_a_row, control=False)
        if judge(FailureKind.UNREAD, evidence) is not NextStep.STOP:
            return
        remedy = "choose another `llm` in a new run"
        if self._cut:
            remedy = "raise `answer_tokens`, or lower `reasoning_effort`"
        if not self._has_answers:
            first = f"none of the first {self._in_a_row} requests got a usable answer"
            raise GaveUpError(f"{first} (the last: {self._last}): {remedy}")
        cut = f", {self._cut} of them cut for length" if self._cut else ""
        answers = f"the last {self._in_a_row} answers{cut}"
        raise GaveUpError(f"no {self._noun} could be read in {answers}: {remedy}")


class _Skip(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    request: str
    reason: str
    unusable: bool = False


@dataclass(eq=False)
class Journal:
    """One restart's access to the LLM.

    A request that failed after all retries costs its round. The skip is stored together with the restart's
    next answer, since only then does anything depend on it: a run stopped in an outage asks again, when
    resumed, for all rounds skipped at its end. If the model did answer, with a refusal for instance, the skip
    is stored at once: nothing is paid for twice.

    A request that the endpoint refused for an unknown reason also waits for the next answer, so that
    exhausted credit costs no round for good. At the end of a restart no answer follows: there
    ``keep_refused`` marks it, and a later session in which it is refused again skips it.

    In a search for names alone every skip waits for an answer: without one there is nothing else.

    ``stop`` acts between an answer and the next request, never between an answer and the disk.
    """

    record: RestartRecord
    config: SearchConfig
    store: Store
    asker: EndpointAsker[ChatRequest, ChatAnswer] | None
    _: KW_ONLY
    stop: Stop
    empty_answers: EmptyAnswers
    scheduler: FairScheduler
    emit: Listener
    _skipped: dict[Position, _Skip] = field(default_factory=dict, init=False)
    _refused: dict[Position, str] = field(default_factory=dict, init=False)

    async def ask(self, messages: Sequence[ChatMessage], position: Position) -> tuple[ChatAnswer, bool]:
        """Ask the LLM at a position, note it in the record, and return the answer and whether it was on disk.

        Raises as ``answer`` does.
        """
        config, record = self.config, self.record
        # The first request of a round keeps the seed from when a round had only one.
        seed = derived(config.seed, *(position if position.sample else position[:3]))
        request = ChatRequest(
            messages=tuple(messages),
            model=config.placeless_llm or "",
            temperature=config.temperature,
            max_tokens=config.answer_tokens,
            seed=seed,
            reasoning_effort=config.reasoning_effort,
            extra_body=config.extra_body,
        )
        now = asyncio.get_running_loop().time
        started = now()
        try:
            answer, replayed = await self.answer(position, request)
        except Skipped as skip:
            record.skipped += 1
            record.unusable += skip.unusable
            record.last_skip = skip.reason
            raise
        record.answers += 1
        record.replayed += replayed
        self.emit(
            AnswerReceived(
                position=position,
                replayed=replayed,
                prompt_tokens=answer.prompt_tokens,
                completion_tokens=answer.completion_tokens,
                seconds=0.0 if replayed else round(now() - started, 3),
                model=answer.model,
                finish_reason=answer.finish_reason,
            )
        )
        return answer, replayed

    async def ask_all(
        self, requests: Sequence[tuple[Sequence[ChatMessage], Position]]
    ) -> list[ChatAnswer | Skipped]:
        """Ask as ``ask`` does, as many at once as are allowed; return each answer, or why there is none.

        An error is raised when all have ended: what the others got is on disk.
        """
        room = asyncio.Semaphore(self.config.concurrency)

        async def outcome_of(messages: Sequence[ChatMessage], position: Position) -> ChatAnswer | Exception:
            try:
                with self.stop.watching():
                    async with room:
                        return (await self.ask(messages, position))[0]
            except Exception as error:  # noqa: BLE001 - raised below
                return error

        tasks = [asyncio.create_task(outcome_of(*request)) for request in requests]
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError:
            await asyncio.wait(tasks)  # the stop ends those that are not paid for
            raise
        outcomes = list[ChatAnswer | Skipped]()
        for outcome in [task.result() for task in tasks]:
            if isinstance(outcome, Exception) and not isinstance(outcome, Skipped):
                raise outcome
            outcomes.append(outcome)
        return outcomes

    async def answer(self, position: Position, request: ChatRequest) -> tuple[ChatAnswer, bool]:
        """Return the answer at a position, and whether it was on disk.

        Raises:
            Skipped: There is no answer, and there will be none.
            StoreMismatchError: The answer on disk belongs to another request.
            GaveUpError: Too many answers in a row held no template.
            PromptclimbError: A budget, an outage, a full disk, a signal or a failure.
        """
        if (stored := self.store.answer(position)) is not None:
            self._check_request(position, stored.request_hash, request)
            await self.scheduler.turn()
            return stored.answer, True
        if (skip := self.store.value(_name_of("skip", position), _Skip.model_validate)) is not None:
            self._check_request(position, skip.request, request)
            await self.scheduler.turn()
            raise Skipped(skip.reason, unusable=skip.unusable)
        self.stop.check()
        self.empty_answers.check()
        self.store.check_room()
        try:
            try:
                assert self.asker is not None, "nothing is to be asked"
                billed = await self.asker.ask(request)
            except RequestFailedError as error:
                raise await self._skip(position, request, error) from error
            skipped = tuple(self._skipped)
            await self.store.put_answer(
                position, request.hash, billed.answer, billed.bill, request.messages, self._skips()
            )
            self._skips_are_written(skipped)
        finally:
            self.stop.settled()
        # Nothing is lost from here on, so a stop need not wait for scores.
        self.stop.check()
        await self.scheduler.turn()
        return billed.answer, False

    async def keep_refused(self) -> None:
        """Mark requests refused at the end of the restart, once all restarts have ended."""
        for position, request_hash in self._refused.items():
            await self.store.put_value(_name_of("refused", position), request_hash)

    async def _skip(self, position: Position, request: ChatRequest, error: RequestFailedError) -> Skipped:
        rule = RULES[error.kind]
        self._skipped[position] = _Skip(request=request.hash, reason=str(error), unusable=rule.unread)
        self.record.unanswered += 1
        if rule.unread:
            cut = error.kind in (FailureKind.CUT, FailureKind.ENDLESS)
            self.empty_answers.count(empty=True, cut=cut, unusable=str(error))
        earlier_sessions = int(self.store.value(_name_of("refused", position)) == request.hash)
        # A search for names alone may have no other request: a resume asks for it again.
        is_all = self.config.unchecked and not self.record.answers
        if 0 < rule.sessions <= earlier_sessions + 1 and not is_all:
            skipped = tuple(self._skipped)
            await self.store.put_values(self._skips())
            self._skips_are_written(skipped)
        elif rule.sessions:
            self._refused[position] = request.hash
        return Skipped(str(error), unusable=rule.unread)

    def _skips(self) -> dict[str, Any]:
        return {_name_of("skip", position): skip.model_dump() for position, skip in self._skipped.items()}

    def _skips_are_written(self, positions: Sequence[Position]) -> None:
        for position in positions:  # another request may have been skipped meanwhile
            self._refused.pop(position, None)
            self._skipped.pop(position, None)
        self.record.unanswered = len(self._skipped)

    def _check_request(self, position: Position, stored_hash: str, request: ChatRequest) -> None:
        if stored_hash != request.hash:
            now = request.hash[:12]
            raise StoreMismatchError(
                f"the answer on disk at {position} belongs to another request ({stored_hash[:12]}, "
                f"now {now}): the run was made by another version of the program or its files were changed; "
                "start a new run",
                differences=(f"request at {position}: it was {stored_hash[:12]}, now {now}",),
            )


def _name_of(kind: str, position: Position) -> str:
    return f"{kind}:" + ".".join(str(number) for number in position)
