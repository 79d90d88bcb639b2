"""Open the SQLite files of runs and labels, which may have been made elsewhere, and name what goes wrong."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from .errors import StoreCorruptError, StoreError, StoreFullError
from .regular_files import irregular

SqlRow: TypeAlias = tuple[Any, ...]

ENDINGS = ("", "-wal", "-shm")
"""What the names of the files of a database in WAL mode end in; all of ours are in this mode."""
INDEX_BYTES = 2**18
"""Free bytes that SQLite may need beside a database to read it."""
WAIT_S = 60.0
"""Seconds that a write waits for other processes."""
_NO_ROOM_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_ROOM_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
_TORN_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def check_database_files(path: Path) -> None:
    """Raise StoreCorruptError if a database, or what lies beside it, cannot be ours; open nothing.

    SQLite deletes the file that a rollback journal names, any file of the user's, when it opens the database.
    """
    for file in (path.with_name(path.name + ending) for ending in ENDINGS):
        if (what := irregular(file)) is not None:
            raise StoreCorruptError(f"{file} is {what}, where a file of the run belongs; move it away")
    journal = path.with_name(f"{path.name}-journal")
    if os.path.lexists(journal):
        raise StoreCorruptError(
            f"{journal} is a rollback journal, which this program never leaves, and which may name files to "
            "delete; nothing was opened: move it away"
        )


@contextmanager
def translated(path: Path | None) -> Iterator[None]:
    """Turn errors of SQLite and the operating system into StoreError or a subclass."""
    try:
        yield
    except UnicodeDecodeError as error:  # SQLite quotes damaged bytes in its messages
        raise damaged(path, error) from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0)
        if code in _NO_ROOM_CODES:
            raise _no_room(path, error) from error
        if code & 0xFF in _TORN_CODES:
            raise damaged(path, error) from error
        if code & 0xFF in _BUSY_CODES:
            raise StoreError(f"{path} is locked by another process; end it, and resume") from error
        if isinstance(error, sqlite3.ProgrammingError):
            raise StoreError(f"{path} is closed: nothing is read or written any more") from error
        if code in (0, sqlite3.SQLITE_ERROR):  # our statements are right, so a table or column is missing
            raise StoreCorruptError(f"{path} is another program's ({error})") from error
        raise StoreError(f"{path} cannot be used ({error}); what was written before is kept") from error
    except OSError as error:
        if error.errno in _NO_ROOM_ERRNOS:
            raise _no_room(path, error) from error
        raise StoreError(f"{path} cannot be used ({error}); what was written before is kept") from error


def damaged(path: Path | None, why: object) -> StoreCorruptError:
    """Return the error for a database whose content is not what was written."""
    return StoreCorruptError(
        f"{path or 'the memory'} is damaged ({why}); restore an earlier copy, or move it away with the files "
        "beside it"
    )


def _no_room(path: Path | None, error: Exception) -> StoreFullError:
    return StoreFullError(f"{path}: cannot write ({error}); everything written before is kept")


class Database:
    """A SQLite file, or one in memory, which several threads may use; every error is a StoreError.

    Args:
        path: The file, made if it is missing; None for memory.
        reads_only: Write nothing. In a folder that cannot be written, or on a full disk, SQLite can neither
            make nor recover the files that it needs beside the database: without a log of writes the
            database is read as it is, otherwise a copy of both.
    """

    def __init__(self, path: Path | None, *, reads_only: bool = False) -> None:
        self.path = path
        self._lock = threading.Lock()
        with translated(path), ExitStack() as stack:
            name: str | Path = ":memory:"
            if path is not None:
                check_database_files(path)
                name = _read_only_uri(path, stack) if reads_only else path
            self._connection = sqlite3.connect(
                name, uri=reads_only, timeout=WAIT_S, isolation_level=None, check_same_thread=False
            )
            stack.callback(self._connection.close)
            self._connection.execute("PRAGMA trusted_schema = OFF")
            self._closing = stack.pop_all()

    def rows(self, query: str, values: Sequence[object] = ()) -> list[SqlRow]:
        """Return all rows of a query."""
        with self._lock, translated(self.path):
            return self._connection.execute(query, values).fetchall()

    def check_tables(self, *names: str) -> None:
        """Raise StoreCorruptError if tables are missing, or compute something: a view may never end."""
        made: dict[str, str] = dict(self.rows("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
        if not all(str(made.get(name)).count("(") == 1 for name in names):
            raise StoreCorruptError(f"{self.path} is another program's: it has no such tables")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection; what is done with it is on the disk afterwards, all or nothing."""
        with self._lock, translated(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                if self._connection.in_transaction:  # a full disk rolls back by itself
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file; nothing may be read or written afterwards."""
        with self._lock, translated(self.path):
            self._closing.close()


def _read_only_uri(path: Path, stack: ExitStack) -> str:
    if os.access(path.parent, os.W_OK) and shutil.disk_usage(path.parent).free >= INDEX_BYTES:
        return f"{path.absolute().as_uri()}?mode=ro"
    log = path.with_name(f"{path.name}-wal")
    if not (log.exists() and log.stat().st_size):
        return f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    for file in (path, log):
        shutil.copyfile(file, folder / file.name)
    return f"{(folder / path.name).as_uri()}?mode=ro"
