"""diskcache made safe for a run: JSON text only, no eviction, every commit on the disk.

diskcache's ``Disk`` and ``JSONDisk`` unpickle what they find (CVE-2025-69872), and its defaults silently drop
rows above 1 GiB. Here a row that is not plain text is refused on both read and write.
"""

from __future__ import annotations

import contextlib
import errno
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import diskcache

from ..errors import StoreCorruptError, StoreError, StoreFullError

FILE_NAME: str = diskcache.core.DBNAME
DATABASE_FILES: tuple[str, ...] = tuple(f"{FILE_NAME}{ending}" for ending in ("", "-wal", "-shm", "-journal"))
"""The database and the files that SQLite has beside it."""
SYNCHRONOUS_NORMAL, SYNCHRONOUS_FULL = 1, 2
_SETTINGS: dict[str, object] = {
    **diskcache.DEFAULT_SETTINGS,
    "eviction_policy": "none",
    "cull_limit": 0,
    "size_limit": 2**62,
    # diskcache rewrites some thirty settings one by one when it opens; only later rows wait for the disk.
    "sqlite_synchronous": SYNCHRONOUS_NORMAL,
}
_NO_ROOM_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_ROOM_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
_TABLES = {"Cache", "Settings"}
_OBJECTS = _TABLES | {"Cache_key_raw", "Cache_expire_time", "Settings_count_insert", "Settings_count_delete"}
_OBJECTS |= {"Settings_size_insert", "Settings_size_update", "Settings_size_delete"}
_UNSAFE_ROWS = (
    "SELECT rowid, substr(CAST(key AS TEXT), 1, 60) FROM Cache WHERE mode IS NOT ? OR raw IS NOT 1"
    " OR filename IS NOT NULL OR typeof(value) IS NOT 'text' OR typeof(key) IS NOT 'text' LIMIT 3"
)


def canonical(value: object) -> str:
    """Return the canonical text of a JSON value; NaN is a ValueError, another type a TypeError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


class TextDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """Text keys and text values inside the database; anything else is an error, never a pickle."""

    def put(self, key: object) -> tuple[str, Literal[True]]:
        if not isinstance(key, str):
            raise TypeError(f"a store's keys are text, not {type(key).__name__}")
        return key, True

    def get(self, key: object, raw: object) -> str:
        if not isinstance(key, str) or not raw:
            raise StoreCorruptError(f"{self._directory}: a row's key is not text; it was not loaded")
        return key

    def store(self, value: object, read: object, key: object = None) -> tuple[int, int, None, str]:
        """Return the value as it is stored: beside its key, so that one transaction holds both."""
        if not isinstance(value, str) or read:
            raise TypeError(f"a store's values are JSON text, not {type(value).__name__}")
        return 0, diskcache.core.MODE_RAW, None, value

    def fetch(self, mode: object, filename: object, value: object, read: object) -> str:
        if mode != diskcache.core.MODE_RAW or filename is not None or not isinstance(value, str):
            kind = "a pickle" if mode == diskcache.core.MODE_PICKLE else "not JSON text"
            raise StoreCorruptError(f"{self._directory}: a row holds {kind}; it was not loaded")
        return value


class TextCache(diskcache.Cache):  # type: ignore[misc]  # diskcache has no types
    """A cache of JSON texts without eviction. It waits ``timeout`` seconds for other processes."""

    def __init__(self, directory: Path, *, timeout: float = 60.0) -> None:
        super().__init__(str(directory), timeout=timeout, disk=TextDisk, **_SETTINGS)
        self.reset("sqlite_synchronous", SYNCHRONOUS_FULL)

    def write(self, texts: dict[str, str]) -> None:
        """Write rows of JSON texts in one transaction: all are on the disk afterwards, or none."""
        with self.transact():
            for key, text in texts.items():
                self.set(key, text)

    def keys(self, *prefixes: str) -> set[str]:
        """Return every key that begins with one of some ASCII prefixes."""
        return _keys(self._sql, prefixes)

    def rows(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield every (key, JSON text) whose key begins with an ASCII prefix, in key order."""
        query = "SELECT key, value FROM Cache WHERE key >= ? AND key < ? ORDER BY key"
        yield from self._sql(query, (prefix, _end(prefix)))


