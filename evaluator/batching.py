"""Queue templates from many tasks for one scorer, called with batches: in threads, unless it is async.

Every waiter gets a verdict or an error. Each failing call is judged (``failures.judge``): it is halved until
one template is left, which is tried again. If it goes on failing, a template that was scored before is scored
again as a control. If the control passes, the template is at fault (``CrashingTemplateError``). If it fails
too, or if nothing has been scored yet and several templates fail, the scorer is (``ScoringFailedError``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from .errors import (
    AskingEndedError,
    CrashingTemplateError,
    PromptclimbError,
    ScoringEndedError,
    ScoringFailedError,
    named,
    place_of,
)
from .failures import RULES, Evidence, FailureKind, NextStep, judge
from .scoring import MaybeAwaitable, Score, Scorer, Verdict, batches_at_once, checked
from .threads import DaemonThreads, in_thread_or_loop

GRACE_S = 5.0
_LONGEST_MESSAGE = 300


@dataclass(eq=False, slots=True)
class Job:
    """One template in flight."""

    template: str
    future: asyncio.Future[Verdict]
    arrived: float  # in the loop's time
    crashes: int = 0  # calls with this template alone that failed

    def settle(self, verdict: Verdict) -> None:
        if not self.future.done():
            self.future.set_result(verdict)

    def fail(self, error: BaseException) -> None:
        """Hand out the error."""
        if not self.future.done():
            self.future.set_exception(error)
            # Retrieve it: a job that nobody waits for must not warn at collection.
            self.future.exception()


class Caller:
    """Calls a scorer from as many threads as it takes batches at once."""

    def __init__(self, scorer: Scorer, *, max_batch: int) -> None:
        self.in_flight = batches_at_once(type(scorer).__name__, getattr(scorer, "in_flight", 1))
        self.max_batch = max_batch
        self._scorer = scorer
        self._threads = DaemonThreads(self.in_flight)
        self._control: str | None = None  # the template that was scored last

    def close(self) -> None:
        """Start no more calls; a running one is not waited for."""
        self._threads.shutdown()

    async def score(self, batch: list[Job], closing: Callable[[], bool]) -> None:
        """Score a batch: every job of it gets a verdict or an error."""
        untried = [batch]  # lists of jobs, the last one first
        held_back: list[Job] = []  # failed alone while nothing had ever been scored
        end: Exception = ScoringEndedError("the queue was closed before this template was scored")
        while untried and not closing():
            jobs = untried.pop()
            try:
                self._settle(jobs, await self._call([job.template for job in jobs]))
            except AskingEndedError as error:
                # Some of them may need no more requests.
                if len(jobs) == 1:
                    jobs[0].fail(error)
                else:
                    untried += [[job] for job in reversed(jobs)]
            except ScoringEndedError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever the scorer raises is judged
                match await self._judged(jobs, {job.template for job in held_back}):
                    case NextStep.SPLIT:
                        untried += self._halves(jobs, error)
                    case NextStep.RETRY:
                        untried.append(jobs)
                    case NextStep.DROP:
                        jobs[0].fail(_crash(jobs[0], error))
                    case step:
                        held_back += jobs
                        end = _failure(jobs[0], error)
                        if step is NextStep.STOP:
                            break
            if not untried and held_back and self._control is not None:
                untried, held_back = [[job] for job in held_back], []  # another one was scored since
        for job in batch:
            job.fail(end)

    def _halves(self, jobs: list[Job], error: Exception) -> list[list[Job]]:
        middle = (len(jobs) + 1) // 2
        if is_out_of_memory(error):
            self.max_batch = min(self.max_batch, middle)
        return [jobs[middle:], jobs[:middle]]

    async def _judged(self, jobs: list[Job], held_back: set[str]) -> NextStep:
        """Return what follows from a call that raised an error; ``held_back`` are templates that failed."""
        job = jobs[0]
        job.crashes += len(jobs) == 1
        suspect = job.crashes > RULES[FailureKind.CRASHED].tries
        evidence = Evidence(
            answers=self._control is not None,
            failures=job.crashes,
            in_a_row=len(held_back | {job.template}) if suspect else len(held_back),
            divisible=len(jobs) > 1,
        )
        step = judge(FailureKind.CRASHED, evidence)
        if step is not NextStep.CONTROL:
            return step
        return judge(FailureKind.CRASHED, replace(evidence, control=await self._scores(self._control or "")))

    async def _scores(self, control: str) -> bool:
        """Return whether the scorer still scores a template that it has scored before."""
        try:
            await self._call([control])
        except ScoringEndedError:
            raise
        except Exception:  # noqa: BLE001 - that it fails is the answer
            return False
        return True

    async def _call(self, templates: list[str]) -> Sequence[Verdict]:
        verdicts = await in_thread_or_loop(lambda: _call(self._scorer, templates), self._threads)
        if len(verdicts) != len(templates):
            raise ScoringEndedError(f"the scorer gave {len(verdicts)} answers for {len(templates)} templates")
        return verdicts

    def _settle(self, jobs: list[Job], verdicts: Sequence[Verdict]) -> None:
        """Hand out verdicts; a score that is not a number is a rejection."""
        for job, verdict in zip(jobs, map(checked, verdicts), strict=True):
            if isinstance(verdict, Score):
                self._control = job.template
            job.settle(verdict)


def _failure(job: Job, error: Exception) -> ScoringFailedError:
    failure = ScoringFailedError(f"the scorer fails, last on {job.template!r}: {_shown(error)}")
    failure.__cause__ = error
    return failure


def _crash(job: Job, error: Exception) -> CrashingTemplateError:
    why = f"the scorer failed on it {job.crashes} times, while it scores others: {_shown(error)}"
    crash = CrashingTemplateError(job.template, why)
    crash.__cause__ = error
    return crash


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that host or device memory ran out; needs no torch."""
    message = named(error).lower()
    is_named = isinstance(error, MemoryError) or message.startswith("outofmemoryerror")
    return is_named or (
        isinstance(error, RuntimeError) and ("out of memory" in message or "can't allocate memory" in message)
    )


