from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptclimb.evaluator.batching import Consumer, is_out_of_memory
from promptclimb.evaluator.errors import ConsumerError, TemplateRejectedError
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.scoring import Score


class Gate:
    """Holds the scoring thread until opened; tells the loop when a batch has arrived."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.arrived = threading.Event()

    def __call__(self, batch: Sequence[str]) -> None:
        self.arrived.set()
        assert self.open.wait(20)

    async def wait_arrived(self) -> None:
        await asyncio.to_thread(self.arrived.wait, 20)


async def score_all(consumer: Consumer, templates: Sequence[str]) -> list[Score | BaseException]:
    return await asyncio.gather(*map(consumer.score, templates), return_exceptions=True)


TEMPLATES = [f"a photo number {n} of a {{}}" for n in range(20)]


async def test_scores_equal_the_scorers_own() -> None:
    """What comes through the queue is what the scorer says, template by template."""
    async with Consumer(FakeEvaluator(), max_batch=7) as consumer:
        found = await score_all(consumer, TEMPLATES)
        seen = consumer.statistics()
    assert found == FakeEvaluator().score(TEMPLATES)
    assert (seen.scored, seen.depth, seen.in_flight, seen.batches) == (20, 0, 0, 3)
    assert 0 < seen.busy_share <= 1
    assert seen.texts_per_s == pytest.approx(10 * seen.templates_per_s)


async def test_batches_are_full_when_many_ask() -> None:
    """Twenty requests at once make batches of at most max_batch."""
    scorer = FakeEvaluator()
    async with Consumer(scorer, max_batch=8) as consumer:
        await score_all(consumer, TEMPLATES)
        assert consumer.statistics().largest_batch == 8
    assert [len(batch) for batch in scorer.batches] == [8, 8, 4]


async def test_a_single_request_does_not_wait_for_a_full_batch() -> None:
    """With nobody else asking, one template is scored once it is of age."""
    async with Consumer(FakeEvaluator(), max_batch=1000, max_age_s=0) as consumer:
        assert isinstance(await consumer.score(TEMPLATES[0]), Score)


async def test_duplicates_in_flight_are_scored_once() -> None:
    """Equal templates in flight share one job, and the count says so."""
    scorer = FakeEvaluator()
    async with Consumer(scorer) as consumer:
        found = await score_all(consumer, TEMPLATES[:2] * 5)
        assert consumer.statistics().joined == 8
    assert scorer.batches == [tuple(TEMPLATES[:2])]
    assert len(set(map(repr, found))) == 2


async def test_a_rejection_is_raised_with_its_reason() -> None:
    """A rejected template raises for its waiter alone."""
    async with Consumer(FakeEvaluator(max_words=5)) as consumer:
        found = await score_all(consumer, ["a b c d e f g {}", "a {}"])
    assert isinstance(found[0], TemplateRejectedError)
    assert found[0].reason == "too_many_tokens"
    assert isinstance(found[1], Score)


async def test_a_poison_template_fails_alone() -> None:
    """A batch that fails is halved until only the culprit's future fails."""

    def poison(batch: Sequence[str]) -> None:
        if TEMPLATES[13] in batch:
            raise ValueError("boom")

    async with Consumer(FakeEvaluator(before_batch=poison)) as consumer:
        found = await score_all(consumer, TEMPLATES)
        statistics = consumer.statistics()
    failed = [
        template for template, answer in zip(TEMPLATES, found, strict=True) if not isinstance(answer, Score)
    ]
    assert failed == [TEMPLATES[13]]
    assert isinstance(found[13], TemplateRejectedError)
    assert found[13].reason == "failed"
    assert "boom" in str(found[13])
    assert statistics.failed == 1
    assert statistics.scored == 19


