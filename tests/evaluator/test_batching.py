from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from promptclimb.evaluator.batching import ScoringQueue, is_out_of_memory
from promptclimb.evaluator.errors import (
    ConfigError,
    CrashingTemplateError,
    ScoringEndedError,
    ScoringFailedError,
)
from promptclimb.evaluator.failures import RULES, FailureKind
from promptclimb.evaluator.scoring import NOT_A_NUMBER, Rejection, Score, Verdict
from tests.fakes.evaluators import FakeEvaluator


class Gate:
    """Holds the scoring thread until opened; signals the loop when a batch has arrived."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.arrived = threading.Event()

    def __call__(self, batch: Sequence[str]) -> None:
        self.arrived.set()
        assert self.open.wait(20)

    async def wait_arrived(self) -> None:
        await asyncio.to_thread(self.arrived.wait, 20)


async def score_all(queue: ScoringQueue, templates: Sequence[str]) -> list[Verdict | BaseException]:
    return await asyncio.gather(*map(queue.score, templates), return_exceptions=True)


TEMPLATES = [f"a photo number {n} of a {{}}" for n in range(20)]


async def test_batches_are_full_when_many_ask() -> None:
    """Twenty requests at once make batches of at most max_batch."""
    scorer = FakeEvaluator()
    async with ScoringQueue(scorer, max_batch=8) as queue:
        await score_all(queue, TEMPLATES)
    assert [len(batch) for batch in scorer.batches] == [8, 8, 4]


def poisoned(*templates: str, times: int = 10**6) -> FakeEvaluator:
    """An evaluator that fails whenever one of these is in the batch, so many times."""
    left = [times]

    def strike(batch: Sequence[str]) -> None:
        if set(templates) & set(batch) and left[0]:
            left[0] -= 1
            raise ValueError("boom")

    return FakeEvaluator(before_batch=strike)


async def test_a_template_that_crashes_the_scorer_fails_alone() -> None:
    """It is found by halving, tried again alone, the last time after another was scored; the rest goes on."""
    scorer = poisoned(TEMPLATES[13])
    async with ScoringQueue(scorer) as queue:
        answers = await score_all(queue, TEMPLATES)
    failed = [n for n, answer in enumerate(answers) if not isinstance(answer, Score)]
    assert failed == [13]
    assert isinstance(answers[13], CrashingTemplateError)
    assert "boom" in str(answers[13])
    alone = [batch for batch in scorer.batches if batch == (TEMPLATES[13],)]
    assert len(alone) == RULES[FailureKind.CRASHED].drop_after
    last = max(index for index, batch in enumerate(scorer.batches) if batch == (TEMPLATES[13],))
    assert TEMPLATES[13] not in scorer.batches[last - 1]


async def test_a_crash_before_anything_was_scored_is_judged_after_the_others() -> None:
    """The very first template may be at fault: it is held back until the scorer has scored another."""
    async with ScoringQueue(poisoned(TEMPLATES[0])) as queue:
        answers = await score_all(queue, TEMPLATES)
    assert isinstance(answers[0], CrashingTemplateError)
    assert all(isinstance(answer, Score) for answer in answers[1:])


@pytest.mark.parametrize("times", [1, 2])
async def test_a_failure_that_passes_costs_nothing(times: int) -> None:
    """A scorer that fails once or twice and then works gives every score."""
    async with ScoringQueue(poisoned(*TEMPLATES, times=times)) as queue:
        assert await score_all(queue, TEMPLATES[:2]) == FakeEvaluator().score(TEMPLATES[:2])


async def test_a_broken_scorer_differs_from_a_bad_template() -> None:
    """When what was scored before fails too, nobody is blamed, and it does not take many calls to know."""
    broken = [False]

    def strike(_batch: Sequence[str]) -> None:
        if broken[0]:
            raise ValueError("device lost")

    scorer = FakeEvaluator(before_batch=strike)
    async with ScoringQueue(scorer) as queue:
        assert isinstance(await queue.score("a {}"), Score)
        broken[0] = True
        answers = await score_all(queue, TEMPLATES)
    assert {type(answer) for answer in answers} == {ScoringFailedError}
    assert "device lost" in str(answers[0])
    assert len(scorer.batches) < len(TEMPLATES)


async def test_a_scorer_that_never_worked_is_given_up_early() -> None:
    """Three templates that fail alone, and not one that was scored, are the scorer's fault."""
    scorer = poisoned(*TEMPLATES)
    async with ScoringQueue(scorer) as queue:
        answers = await score_all(queue, TEMPLATES)
        assert {type(answer) for answer in answers} == {ScoringFailedError}
        assert len(scorer.batches) < len(TEMPLATES)
        with pytest.raises(ScoringFailedError, match="the scorer fails, last on"):
            await queue.score(TEMPLATES[0])


