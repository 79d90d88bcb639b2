"""The journal: an answer is on disk before it is used, and nothing is asked for twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import (
    GaveUpError,
    InterruptedRunError,
    RequestFailedError,
    StoreMismatchError,
)
from promptclimb.agent.llm.chat import BilledAnswer, ChatAnswer, ChatRequest
from promptclimb.agent.position import Position
from promptclimb.agent.prices import Bill, Spent
from promptclimb.agent.search.event_loop import FairScheduler
from promptclimb.agent.search.journal import EmptyAnswers, Journal, RestartRecord, Skipped
from promptclimb.agent.search.test_evaluation import OPENINGS, openings_of_test
from promptclimb.agent.stop import Stop
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.errors import StoreCorruptError, StoreError
from promptclimb.evaluator.failures import RULES, FailureKind
from tests.fakes.stored import answers

MOST_UNREAD = RULES[FailureKind.UNREAD].tolerated + 1

FIRST, SECOND, THIRD = (Position(1, 1, round) for round in (1, 2, 3))


def request(text: str = "hello") -> ChatRequest:
    """A request that says something."""
    return ChatRequest(messages=({"role": "user", "content": text},), model="m")


class Asker:
    """Answers by number, or raises what it is told to."""

    def __init__(self, store: Store, *errors: Exception | None) -> None:
        self.asked = 0
        self._store = store
        self._errors = list(errors)

    async def ask(self, request: ChatRequest) -> BilledAnswer:
        self.asked += 1
        if self._errors and (error := self._errors.pop(0)) is not None:
            raise error
        bill = Bill(Spent(calls=1, prompt_tokens=7))
        return BilledAnswer(ChatAnswer(text=f"answer {self.asked}"), bill, "here")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A run on disk."""
    with Store.create(tmp_path / "run", {"identity": {}}) as created:
        yield created


def journal_of(
    store: Store, asker: Asker, *, stop: Stop | None = None, empty: EmptyAnswers | None = None
) -> Journal:
    """A restart's journal."""
    return Journal(
        RestartRecord(1), SearchConfig(data="fake", llm="m"), store, asker, stop=stop or Stop(),
        empty_answers=empty or EmptyAnswers(), scheduler=FairScheduler(), emit=lambda _event: None,
    )  # fmt: skip


async def test_an_answer_is_on_disk_with_its_bill_before_anybody_has_it(store: Store) -> None:
    """And it is asked for once, however often it is wanted."""
    asker = Asker(store)
    journal = journal_of(store, asker)
    answer, replayed = await journal.answer(FIRST, request())
    assert (answer.text, replayed) == ("answer 1", False)
    stored = store.answer(FIRST)
    assert stored is not None
    assert (stored.answer, stored.request_hash) == (answer, request().hash)
    assert (store.usage.calls, store.usage.prompt_tokens) == (1, 7)
    assert await journal_of(store, asker).answer(FIRST, request()) == (answer, True)
    assert asker.asked == 1


@pytest.mark.parametrize("skipped", [False, True])
async def test_what_another_request_got_is_refused_with_its_place(store: Store, skipped: bool) -> None:
    """An answer or a skip: the program or the files were changed, and nothing of it may be mixed."""
    failed = RequestFailedError("none", kind=FailureKind.UNREACHABLE, attempts=1)
    journal = journal_of(store, Asker(store, *[failed] * skipped))
    with pytest.raises(Skipped) if skipped else nullcontext():
        await journal.answer(FIRST, request("one"))
    await journal.answer(FIRST._replace(sample=1), request("two"))
    assert [position.sample for position in answers(store)] == [0, 1][skipped:]
    with pytest.raises(StoreMismatchError, match="restart 1, conversation 1, round 1"):
        await journal_of(store, Asker(store)).answer(FIRST, request("another"))


async def test_longer_answers_may_be_asked_for_on_the_way(store: Store) -> None:
    """How long an answer may get is no other request: what is on disk is used."""
    short, long = (replace(request(), max_tokens=number) for number in (512, 4096))
    await journal_of(store, Asker(store)).answer(FIRST, short)
    answer, replayed = await journal_of(store, asker := Asker(store)).answer(FIRST, long)
    assert (answer.text, replayed, asker.asked) == ("answer 1", True, 0)


async def test_a_skip_while_an_answer_is_written_waits_for_the_next_one(store: Store) -> None:
    """It is not on disk with that answer, and without it a resumed run would ask again."""
    failed = RequestFailedError("none", kind=FailureKind.UNREACHABLE, attempts=1)
    journal = journal_of(store, Asker(store, None, failed))
    _, skip = await asyncio.gather(
        journal.answer(FIRST, request("one")),
        journal.answer(SECOND, request("two")),
        return_exceptions=True,
    )
    assert isinstance(skip, Skipped)
    assert journal.record.unanswered == 1
    await journal.answer(THIRD, request("three"))
    with pytest.raises(Skipped):
        await journal_of(store, Asker(store)).answer(SECOND, request("two"))


async def test_a_skip_is_written_with_the_next_answer_and_cleared_by_it(store: Store) -> None:
    """What follows depends on it only then: an outage at the end is asked again, one in the middle not."""
    failed = RequestFailedError("no usable answer in 3 attempts", kind=FailureKind.UNREACHABLE, attempts=3)
    journal = journal_of(store, Asker(store, failed, None, failed))
    with pytest.raises(Skipped, match="3 attempts"):
        await journal.answer(FIRST, request("one"))
    assert journal.record.unanswered == 1
    await journal.answer(SECOND, request("two"))
    assert journal.record.unanswered == 0
    with pytest.raises(Skipped):
        await journal.answer(THIRD, request("three"))
    assert journal.record.unanswered == 1
    again = journal_of(store, asker := Asker(store))
    with pytest.raises(Skipped, match="3 attempts"):
        await again.answer(FIRST, request("one"))
    await again.answer(SECOND, request("two"))
    assert asker.asked == 0
    assert (await again.answer(THIRD, request("three")))[0].text == "answer 1"