async def test_out_of_memory_halves_the_batch_and_remembers() -> None:
    """After running out of memory no later call is as large."""

    def small_device(batch: Sequence[str]) -> None:
        if len(batch) > 5:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    scorer = FakeEvaluator(before_batch=small_device)
    async with Consumer(scorer, max_batch=20) as consumer:
        assert all(isinstance(answer, Score) for answer in await score_all(consumer, TEMPLATES))
        assert consumer.statistics().max_batch == 5
        calls = len(scorer.batches)
        assert all(isinstance(answer, Score) for answer in await score_all(consumer, TEMPLATES))
    assert all(len(batch) <= 5 for batch in scorer.batches[calls:])


async def test_out_of_memory_on_one_template_is_its_own_failure() -> None:
    """A single template that does not fit fails with that reason."""

    def no_memory(_batch: Sequence[str]) -> None:
        raise MemoryError

    async with Consumer(FakeEvaluator(before_batch=no_memory)) as consumer:
        with pytest.raises(TemplateRejectedError) as caught:
            await consumer.score(TEMPLATES[0])
    assert caught.value.reason == "out_of_memory"


async def test_a_full_queue_holds_callers_back() -> None:
    """With the device busy and the queue full, further callers wait for room."""
    gate = Gate()
    async with Consumer(FakeEvaluator(before_batch=gate), max_batch=1, queue_size=3) as consumer:
        asking = asyncio.gather(*map(consumer.score, TEMPLATES))
        await gate.wait_arrived()
        assert consumer.statistics().depth == 3
        assert consumer.statistics().in_flight == 4
        gate.open.set()
        assert len(await asking) == 20


async def test_a_cancelled_waiter_takes_its_template_out_of_the_queue() -> None:
    """A template that nobody waits for any more is not scored; one that somebody else wants still is."""
    gate = Gate()
    scorer = FakeEvaluator(before_batch=gate)
    async with Consumer(scorer, max_batch=1) as consumer:
        first = asyncio.create_task(consumer.score(TEMPLATES[0]))
        await gate.wait_arrived()
        unwanted = asyncio.create_task(consumer.score(TEMPLATES[1]))
        shared = [asyncio.create_task(consumer.score(TEMPLATES[2])) for _ in range(2)]
        await asyncio.sleep(0)
        unwanted.cancel()
        shared[0].cancel()
        await asyncio.wait({unwanted, shared[0]})
        gate.open.set()
        assert isinstance(await first, Score)
        assert isinstance(await shared[1], Score)
    assert scorer.batches == [(TEMPLATES[0],), (TEMPLATES[2],)]


async def test_a_cancelled_waiter_for_room_leaves_no_trace() -> None:
    """Cancelling a caller that waits for room neither loses room nor blocks its twin."""
    gate = Gate()
    async with Consumer(FakeEvaluator(before_batch=gate), max_batch=1, queue_size=1) as consumer:
        first = asyncio.create_task(consumer.score(TEMPLATES[0]))
        await gate.wait_arrived()
        waiting = [asyncio.create_task(consumer.score(TEMPLATES[n])) for n in (1, 2, 2)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        gate.open.set()
        assert isinstance(await first, Score)
        assert isinstance(await waiting[0], Score)
        assert isinstance(await waiting[2], Score)


async def test_a_scorer_that_miscounts_kills_the_consumer_and_everybody_hears() -> None:
    """When the worker dies every waiter gets an error, those waiting for room included."""

    class Short(FakeEvaluator):
        def score(self, templates: Sequence[str]) -> list[Score]:
            return []

    async def ask_all() -> list[Score | BaseException]:
        async with Consumer(Short(), max_batch=2, queue_size=2) as consumer:
            found = await score_all(consumer, TEMPLATES)
            assert all(isinstance(answer, ConsumerError) for answer in found)
            return [*found, await consumer.score("late {}")]

    with pytest.raises(ConsumerError, match="0 answers for 2"):
        await ask_all()


async def test_a_scorer_that_exits_does_not_tear_the_loop_down() -> None:
    """SystemExit in the scoring thread is an error for the waiters, not the end of the loop."""

    def leave(_batch: Sequence[str]) -> None:
        raise SystemExit(3)

    with pytest.raises(ConsumerError):
        async with Consumer(FakeEvaluator(before_batch=leave)) as consumer:
            await consumer.score(TEMPLATES[0])


async def test_closing_answers_those_still_waiting() -> None:
    """Leaving the context lets the running batch end and fails the rest."""
    gate = Gate()
    async with Consumer(FakeEvaluator(before_batch=gate), max_batch=1) as consumer:
        asking = [asyncio.create_task(consumer.score(template)) for template in TEMPLATES]
        await gate.wait_arrived()
        gate.open.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], Score)
    assert all(isinstance(answer, ConsumerError) for answer in found[1:])
    with pytest.raises(ConsumerError, match="closed"):
        await consumer.score(TEMPLATES[0])


