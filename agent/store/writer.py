"""The one thread that writes a run's store: in order, durably, together with what waits beside it."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import StoreError
from ..llm.usage import NO_BILL, NOTHING, Bill, Usage
from .disk import TextCache, canonical, translated
from .records import LOOKED_UP

USAGE, RESERVED = "usage", "reserved"


@dataclass(slots=True, eq=False)
class _Job:
    """Rows that appear together or not at all."""

    texts: dict[str, str]
    bill: Bill
    new: str | None
    done: bool = False
    error: StoreError | None = None


class Writer:
    """The writer of rows, which keeps the totals of what was spent.

    A commit waits for the disk, and most of that wait does not depend on how much is written. So all that
    has come while one commit was under way goes into the next (group commit): each of its rows is on the
    disk when the await returns, and each job's rows are there together or not at all. After a commit has
    failed no other is tried, because a later one that succeeded would leave a hole.

    Args:
        cache: Where to.
        folder: Its folder, for messages.
        spent: What was used before.
        clock: Seconds.
        keys: Those of ``LOOKED_UP`` that are there.
    """

    def __init__(
        self, cache: TextCache, folder: Path, spent: Usage, clock: Callable[[], float], keys: set[str]
    ) -> None:
        self._cache = cache
        self._folder = folder
        self._clock = clock
        self._keys = keys
        self._opened = clock()
        self._usage = spent
        self._reserved = NOTHING
        self._failed: StoreError | None = None
        self._waiting: deque[_Job] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    @property
    def usage(self) -> Usage:
        """All that was used, the time up to now included."""
        return replace(self._usage, active_s=self._usage.active_s + self._clock() - self._opened)

    def has(self, key: str) -> bool:
        """Return whether a key that begins as one of ``LOOKED_UP`` is on the disk."""
        return key in self._keys

    async def write(self, rows: Mapping[str, Any], bill: Bill = NO_BILL, *, new: str | None = None) -> None:
        """Write rows and a bill; on the disk when this returns, and not undone by cancelling it.

        Args:
            rows: JSON values by key.
            bill: What to add to the totals.
            new: The key that must not be there yet.

        Raises:
            StoreError: It is there already, or the disk fails.
            TypeError: A value is not made of JSON's types.
            ValueError: A value holds NaN or infinity.
        """
        job = _Job({key: canonical(value) for key, value in rows.items()}, bill, new)
        self._waiting.append(job)
        turn = functools.partial(self._turn, job)
        future = asyncio.get_running_loop().run_in_executor(self._thread, turn)
        # Nobody may be waiting any more; the next write raises the same error.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(future)

    def close(self) -> None:
        """Write the time that has passed, and end the thread; the cache is closed in it."""
        self._waiting.append(job := _Job({}, NO_BILL, new=None))
        # A failure here loses seconds of active time, no reason to fail a run that has ended.
        self._thread.submit(self._turn, job).exception()
        self._thread.submit(self._cache.close)
        self._thread.shutdown()

    def _turn(self, job: _Job) -> None:
        if not job.done:
            batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
            self._commit(batch)
        if job.error is not None:
            raise job.error

    def _commit(self, batch: list[_Job]) -> None:
        texts: dict[str, str] = {}
        usage, reserved = self._usage, self._reserved
        try:
            if self._failed is not None:
                raise self._failed
            with translated(self._folder):
                for job in batch:
                    if job.new is not None and (job.new in texts or job.new in self._keys):
                        job.error = StoreError(f"{job.new} is in the journal already")
                        continue
                    texts |= job.texts
                    usage, reserved = usage.plus(job.bill.usage), reserved.minus(job.bill.reserved)
                written = replace(usage, active_s=usage.active_s + self._clock() - self._opened)
                texts |= {USAGE: canonical(asdict(written)), RESERVED: canonical(asdict(reserved))}
                self._cache.write_texts(texts)
            self._keys.update(key for key in texts if key.startswith(LOOKED_UP))
            self._usage, self._reserved = usage, reserved
        except BaseException as error:  # noqa: BLE001 - raised by every turn that shares this commit
            self._failed = error if isinstance(error, StoreError) else self._unforeseen(error)
            for job in batch:
                job.error = self._failed
        finally:
            for job in batch:
                job.done = True

    def _unforeseen(self, cause: BaseException) -> StoreError:
        why = f"{type(cause).__name__}: {cause}"
        error = StoreError(f"{self._folder}: cannot write ({why}); everything written before is kept")
        error.__cause__ = cause
        return error