async def test_skips_are_on_disk_with_the_answer_after_them_or_not_at_all(store: Store) -> None:
    """An answer that is lost asks again for the rounds before it too."""

    class Late(Asker):
        async def ask(self, request: ChatRequest) -> BilledAnswer:
            billed = await super().ask(request)
            await self._store.put_answer(SECOND, "taken", billed.answer)
            return billed

    failed = RequestFailedError("none", kind=FailureKind.UNREACHABLE, attempts=1)
    journal = journal_of(store, Late(store, failed))
    with pytest.raises(Skipped):
        await journal.answer(FIRST, request())
    with pytest.raises(StoreError, match="already"):
        await journal.answer(SECOND, request())
    answer, replayed = await journal_of(store, Asker(store)).answer(FIRST, request())
    assert (answer.text, replayed) == ("answer 1", False)
    assert journal.record.unanswered == 1


async def test_a_skip_that_was_paid_for_is_written_at_once(store: Store) -> None:
    """Else a model that refuses the last round would be paid for it by every resume, without an end."""
    out = RequestFailedError("no usable answer in 3 attempts", kind=FailureKind.UNREACHABLE, attempts=3)
    refused = RequestFailedError("the model refuses to answer", kind=FailureKind.UNUSABLE, attempts=4)
    journal = journal_of(store, Asker(store, out, refused))
    for position, text in ((FIRST, "one"), (SECOND, "two")):
        with pytest.raises(Skipped):
            await journal.answer(position, request(text))
    assert journal.record.unanswered == 0
    again = journal_of(store, asker := Asker(store))
    for position, text, reason in ((FIRST, "one", "3 attempts"), (SECOND, "two", "refuses")):
        with pytest.raises(Skipped, match=reason):
            await again.answer(position, request(text))
    assert asker.asked == 0


async def test_a_refusal_of_unknown_reason_waits_for_an_answer_or_for_another_session(store: Store) -> None:
    """It is asked again unless an answer followed, or it was refused at the end of a whole search before."""
    refused = RequestFailedError("the request is refused: no", kind=FailureKind.REFUSED, attempts=1)
    for session in (1, 2):
        journal = journal_of(store, asker := Asker(store, refused))
        with pytest.raises(Skipped):
            await journal.answer(FIRST, request("one"))
        assert (asker.asked, journal.record.unanswered) == (1, 1), session
    await journal.keep_refused()
    journal = journal_of(store, Asker(store, refused))
    with pytest.raises(Skipped):
        await journal.answer(FIRST, request("one"))
    assert journal.record.unanswered == 0
    with pytest.raises(Skipped):
        await journal_of(store, asker := Asker(store)).answer(FIRST, request("one"))
    assert asker.asked == 0


async def test_a_run_of_empty_answers_ends_the_asking_of_all_restarts(store: Store) -> None:
    """An answer that was cut before it began counts like one without a template; what is on disk is given."""
    cut = RequestFailedError("no usable answer", kind=FailureKind.CUT, attempts=2)
    counted = EmptyAnswers(noun="instruction")
    journals = [journal_of(store, asker := Asker(store, cut, None), empty=counted) for _ in range(2)]
    with pytest.raises(Skipped):
        await journals[1].answer(FIRST, request("one"))
    await journals[1].answer(SECOND, request("two"))
    for _ in range(MOST_UNREAD - 1):
        counted.count(empty=True, cut=False)
    with pytest.raises(
        GaveUpError,
        match=rf"no instruction could be read in the last {MOST_UNREAD} answers, .* raise `answer_t",
    ):
        await journals[1].answer(THIRD, request("three"))
    assert (await journals[1].answer(SECOND, request("two")))[1]
    assert asker.asked == 2
    counted.count(empty=False, cut=False)
    await journals[1].answer(THIRD, request("three"))


async def test_a_stop_after_an_answer_ends_the_restart_there(store: Store) -> None:
    """What was paid for is on disk, and no score is waited for."""
    stop = Stop()

    class Late(Asker):
        async def ask(self, request: ChatRequest) -> BilledAnswer:
            stop.request(InterruptedRunError(15))
            return await super().ask(request)

    with pytest.raises(InterruptedRunError):
        await journal_of(store, Late(store), stop=stop).answer(FIRST, request())
    assert store.answer(FIRST) is not None
    with pytest.raises(InterruptedRunError):
        await journal_of(store, asker := Asker(store), stop=stop).answer(SECOND, request())
    assert asker.asked == 0


@pytest.mark.parametrize("row", ["text", {"request": 3, "reason": "none"}, {"reason": "none"}, [1]])
async def test_a_skip_that_was_changed_from_outside_is_named(store: Store, row: object) -> None:
    """Nothing of it is believed."""
    await store.put_value("skip:1.1.1.0", row)
    with pytest.raises(StoreCorruptError, match="skip"):
        await journal_of(store, Asker(store)).answer(FIRST, request())


@pytest.mark.parametrize("row", ["twice", -1, 1.5])
async def test_a_count_of_openings_that_was_changed_is_named(store: Store, row: object) -> None:
    """How often the test split was opened stands in the result."""
    await store.put_value(OPENINGS, row)
    with pytest.raises(StoreCorruptError, match=OPENINGS):
        openings_of_test(store)
