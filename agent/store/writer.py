"""The one thread that writes a run's store: in order, durably, in group commits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from ..errors import StoreError, StoreGoneError
from ..prices import NO_BILL, NOTHING, Bill, Spent
from .disk import FILE_NAME, TextCache, canonical, translated
from .lock import LOCK_NAME
from .records import LOOKED_UP, row_text

USAGE, RESERVED = "usage", "reserved"
Account: TypeAlias = Literal["llm", "scorer"]
"""Who is paid."""
ACCOUNTS: Mapping[Account, tuple[str, str]] = MappingProxyType(
    {"llm": (USAGE, RESERVED), "scorer": ("scorer_usage", "scorer_reserved")}
)
"""Keys of the rows with what was used and what is reserved, by account; time counts in the first one."""


@dataclass(slots=True, eq=False)
class _Job:
    """Rows that appear together or not at all, and the future that waits for them."""

    rows: Mapping[str, Any]
    bill: Bill
    new: str | None
    account: Account = "llm"
    written: asyncio.Future[None] | None = None
    error: Exception | None = None

    def resolve(self) -> None:
        # A cancelled future is done already.
        if self.written is None or self.written.done():
            return
        if self.error is None:
            self.written.set_result(None)
        else:
            self.written.set_exception(self.error)

    def resolve_from_thread(self) -> None:
        """Resolve the future from a thread, if its loop still runs."""
        if self.written is not None:
            with suppress(RuntimeError):  # it was closed
                self.written.get_loop().call_soon_threadsafe(self.resolve)


class Writer:
    """Write rows, and keep the totals of what was spent.

    Most of a commit's wait for the disk does not depend on how much is written. So all that comes in one pass
    of the loop, or while a commit is under way, goes into the next (group commit): each job's rows are
    written together or not at all, and are on the disk when its await returns. After a failed commit no other
    is tried, because a later one that succeeded would leave a hole.

    ``clock`` returns seconds; ``keys`` are those of ``LOOKED_UP`` that are on disk.
    """

    def __init__(
        self,
        cache: TextCache,
        folder: Path,
        spent: Mapping[Account, Spent],
        clock: Callable[[], float],
        keys: set[str],
    ) -> None:
        self._cache = cache
        self._folder = folder
        self._clock = clock
        self._keys = keys
        self._opened = clock()
        self._files = _files_at(folder)
        self._usage = dict(spent)
        self._reserved = dict.fromkeys(ACCOUNTS, NOTHING)
        self._failed: StoreError | None = None
        self._waiting: deque[_Job] = deque()
        self._serving: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    @property
    def usage(self) -> Spent:
        return self._timed(self._usage["llm"])

    @property
    def scorer_usage(self) -> Spent:
        return self._usage["scorer"]

    def _timed(self, usage: Spent) -> Spent:
        return replace(usage, active_s=usage.active_s + self._clock() - self._opened)

    def restart_clock(self) -> None:
        """Count active time from now on, and none of this session's so far."""
        self._opened = self._clock()

    def has(self, key: str) -> bool:
        """Return whether a key is on the disk; only for keys that begin as one of ``LOOKED_UP``."""
        return key in self._keys

    async def write(
        self,
        rows: Mapping[str, Any],
        bill: Bill = NO_BILL,
        *,
        new: str | None = None,
        account: Account = "llm",
    ) -> None:
        """Write rows and a bill; on the disk when this returns, and not undone by cancelling it.

        ``rows`` are JSON values, or stored answers and scores, by key; they must not change until this
        returns, as the thread turns them into text. The key ``new`` must not exist yet.

        Raises:
            StoreError: ``new`` exists, the disk fails, or the writer is closed.
            TypeError: A value is not made of JSON's types.
            ValueError: A value holds NaN or infinity.
        """
        if self._closed:
            raise StoreError(f"{self._folder}: the run was let go, nothing is written any more")
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()
        self._waiting.append(_Job(rows, bill, new, account, written))
        if self._serving is not loop:
            self._serving = loop
            loop.call_soon(self._begin, loop)
        await written

    def close(self) -> None:
        """Write what waits and the elapsed time, end the thread, and close the cache in it.

        This blocks for the disk: call it in a thread, once nobody writes any more.
        """
        self._closed = True
        self._waiting.append(_Job({}, NO_BILL, new=None))
        # A failure here loses seconds of active time at most, no reason to fail a run that has ended.
        for job in self._thread.submit(self._commit_all).result():
            job.resolve_from_thread()
        self._thread.submit(self._cache.close)
        self._thread.shutdown()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the waiting jobs written, unless ``close`` does it."""
        if self._closed or not self._waiting:
            self._serving = None
            return
        # The loop's own way into a thread: a loop with virtual time sees that there is work.
        batch = loop.run_in_executor(self._thread, self._commit_all)
        batch.add_done_callback(partial(self._end, loop))

    def _end(self, loop: asyncio.AbstractEventLoop, batch: asyncio.Future[list[_Job]]) -> None:
        for job in batch.result():
            job.resolve()
        self._begin(loop)

    def _commit_all(self) -> list[_Job]:
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        self._commit(batch)
        return batch

    def _commit(self, batch: list[_Job]) -> None:
        texts: dict[str, str] = {}
        usage, reserved = dict(self._usage), dict(self._reserved)
        try:
            if self._failed is not None:
                raise self._failed
            with translated(self._folder):
                for job in batch:
                    if (error := self._add(job, texts)) is not None:
                        job.error = error
                        continue
                    usage[job.account] = usage[job.account].plus(job.bill.usage)
                    reserved[job.account] = reserved[job.account].minus(job.bill.reserved)
                for account in {"llm", *(job.account for job in batch)}:
                    used_row, reserved_row = ACCOUNTS[account]
                    written = self._timed(usage[account]) if account == "llm" else usage[account]
                    texts[used_row] = canonical(asdict(written))
                    texts[reserved_row] = canonical(asdict(reserved[account]))
                self._cache.write(texts)
                # Open files outlive their folder: without this look the run would go on, and pay.
                if _files_at(self._folder) != self._files:
                    raise StoreGoneError(
                        f"{self._folder.parent} was removed, moved or replaced while the run was live: "
                        "the run stopped"
                    )
            self._keys.update(key for key in texts if key.startswith(LOOKED_UP))
            self._usage, self._reserved = usage, reserved
        except BaseException as error:  # noqa: BLE001 - raised in every job of this commit
            self._failed = error if isinstance(error, StoreError) else self._unforeseen(error)
            for job in batch:
                job.error = self._failed

    def _add(self, job: _Job, texts: dict[str, str]) -> Exception | None:
        """Add the rows of a job to those of its commit, or return why that is impossible."""
        if job.new is not None and (job.new in texts or job.new in self._keys):
            return StoreError(f"{job.new} is in the store already")
        try:
            texts |= {key: row_text(value) for key, value in job.rows.items()}
        except (TypeError, ValueError, RecursionError) as error:
            return error
        return None

    def _unforeseen(self, cause: BaseException) -> StoreError:
        why = f"{type(cause).__name__}: {cause}"
        error = StoreError(f"{self._folder}: cannot write ({why}); everything written before is kept")
        error.__cause__ = cause
        return error


def _files_at(folder: Path) -> list[tuple[int, int]] | None:
    """Return which files the paths of database and lock name; None if one is missing."""
    try:
        files = [(folder / name).stat() for name in (FILE_NAME, LOCK_NAME)]
    except OSError:
        return None
    return [(file.st_dev, file.st_ino) for file in files]