async def test_an_answer_that_is_no_number_is_a_rejection() -> None:
    """With a reason; it harms no other template, and is asked for once."""

    class Sometimes(FakeEvaluator):
        def score(self, templates: Sequence[str]) -> list[Verdict]:
            verdicts = super().score(templates)
            return [
                Score(train=float("nan")) if template == TEMPLATES[1] else verdict
                for template, verdict in zip(templates, verdicts, strict=True)
            ]

    async with ScoringQueue(scorer := Sometimes()) as queue:
        first, second, third = await score_all(queue, TEMPLATES[:3])
    assert [first, third] == FakeEvaluator().score([TEMPLATES[0], TEMPLATES[2]])
    assert isinstance(second, Rejection)
    assert second.reason == NOT_A_NUMBER
    assert "nan" in second.message
    assert len(scorer.batches) == 1


async def test_out_of_memory_halves_the_batch_and_remembers() -> None:
    """After running out of memory no later call is as large."""

    def small_device(batch: Sequence[str]) -> None:
        if len(batch) > 5:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    scorer = FakeEvaluator(before_batch=small_device)
    async with ScoringQueue(scorer, max_batch=20) as queue:
        assert all(isinstance(answer, Score) for answer in await score_all(queue, TEMPLATES))
        calls = len(scorer.batches)
        assert all(isinstance(answer, Score) for answer in await score_all(queue, TEMPLATES))
    assert all(len(batch) <= 5 for batch in scorer.batches[calls:])


async def test_a_cancelled_waiter_takes_its_template_out_of_the_queue() -> None:
    """A template that nobody waits for any more is not scored; the others are."""
    gate = Gate()
    scorer = FakeEvaluator(before_batch=gate)
    async with ScoringQueue(scorer, max_batch=1) as queue:
        first = asyncio.create_task(queue.score(TEMPLATES[0]))
        await gate.wait_arrived()
        unwanted = asyncio.create_task(queue.score(TEMPLATES[1]))
        wanted = asyncio.create_task(queue.score(TEMPLATES[2]))
        await asyncio.sleep(0)
        unwanted.cancel()
        await asyncio.wait({unwanted})
        gate.open.set()
        assert isinstance(await first, Score)
        assert isinstance(await wanted, Score)
    assert scorer.batches == [(TEMPLATES[0],), (TEMPLATES[2],)]


async def test_a_scorer_that_miscounts_ends_the_queue_for_everybody() -> None:
    """When the worker dies every waiter gets an error."""

    class Short(FakeEvaluator):
        def score(self, templates: Sequence[str]) -> list[Score]:
            return []

    async def ask_all() -> list[Verdict | BaseException]:
        async with ScoringQueue(Short(), max_batch=2) as queue:
            answers = await score_all(queue, TEMPLATES)
            assert all(isinstance(answer, ScoringEndedError) for answer in answers)
            return [*answers, await queue.score("late {}")]

    with pytest.raises(ScoringEndedError, match="the scorer gave 0 answers for 2 templates"):
        await ask_all()


async def test_a_scorer_that_exits_does_not_tear_the_loop_down() -> None:
    """SystemExit in the scoring thread is an error for the waiters, not the end of the loop."""

    def leave(_batch: Sequence[str]) -> None:
        raise SystemExit(3)

    with pytest.raises(ScoringEndedError):
        async with ScoringQueue(FakeEvaluator(before_batch=leave)) as queue:
            await queue.score(TEMPLATES[0])


async def test_one_thread_scores() -> None:
    """Every call of the scorer comes from the same thread, which is not the loop's."""
    threads = set()
    scorer = FakeEvaluator(before_batch=lambda _batch: threads.add(threading.current_thread()))
    async with ScoringQueue(scorer, max_batch=3) as queue:
        await score_all(queue, TEMPLATES)
    assert len(threads) == 1
    assert threading.main_thread() not in threads


class Crowd:
    """Lets calls through only when so many of them are in at once."""

    def __init__(self, size: int) -> None:
        self._barrier = threading.Barrier(size, timeout=20)

    def __call__(self, _batch: Sequence[str]) -> None:
        self._barrier.wait()


async def test_a_scorer_that_says_so_gets_several_batches_at_once() -> None:
    """Four batches are in it together, and every template has its own score."""
    scorer = FakeEvaluator(before_batch=Crowd(4), in_flight=4)
    async with ScoringQueue(scorer, max_batch=5) as queue:
        assert await score_all(queue, TEMPLATES) == FakeEvaluator().score(TEMPLATES)
    assert sorted(len(batch) for batch in scorer.batches) == [5, 5, 5, 5]


async def test_closing_lets_every_batch_that_runs_end() -> None:
    """What is in the scorer is answered, what waits gets an error."""
    crowd, gate = threading.Barrier(3, timeout=20), Gate()

    def hold(batch: Sequence[str]) -> None:
        crowd.wait()
        gate(batch)

    async with ScoringQueue(FakeEvaluator(before_batch=hold, in_flight=2), max_batch=1) as queue:
        asking = [asyncio.create_task(queue.score(template)) for template in TEMPLATES]
        await asyncio.to_thread(crowd.wait)
        gate.open.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Score] * 2 + [ScoringEndedError] * 18