async def test_the_loop_runs_on_while_the_device_works() -> None:
    """Other tasks make progress during a batch."""
    gate = Gate()
    async with Consumer(FakeEvaluator(before_batch=gate)) as consumer:
        asking = asyncio.create_task(consumer.score(TEMPLATES[0]))
        await gate.wait_arrived()
        turns = 0
        while turns < 100:
            await asyncio.sleep(0)
            turns += 1
        assert not asking.done()
        gate.open.set()
        await asking


async def test_one_thread_scores() -> None:
    """Every call of the scorer comes from the same thread, which is not the loop's."""
    threads = set()
    scorer = FakeEvaluator(before_batch=lambda _batch: threads.add(threading.current_thread()))
    async with Consumer(scorer, max_batch=3) as consumer:
        await score_all(consumer, TEMPLATES)
    assert len(threads) == 1
    assert threading.main_thread() not in threads


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("CUDA error: an illegal memory access"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_recognised(error: BaseException, expected: bool) -> None:
    """Host and device memory errors are told from other errors."""
    assert is_out_of_memory(error) is expected


@given(
    asked=st.lists(st.sampled_from(TEMPLATES[:8]), min_size=1, max_size=24),
    poison=st.sets(st.sampled_from(TEMPLATES[:8]), max_size=3),
    room=st.integers(1, 9),
    max_batch=st.integers(1, 9),
    queue_size=st.integers(1, 5),
    cancelled=st.sets(st.integers(0, 23), max_size=6),
)
@settings(max_examples=60)
def test_whatever_happens_every_waiter_is_answered(
    asked: list[str], poison: set[str], room: int, max_batch: int, queue_size: int, cancelled: set[int]
) -> None:
    """Poison, little memory, a small queue and cancellations together: a value or an error for everybody."""

    def weak(batch: Sequence[str]) -> None:
        if len(batch) > room:
            raise RuntimeError("out of memory")
        if poison & set(batch):
            raise ValueError("poison")

    async def run() -> list[Score | BaseException]:
        consumer = Consumer(
            FakeEvaluator(before_batch=weak), max_batch=max_batch, queue_size=queue_size, max_age_s=0
        )
        async with asyncio.timeout(30), consumer:
            tasks = [asyncio.create_task(consumer.score(template)) for template in asked]
            await asyncio.sleep(0)
            for index in cancelled & set(range(len(tasks))):
                tasks[index].cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            # A batch that had begun when its last waiter left is still in the thread.
            while consumer.statistics().in_flight:  # noqa: ASYNC110 - nobody is told of its end
                await asyncio.sleep(0)
            assert consumer.statistics().depth == 0
            assert consumer._room._value == queue_size
            return found

    expected = dict(zip(TEMPLATES, FakeEvaluator().score(TEMPLATES), strict=True))
    for index, (template, answer) in enumerate(zip(asked, asyncio.run(run()), strict=True)):
        if isinstance(answer, asyncio.CancelledError):
            assert index in cancelled
        elif template in poison:
            assert isinstance(answer, TemplateRejectedError)
        else:
            assert answer == expected[template]
