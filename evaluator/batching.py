"""One queue to one scorer: templates come from many tasks, go in micro-batches to one worker thread.

The event loop never blocks, the device never waits for a full batch, and every waiter gets a score or an
error, whatever dies.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from .errors import ConsumerError, TemplateRejectedError
from .scoring import Rejection, Score, Scorer
from .tally import Statistics, Tally

Answer = Score | Rejection


@dataclass(eq=False, slots=True)
class _Job:
    """One template in flight, and how many wait for it."""

    template: str
    future: asyncio.Future[Answer]
    arrived: float
    waiters: int = 0


class Consumer:
    """Scores templates one at a time for many tasks, in batches for one scorer.

    An async context manager; the scorer is called from one thread that lives as long as the context.

    Args:
        scorer: What scores; it is never called by two threads at once.
        max_batch: Most templates a call. Halved, and remembered, when the scorer runs out of memory.
        max_age_s: Longest time, in seconds, that a template waits for others while the scorer is idle.
        queue_size: Most templates waiting for a batch; further callers of ``score`` wait for room.
    """

    def __init__(
        self, scorer: Scorer, *, max_batch: int = 32, max_age_s: float = 0.005, queue_size: int = 256
    ) -> None:
        if max_batch < 1 or queue_size < 1 or max_age_s < 0:
            raise ValueError("max_batch and queue_size must be at least 1, max_age_s at least 0")
        self._scorer = scorer
        self._max_batch = max_batch
        self._max_age_s = max_age_s
        self._room = asyncio.Semaphore(queue_size)
        self._queue: deque[_Job] = deque()
        self._flying: dict[str, _Job] = {}
        self._changed = asyncio.Event()
        self._closing = False
        self._death: BaseException | None = None
        self._tally = Tally(getattr(getattr(scorer, "info", None), "classes", 1))

    async def __aenter__(self) -> Self:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="scorer")
        self._tally.start(self._now())
        self._worker = asyncio.create_task(self._work(), name="evaluator.batching")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._changed.set()
        try:
            await asyncio.wait({self._worker})
        finally:
            self._worker.cancel()
            self._executor.shutdown(wait=False, cancel_futures=True)
        # Waiters have had this error already: it is raised only where no body would report it.
        if (death := self._worker.exception()) is not None and error is None:
            raise ConsumerError(f"the scoring worker died: {death!r}") from death

    async def score(self, template: str) -> Score:
        """Scores one template; equal templates in flight at the same time are scored once.

        Raises:
            TemplateRejectedError: The scorer rejected this template, or failed on it alone.
            ConsumerError: The consumer is closed or its worker died.
        """
        job = await self._enter(template)
        job.waiters += 1
        try:
            answer = await asyncio.shield(job.future)
        except asyncio.CancelledError:
            self._forget_if_unwanted(job)
            raise
        finally:
            job.waiters -= 1
        if isinstance(answer, Rejection):
            raise TemplateRejectedError(template, answer.reason, answer.message)
        return answer

    def statistics(self) -> Statistics:
        """A snapshot of what has gone through so far."""
        return self._tally.snapshot(
            now=self._now(), depth=len(self._queue), in_flight=len(self._flying), max_batch=self._max_batch
        )

    async def _enter(self, template: str) -> _Job:
        self._check_alive()
        if template not in self._flying:
            await self._room.acquire()
            # The world may have changed while this task waited for room.
            if self._closing or self._death is not None or template in self._flying:
                self._room.release()
                self._check_alive()
        if (job := self._flying.get(template)) is not None:
            self._tally.joined += 1
            return job
        job = _Job(template, asyncio.get_running_loop().create_future(), self._now())
        self._flying[template] = job
        self._queue.append(job)
        self._changed.set()
        return job

    def _check_alive(self) -> None:
        if self._death is not None:
            raise ConsumerError(f"the scoring worker died: {self._death!r}") from self._death
        if self._closing:
            raise ConsumerError("the consumer is closed")

    def _forget_if_unwanted(self, job: _Job) -> None:
        """Takes a job out of the queue when its last waiter has gone and its batch has not begun."""
        if job.waiters == 1 and job in self._queue:
            self._queue.remove(job)
            self._room.release()
            del self._flying[job.template]

    async def _work(self) -> None:
        try:
            while (batch := await self._collect()) is not None:
                await self._score_all(batch)
        except BaseException as error:
            self._death = error
            raise
        finally:
            self._fail_the_rest()

    async def _collect(self) -> list[_Job] | None:
        """The next batch: as soon as it is full or its oldest job is of age; None when closing."""
        while not self._closing:
            self._changed.clear()
            if len(self._queue) >= self._max_batch or self._of_age():
                return [self._take() for _ in range(min(len(self._queue), self._max_batch))]
            due = self._queue[0].arrived + self._max_age_s if self._queue else None
            try:
                async with asyncio.timeout_at(due):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return None

    def _of_age(self) -> bool:
        return bool(self._queue) and self._now() >= self._queue[0].arrived + self._max_age_s

    def _take(self) -> _Job:
        self._room.release()
        return self._queue.popleft()

    async def _score_all(self, batch: list[_Job]) -> None:
        """Scores a batch; what fails is halved until the culprit stands alone."""
        parts = [batch]
        while parts and not self._closing:
            part = parts.pop()
            if len(part) > self._max_batch:
                parts += [part[self._max_batch :], part[: self._max_batch]]
                continue
            try:
                answers = await self._in_thread([job.template for job in part])
            except ConsumerError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever the scorer raises, only its template may fail
                parts += self._after_failure(part, error)
            else:
                self._resolve(part, answers)
        for part in parts:
            self._fail(part, ConsumerError("the consumer was closed before this template was scored"))

    async def _in_thread(self, templates: list[str]) -> Sequence[Answer]:
        began = self._now()
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self._executor, self._call, templates)
        finally:
            self._tally.note_call(len(templates), self._now() - began)
        if len(answers) != len(templates):
            raise ConsumerError(f"the scorer gave {len(answers)} answers for {len(templates)} templates")
        return answers

    def _call(self, templates: list[str]) -> Sequence[Answer]:
        try:
            return self._scorer.score(templates)
        except (KeyboardInterrupt, SystemExit) as error:
            # Raised in a task, these would tear the event loop down under everybody else.
            raise ConsumerError("the scorer asked to leave the program") from error

    def _after_failure(self, part: list[_Job], error: Exception) -> list[list[_Job]]:
        """What is left to try after a failed call: both halves, or nothing if one job stood alone."""
        exhausted = is_out_of_memory(error)
        if len(part) == 1:
            reason = "out_of_memory" if exhausted else "failed"
            failure = TemplateRejectedError(part[0].template, reason, f"the scorer failed: {error!r}")
            failure.__cause__ = error
            self._tally.failed += 1
            self._fail(part, failure)
            return []
        self._tally.splits += 1
        middle = (len(part) + 1) // 2
        if exhausted:
            self._max_batch = min(self._max_batch, middle)
        return [part[middle:], part[:middle]]

    def _resolve(self, part: list[_Job], answers: Sequence[Answer]) -> None:
        for job, answer in zip(part, answers, strict=True):
            self._tally.note_answer(rejected=isinstance(answer, Rejection))
            del self._flying[job.template]
            if not job.future.done():
                job.future.set_result(answer)

    def _fail(self, part: Sequence[_Job], error: BaseException) -> None:
        for job in part:
            self._flying.pop(job.template, None)
            if not job.future.done():
                job.future.set_exception(error)
                # Retrieved here, so that a job that nobody waits for any more does not warn at collection.
                job.future.exception()

    def _fail_the_rest(self) -> None:
        if self._death is None:
            error = ConsumerError("the consumer was closed before this template was scored")
        else:
            error = ConsumerError(f"the scoring worker died: {self._death!r}")
            error.__cause__ = self._death
        self._fail(list(self._flying.values()), error)
        while self._queue:
            self._take()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the host or on a device; needs no torch."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    said = str(error).lower()
    return named or (
        isinstance(error, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)
    )