@pytest.mark.parametrize("in_flight", [0, -1, 1.5, "2", True, 10**6])
def test_in_flight_is_a_number_of_batches(in_flight: object) -> None:
    """Anything else is a usage error."""
    scorer = FakeEvaluator()
    scorer.in_flight = in_flight  # type: ignore[assignment]
    with pytest.raises(ConfigError, match=r"FakeEvaluator\.in_flight"):
        ScoringQueue(scorer)


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
    """Host and device memory errors differ from other errors."""
    assert is_out_of_memory(error) is expected


@given(
    asked=st.lists(st.sampled_from(TEMPLATES[:8]), min_size=1, max_size=24),
    poison=st.sets(st.sampled_from(TEMPLATES[:8]), max_size=2),
    room=st.integers(1, 9),
    max_batch=st.integers(1, 9),
    cancelled=st.sets(st.integers(0, 23), max_size=6),
    in_flight=st.integers(1, 3),
)
# Asked for three times, one template is not several that fail.
@example(
    asked=[TEMPLATES[1]] * 3 + [TEMPLATES[0]],
    poison={TEMPLATES[1]},
    room=1,
    max_batch=4,
    cancelled=set(),
    in_flight=1,
)
def test_whatever_happens_every_waiter_is_answered(
    asked: list[str], poison: set[str], room: int, max_batch: int, cancelled: set[int], in_flight: int
) -> None:  # fmt: skip
    """Poison, little memory and cancellations together: a value or an error for everybody."""

    def weak(batch: Sequence[str]) -> None:
        if len(batch) > room:
            raise RuntimeError("out of memory")
        if poison & set(batch):
            raise ValueError("poison")

    async def run() -> list[Verdict | BaseException]:
        scorer = FakeEvaluator(before_batch=weak, in_flight=in_flight)
        queue = ScoringQueue(scorer, max_batch=max_batch, max_age_s=0)
        async with asyncio.timeout(30), queue:
            tasks = [asyncio.create_task(queue.score(template)) for template in asked]
            await asyncio.sleep(0)
            for index in cancelled & set(range(len(tasks))):
                tasks[index].cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            # A batch that had begun when its last waiter left is still in the thread.
            while queue._flying:  # noqa: ASYNC110 - its end gives no signal
                await asyncio.sleep(0)
            assert not queue._queue
            return answers

    expected = dict(zip(TEMPLATES, FakeEvaluator().score(TEMPLATES), strict=True))
    for index, (template, answer) in enumerate(zip(asked, asyncio.run(run()), strict=True)):
        if isinstance(answer, asyncio.CancelledError):
            assert index in cancelled
        elif template in poison:
            assert isinstance(answer, CrashingTemplateError | ScoringFailedError)
        else:
            assert answer == expected[template]


@pytest.mark.parametrize("error", [StopIteration(), asyncio.CancelledError(), GeneratorExit()])
async def test_whatever_a_scorer_raises_reaches_its_waiters(error: BaseException) -> None:
    """Also what asyncio takes for something else: nobody waits for ever."""

    class Odd:
        def score(self, templates: Sequence[str]) -> list[Verdict]:
            raise error

    async with asyncio.timeout(10), ScoringQueue(Odd()) as queue:
        with pytest.raises(ScoringFailedError, match=type(error).__name__):
            await queue.score("a photo of a {}")


async def test_a_call_that_does_not_return_is_left_behind() -> None:
    """Who leaves the context waits for it, but not for ever."""
    gate = Gate()
    async with asyncio.timeout(10):
        async with ScoringQueue(FakeEvaluator(before_batch=gate), grace_s=0.01) as queue:
            waiting = asyncio.create_task(queue.score("a photo of a {}"))
            await gate.wait_arrived()
        with pytest.raises(ScoringEndedError, match="closed"):
            await waiting
    gate.open.set()


async def test_the_next_full_batch_begins_although_the_loop_is_busy() -> None:
    """Its thread has it already; still only one call at a time."""
    first, second, go = threading.Event(), threading.Event(), threading.Event()
    running = threading.Lock()

    class Box:
        def score(self, templates: Sequence[str]) -> list[Score]:
            assert running.acquire(blocking=False), "two calls at once"
            (second if first.is_set() else first).set()
            assert go.wait(20)
            running.release()
            return [Score(train=0.5) for _ in templates]

    async with ScoringQueue(Box(), max_batch=2) as queue:
        scored = asyncio.gather(*(queue.score(f"{number} of a {{}}") for number in range(4)))
        await asyncio.to_thread(first.wait, 20)
        go.set()
        assert second.wait(20), "this blocks the loop"
        assert len(await scored) == 4