class TextView:
    """The rows of a cache that another process may write: takes no lock and writes nothing.

    Rows are read one by one, so that no reader keeps the writer waiting.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / FILE_NAME
        self._database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)
        try:
            self._database.execute("PRAGMA trusted_schema = OFF")
            check_tables(self._database, path)
        except BaseException:
            self._database.close()
            raise
        self._directory = directory

    def get(self, key: str) -> str | None:
        """Return the JSON text of a key, None if it is missing."""
        row = self._database.execute("SELECT value FROM Cache WHERE key = ?", (key,)).fetchone()
        if row is not None and not isinstance(row[0], str):
            raise StoreCorruptError(f"{self._directory}: a row holds no JSON text; it was not loaded")
        return None if row is None else str(row[0])

    def keys(self, *prefixes: str) -> set[str]:
        """Return every key that begins with one of some ASCII prefixes."""
        return _keys(self._database.execute, prefixes)

    def close(self) -> None:
        self._database.close()


def _keys(execute: Callable[..., Iterable[tuple[str]]], prefixes: Sequence[str]) -> set[str]:
    query = "SELECT key FROM Cache WHERE key >= ? AND key < ?"
    return {str(key) for prefix in prefixes for (key,) in execute(query, (prefix, _end(prefix)))}


def _end(prefix: str) -> str:
    """Return the first text after all that begin with a prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


@contextlib.contextmanager
def translated(directory: Path) -> Iterator[None]:
    """Turn errors of SQLite, diskcache and the operating system into StoreError or a subclass."""
    try:
        yield
    except diskcache.Timeout as error:
        raise StoreError(f"{directory}: another process holds the store") from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None) or 0
        if code in _NO_ROOM_CODES:
            raise StoreFullError(_no_room(directory, error)) from error
        if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise StoreCorruptError(f"{directory / FILE_NAME} is torn or not a database ({error})") from error
        if code == sqlite3.SQLITE_ERROR:  # our statements are right, so a table or column is missing
            raise StoreCorruptError(f"{directory / FILE_NAME} is another program's ({error})") from error
        raise StoreError(f"{directory}: the store cannot be used ({error})") from error
    except OSError as error:
        if error.errno in _NO_ROOM_ERRNOS:
            raise StoreFullError(_no_room(directory, error)) from error
        raise StoreError(f"{directory}: the store cannot be used ({error})") from error


def inspect(directory: Path) -> None:
    """Check a database before diskcache opens it, without loading anything from it.

    Raises:
        StoreCorruptError: It is torn, another program's, or holds a row that is not JSON text.
    """
    path = directory / FILE_NAME
    with translated(directory), contextlib.closing(sqlite3.connect(path, timeout=60)) as database:
        database.text_factory = lambda raw: raw.decode("utf-8", "replace")
        database.execute("PRAGMA trusted_schema = OFF")
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StoreCorruptError(f"{path} is torn: {verdict}")
        check_tables(database, path)
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        if strange := sorted(name for name in names - _OBJECTS if not name.startswith("sqlite_")):
            raise StoreCorruptError(f"{path} is another program's: {', '.join(strange)}")
        settings = {name for (name,) in database.execute("SELECT key FROM Settings")}
        if odd := sorted(settings - {*_SETTINGS, *diskcache.core.METADATA}):
            raise StoreCorruptError(f"{path} has settings that are not ours: {', '.join(map(str, odd))}")
        unsafe = database.execute(_UNSAFE_ROWS, (diskcache.core.MODE_RAW,)).fetchall()
    if unsafe:
        rows = ", ".join(f"row {number} ({key!r})" for number, key in unsafe)
        raise StoreCorruptError(
            f"{path} holds a pickle or a file where JSON belongs: {rows}; nothing was loaded"
        )


def check_tables(database: sqlite3.Connection, path: Path) -> None:
    """Raise StoreCorruptError if the tables are missing, or compute something: a view may never end."""
    made = dict(database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    if not all(str(made.get(name)).count("(") == 1 for name in _TABLES):
        raise StoreCorruptError(f"{path} is another program's: it has no store in it")


def _no_room(directory: Path, error: Exception) -> str:
    return f"{directory}: cannot write ({error}); everything written before is kept"
