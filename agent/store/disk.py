"""A run's database: diskcache made safe (JSON text only, no eviction), and the one thread that writes it.

diskcache's ``Disk`` and ``JSONDisk`` unpickle what they find (CVE-2025-69872), and its defaults silently drop
rows above 1 GiB. Here a row that is not plain text is refused on both read and write.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import diskcache

from ...evaluator.database import WAIT_S, Database, damaged, translated
from ...evaluator.errors import StoreCorruptError, StoreError, StoreFullError
from ...evaluator.threads import outliving_its_waiter
from ..errors import StoreGoneError
from ..prices import NO_BILL, NOTHING, Bill, Spent
from .lock import LOCK_NAME
from .records import canonical, row_text

FILE_NAME: str = diskcache.core.DBNAME
SYNCHRONOUS_NORMAL, SYNCHRONOUS_FULL = 1, 2
_SETTINGS: dict[str, object] = {
    **diskcache.DEFAULT_SETTINGS,
    "eviction_policy": "none",
    "cull_limit": 0,
    "size_limit": 2**62,
    # A text of any length lies beside its key, so that one transaction holds both.
    "disk_min_file_size": 2**62,
    # diskcache rewrites some thirty settings one by one when it opens; only later rows wait for the disk.
    "sqlite_synchronous": SYNCHRONOUS_NORMAL,
}
LEAST_FREE_BYTES = 16 * 2**20
"""Free bytes below which nothing more is paid for: the answers in flight need room too."""
LOOK_EVERY_S = 1.0
"""Asking how full the disk is may keep the event loop waiting."""
_OBJECTS = {"Cache", "Settings", "Cache_key_raw", "Cache_expire_time"}
_OBJECTS |= {f"Settings_{name}" for name in ("count_insert", "count_delete", "size_insert")}
_OBJECTS |= {"Settings_size_update", "Settings_size_delete"}
_UNSAFE_ROWS = (
    "SELECT rowid FROM Cache WHERE mode IS NOT ? OR raw IS NOT 1"
    " OR filename IS NOT NULL OR typeof(value) IS NOT 'text' OR typeof(key) IS NOT 'text' LIMIT 3"
)
USAGE = "usage"
Account: TypeAlias = Literal["llm", "scorer"]
"""Who is paid."""
ACCOUNTS: Mapping[Account, tuple[str, str]] = {
    "llm": (USAGE, "reserved"),
    "scorer": ("scorer_usage", "scorer_reserved"),
}
"""Keys of the rows with what was used and what is reserved, by account; time counts in the first one."""


class TextWriter:
    """Writes JSON texts with diskcache, which keeps a text as it is; every row is read by ``StoredTexts``.

    A thread that wrote closes it too: each has a connection of its own.
    """

    def __init__(self, directory: Path) -> None:
        self.cache = diskcache.Cache(str(directory), timeout=WAIT_S, **_SETTINGS)
        self.cache.reset("sqlite_synchronous", SYNCHRONOUS_FULL)

    def write(self, texts: Mapping[str, str]) -> None:
        """Write rows in one transaction: all are on the disk afterwards, or none."""
        try:
            with self.cache.transact():
                for key, text in texts.items():
                    self.cache.set(key, text)
        except diskcache.Timeout as error:
            raise StoreError(f"{self.cache.directory} is locked by another process; end it") from error

    def close(self) -> None:
        self.cache.close()


class StoredTexts:
    """The rows of a store, read without unpickling anything.

    Args:
        reads_only: Another process may write it, and nothing is checked but its tables.

    Raises:
        StoreCorruptError: It is torn, another program's, or has a row that is not plain text.
    """

    def __init__(self, folder: Path, *, reads_only: bool = False) -> None:
        self._database = Database(folder / FILE_NAME, reads_only=reads_only)
        try:
            self._database.check_tables("Cache", "Settings")
            if not reads_only:
                self._inspect()
        except BaseException:
            self._database.close()
            raise

    def get(self, key: str) -> str | None:
        """Return the JSON text of a key, None if it is missing."""
        rows = self._database.rows("SELECT value FROM Cache WHERE key = ?", (key,))
        if rows and not isinstance(rows[0][0], str):
            raise StoreCorruptError(f"{self._database.path}: a row holds a pickle; it was not loaded")
        return rows[0][0] if rows else None

    def keys(self, *prefixes: str) -> set[str]:
        """Return every key that begins with one of some ASCII prefixes."""
        query = "SELECT key FROM Cache WHERE key >= ? AND key < ?"
        ends = [(prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)) for prefix in prefixes]
        return {str(key) for both in ends for (key,) in self._database.rows(query, both)}

    def close(self) -> None:
        self._database.close()

    def _inspect(self) -> None:
        """Check all of a database before diskcache opens it, without loading anything from it."""
        path, rows = self._database.path, self._database.rows
        ((verdict,),) = rows("PRAGMA quick_check(1)")
        if verdict != "ok":
            raise damaged(path, verdict)
        names = {name for (name,) in rows("SELECT name FROM sqlite_master")}
        if strange := sorted(name for name in names - _OBJECTS if not name.startswith("sqlite_")):
            raise StoreCorruptError(f"{path} is another program's: {', '.join(strange)}")
        settings = {name for (name,) in rows("SELECT key FROM Settings")}
        if odd := sorted(map(str, settings - {*_SETTINGS, *diskcache.core.METADATA})):
            raise StoreCorruptError(f"{path} has settings that are not ours: {', '.join(odd)}")
        if unsafe := rows(_UNSAFE_ROWS, (diskcache.core.MODE_RAW,)):
            numbers = ", ".join(str(number) for (number,) in unsafe)
            raise StoreCorruptError(
                f"{path} holds a pickle or a file where JSON belongs: rows {numbers}; nothing was loaded"
            )


@dataclass(slots=True, eq=False)
class _Job:
    """Rows that appear together or not at all, and the future of who waits for them."""

    rows: Mapping[str, Any]
    bill: Bill
    new: str | None
    account: Account = "llm"
    written: Future[None] = field(default_factory=Future)


class Writer:
    """Write rows, and keep the totals of what was spent.

    Most of a commit's wait for the disk does not depend on how much is written. So all that comes in one pass
    of the loop, or while a commit is under way, goes into the next (group commit): each job's rows are
    written together or not at all, and are on the disk when its await returns. After a failed commit no other
    is tried, because a later one that succeeded would leave a hole.

    The ``Budget`` counts the same bills in memory, to hold this process to its limits. The totals here are
    those on disk, with which a resumed run begins; the result shows them.

    ``clock`` returns seconds.
    """

    def __init__(
        self,
        texts: TextWriter,
        folder: Path,
        spent: Mapping[Account, Spent],
        clock: Callable[[], float],
    ) -> None:
        self._texts = texts
        self._folder = folder
        self._clock = clock
        self._opened = clock()
        self._files = _files_at(folder)
        self._usage = dict(spent)
        self._reserved = dict.fromkeys(ACCOUNTS, NOTHING)
        self._free, self._looked = LEAST_FREE_BYTES, float("-inf")
        self._failed: StoreError | None = None
        self._waiting: deque[_Job] = deque()
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

    def check_room(self) -> None:
        """Raise StoreFullError if another answer may not fit on the disk."""
        if time.monotonic() - self._looked > LOOK_EVERY_S:
            self._looked = time.monotonic()
            with contextlib.suppress(OSError):  # the next write says what is wrong
                self._free = shutil.disk_usage(self._folder).free
        if self._free < LEAST_FREE_BYTES:
            raise StoreFullError(
                f"{self._folder}: the disk is full: {self._free / 1e6:.1f} MB are free, and an answer is "
                f"requested only with {LEAST_FREE_BYTES / 1e6:.0f} MB, so that it can be kept"
            )

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
        job = _Job(rows, bill, new, account)
        self._waiting.append(job)
        loop = asyncio.get_running_loop()
        loop.call_soon(self._begin, loop)  # all that comes in this pass is there by then
        await outliving_its_waiter(asyncio.wrap_future(job.written))

    def write_now(self, texts: Mapping[str, str]) -> None:
        """Write texts before anything else is written; they are on the disk when this returns."""
        with translated(self._folder):
            self._thread.submit(self._texts.write, texts).result()

    def close(self) -> None:
        """Write what waits and the elapsed time, end the thread, and close the cache in it.

        This blocks for the disk: call it in a thread, once nobody writes any more.
        """
        self._closed = True
        self._waiting.append(_Job({}, NO_BILL, new=None))
        # A failure here loses seconds of active time at most, no reason to fail a run that has ended.
        self._thread.submit(self._commit_waiting).result()
        self._thread.submit(self._texts.close)
        self._thread.shutdown()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the waiting jobs written, unless an earlier call or ``close`` does it."""
        if self._waiting and not self._closed:
            # The loop's own way into a thread: a loop with virtual time sees that there is work.
            loop.run_in_executor(self._thread, self._commit_waiting)

    def _commit_waiting(self) -> None:
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not batch:  # an earlier commit had them
            return
        try:
            accepted = self._commit(batch)
        except BaseException as error:  # noqa: BLE001 - raised in every job of this commit
            self._failed = error if isinstance(error, StoreError) else self._unforeseen(error)
            for job in batch:
                if not job.written.done():
                    job.written.set_exception(self._failed)
            return
        for job in accepted:
            job.written.set_result(None)

    def _commit(self, batch: list[_Job]) -> list[_Job]:
        """Write jobs in one transaction; return those whose rows could be taken, the others have an error."""
        if self._failed is not None:
            raise self._failed
        texts: dict[str, str] = {}
        accepted: list[_Job] = []
        usage, reserved = dict(self._usage), dict(self._reserved)
        for job in batch:
            try:
                self._add(job, texts)
            except (StoreError, TypeError, ValueError, RecursionError) as error:
                job.written.set_exception(error)
                continue
            accepted.append(job)
            usage[job.account] = usage[job.account].plus(job.bill.usage)
            reserved[job.account] = reserved[job.account].minus(job.bill.reserved)
        for account in {"llm", *(job.account for job in batch)}:
            used_row, reserved_row = ACCOUNTS[account]
            written = self._timed(usage[account]) if account == "llm" else usage[account]
            texts[used_row] = canonical(asdict(written))
            texts[reserved_row] = canonical(asdict(reserved[account]))
        with translated(self._folder):
            self._texts.write(texts)
        # Open files outlive their folder: without this look the run would go on, and pay.
        if _files_at(self._folder) != self._files:
            raise StoreGoneError(
                f"{self._folder.parent} was removed, moved or replaced while the run was live: it stopped"
            )
        self._usage, self._reserved = usage, reserved
        return accepted

    def _add(self, job: _Job, texts: dict[str, str]) -> None:
        """Add the rows of a job to those of its commit, all or none of them."""
        if job.new is not None and (job.new in texts or job.new in self._texts.cache):
            raise StoreError(f"{job.new} is in the store already")
        texts |= {key: row_text(value) for key, value in job.rows.items()}

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
