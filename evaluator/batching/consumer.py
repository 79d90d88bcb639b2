"""The queue: templates wait in it until a batch is full or the oldest is of age.

The event loop never blocks, the device never waits for a full batch, and every waiter gets a verdict or an
error, whatever dies.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

from ..errors import ConsumerError
from ..scoring import Scorer, Verdict
from .calls import Caller, Job

GRACE_S = 5.0


class Batch(NamedTuple):
    """A batch that is worked off.

    Attributes:
        templates: How many were in it.
        seconds: How long that took.
        waiting: Templates in the queue at its end.
    """

    templates: int
    seconds: float
    waiting: int


class Consumer:
    """Scores templates one at a time for many tasks, in batches for one scorer.

    An async context manager; the scorer is called from threads that live as long as the context: from one, or
    from as many as its ``in_flight`` says.

    Args:
        scorer: What scores.
        max_batch: Most templates a call. Halved, and remembered, when the scorer runs out of memory.
        max_age_s: Longest time, in seconds, that a template waits for others while the scorer is idle.
        queue_size: Most templates waiting for a batch; further callers of ``score`` wait for room.
        grace_s: Longest time, in seconds, that the end of the context waits for a call of the scorer; one
            that takes longer, or any where the context ends by an error, is left behind in its thread.
        on_batch: Called when a batch is worked off.

    Raises:
        ConfigError: The scorer's ``in_flight`` is not a number of batches.
    """

    def __init__(
        self,
        scorer: Scorer,
        *,
        max_batch: int = 32,
        max_age_s: float = 0.005,
        queue_size: int = 256,
        grace_s: float = GRACE_S,
        on_batch: Callable[[Batch], None] | None = None,
    ) -> None:
        if max_batch < 1 or queue_size < 1 or max_age_s < 0:
            raise ValueError("max_batch and queue_size must be at least 1, max_age_s at least 0")
        self._caller = Caller(scorer, max_batch=max_batch)
        self._max_age_s = max_age_s
        self._grace_s = grace_s
        self._on_batch = on_batch
        self._room = asyncio.Semaphore(queue_size)
        self._queue: deque[Job] = deque()
        self._flying: dict[str, Job] = {}
        self._changed = asyncio.Event()
        self._closing = False
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
            # Nobody waits any more for what is being scored when the search is cut short.
            await asyncio.wait({self._work}, timeout=self._grace_s if error is None else 0)
        finally:
            self._work.cancel()
            self._caller.close()
            await asyncio.wait({self._work})
        # Waiters have had this error already: it is raised only where no body would report it.
        if self._death is not None and error is None:
            raise ConsumerError(f"the scoring worker died: {self._death!r}") from self._death

    async def score(self, template: str) -> Verdict:
        """Score one template; equal templates in flight at the same time are scored once.

        Returns:
            Its score, or why it is never scored. A score that is no number is asked for once more, and is a
            rejection then.

        Raises:
            CrashingTemplateError: The scorer fails on this template, and on no other.
            ScoringFailedError: The scorer fails; nothing is known of the template.
            ConsumerError: The consumer is closed or its worker died.
        """
        job = await self._enter(template)
        job.waiters += 1
        try:
            return await asyncio.shield(job.future)
        except asyncio.CancelledError:
            self._forget_if_unwanted(job)
            raise
        finally:
            job.waiters -= 1

    async def _enter(self, template: str) -> Job:
        self._check_alive()
        if template not in self._flying:
            await self._room.acquire()
            # The world may have changed while this task waited for room.
            if self._closing or self._death is not None or template in self._flying:
                self._room.release()
                self._check_alive()
        if (job := self._flying.get(template)) is not None:
            return job
        job = Job(template, asyncio.get_running_loop().create_future(), self._now())
        job.future.add_done_callback(lambda _done: self._land(job))
        self._flying[template] = job
        self._queue.append(job)
        self._changed.set()
        return job

    def _check_alive(self) -> None:
        if self._death is not None:
            raise ConsumerError(f"the scoring worker died: {self._death!r}") from self._death
        if self._closing:
            raise ConsumerError("the consumer is closed")

    def _forget_if_unwanted(self, job: Job) -> None:
        """Take a job out of the queue when its last waiter has gone and its batch has not begun."""
        if job.waiters == 1 and job in self._queue:
            self._queue.remove(job)
            self._room.release()
            self._land(job)

    def _land(self, job: Job) -> None:
        if self._flying.get(job.template) is job:
            del self._flying[job.template]

    async def _run(self) -> None:
        """Serve until closed; the first worker that dies takes the others with it."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._caller.in_flight):
                    group.create_task(self._serve())
        except BaseExceptionGroup as several:
            self._death = several.exceptions[0]
        except BaseException as error:
            if not self._closing:
                self._death = error
            raise
        finally:
            self._fail_the_rest()

    async def _serve(self) -> None:
        while (batch := await self._collect()) is not None:
            began, size = self._now(), len(batch)
            await self._caller.score(batch, lambda: self._closing)
            if self._on_batch is not None:
                self._on_batch(Batch(size, self._now() - began, len(self._queue)))

    async def _collect(self) -> list[Job] | None:
        """Return the next batch, as soon as it is full or its oldest job is of age; None when closing."""
        while not self._closing:
            self._changed.clear()
            if len(self._queue) >= self._caller.max_batch or self._of_age():
                return [self._take() for _ in range(min(len(self._queue), self._caller.max_batch))]
            due = self._queue[0].arrived + self._max_age_s if self._queue else None
            try:
                async with asyncio.timeout_at(due):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return None

    def _of_age(self) -> bool:
        return bool(self._queue) and self._now() >= self._queue[0].arrived + self._max_age_s

    def _take(self) -> Job:
        self._room.release()
        return self._queue.popleft()

    def _fail_the_rest(self) -> None:
        if self._death is None:
            error = ConsumerError("the consumer was closed before this template was scored")
        else:
            error = ConsumerError(f"the scoring worker died: {self._death!r}")
            error.__cause__ = self._death
        for job in list(self._flying.values()):
            job.fail(error)
        while self._queue:
            self._take()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