def _call(scorer: Scorer, templates: list[str]) -> MaybeAwaitable[Sequence[Verdict]]:
    try:
        return scorer.score(templates)
    except (KeyboardInterrupt, SystemExit) as error:
        # Raised in a task, these would end the event loop.
        raise ScoringEndedError("the scorer asked to leave the program") from error


def _shown(error: BaseException) -> str:
    if isinstance(error, PromptclimbError):
        return str(error)[:_LONGEST_MESSAGE]
    return repr(error)[:_LONGEST_MESSAGE] + place_of(error)


class ScoringQueue:
    """Scores templates one at a time for many tasks, in batches for one scorer, within an async context.

    Whoever asks (``Scorebook``) bounds how many templates wait, and asks for each of them once.

    Args:
        max_batch: Most templates a call. Halved for good when the scorer runs out of memory.
        max_age_s: Longest time, in seconds, that a template waits for others while the scorer is idle.
        grace_s: Longest time, in seconds, that the end of the context waits for a running call; 0 after an
            error. A longer call is left behind in its thread.
        on_batch: Called with a finished batch: its templates, its seconds, and templates waiting at its end.
    """

    def __init__(
        self,
        scorer: Scorer,
        *,
        max_batch: int = 32,
        max_age_s: float = 0.005,
        grace_s: float = GRACE_S,
        on_batch: Callable[[int, float, int], None] = lambda _templates, _seconds, _waiting: None,
    ) -> None:
        self._caller = Caller(scorer, max_batch=max_batch)
        self._max_age_s = max_age_s
        self._grace_s = grace_s
        self._on_batch = on_batch
        self._queue: deque[Job] = deque()
        self._flying: set[Job] = set()
        self._changed = asyncio.Event()
        self._closing = False
        self._ended = 0.0
        self._death: BaseException | None = None

    async def __aenter__(self) -> Self:
        self._work = asyncio.create_task(self._run(), name="evaluator.batching")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._changed.set()
        try:
            await asyncio.wait({self._work}, timeout=self._grace_s if error is None else 0)
        finally:
            self._work.cancel()
            self._caller.close()
            await asyncio.wait({self._work})
        if self._death is not None and error is None:
            raise self._end()  # waiters have had this error already

    async def score(self, template: str) -> Verdict:
        """Score one template.

        Raises:
            CrashingTemplateError: The scorer fails on this template only.
            ScoringFailedError: The scorer fails; nothing is known of the template.
            AskingEndedError: A scorer behind an API would have to ask more than it can.
            ScoringEndedError: The queue is closed or its worker died.
        """
        if self._closing or self._death is not None:
            raise self._end()
        job = Job(template, asyncio.get_running_loop().create_future(), self._now())
        job.future.add_done_callback(lambda _done: self._flying.discard(job))
        self._flying.add(job)
        self._queue.append(job)
        self._changed.set()
        try:
            return await job.future
        except asyncio.CancelledError:
            with suppress(ValueError):  # its batch has begun
                self._queue.remove(job)
            raise

    def _end(self) -> ScoringEndedError:
        """Return the error that says why nothing is scored any more."""
        if self._death is None:
            return ScoringEndedError("the queue of the scorer is closed")
        end = ScoringEndedError(f"scoring has ended: {_shown(self._death)}")
        end.__cause__ = self._death
        return end

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._caller.in_flight):
                    group.create_task(self._serve())
                if self._caller.in_flight == 1 < self._caller.max_batch:
                    # The thread has its next batch at once, although the loop may be busy.
                    group.create_task(self._serve(ahead=True))
        except BaseExceptionGroup as several:
            self._death = several.exceptions[0]
        except BaseException as error:
            if not self._closing:
                self._death = error
            raise
        finally:
            for job in list(self._flying):
                job.fail(self._end())
            self._queue.clear()

    async def _serve(self, *, ahead: bool = False) -> None:
        """Have batches scored; ``ahead``: full ones, which wait for the thread while it has another."""
        while (batch := await self._collect(ahead=ahead)) is not None:
            began, size = self._now(), len(batch)
            await self._caller.score(batch, lambda: self._closing)
            if self._caller.in_flight == 1:
                began = max(began, self._ended)
            self._ended = self._now()
            self._on_batch(size, self._ended - began, len(self._queue))

    async def _collect(self, *, ahead: bool) -> list[Job] | None:
        while not self._closing:
            self._changed.clear()
            due = self._queue[0].arrived + self._max_age_s if self._queue and not ahead else None
            if len(self._queue) >= self._caller.max_batch or (due is not None and self._now() >= due):
                return [self._queue.popleft() for _ in range(min(len(self._queue), self._caller.max_batch))]
            try:
                async with asyncio.timeout_at(due):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return None

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
