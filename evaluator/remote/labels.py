"""Keep what a scorer behind an API answered: labels as JSON, vectors as float32, in one SQLite file.

An answer is in the file before it is used, so a killed run asks for nothing twice. Several threads and
processes may share a file: the first answer to a question counts for all of them.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np

from ..errors import DataError

Vector: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

T = TypeVar("T")

FORMAT = 1
"""Raise it with every change of the tables or of what is hashed to a key."""
APPLICATION_ID = 0x70636C62
"""Marks the file as one of ours, in SQLite's header."""
WAIT_S = 60.0
"""Seconds that a write waits for other processes."""
_TABLES = (
    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
)
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class KeyMaker:
    """Makes the keys of one prompt's labels: hashes of all that decides an answer.

    Args:
        shared: JSON values that all these questions share: protocol, model, parameters, the prompt as it is
            sent. No address: the same model elsewhere gives the same labels.
    """

    def __init__(self, shared: Mapping[str, Any]) -> None:
        text = json.dumps([FORMAT, shared], sort_keys=True, ensure_ascii=False)
        self._start = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16)

    def key(self, content: str) -> str:
        """Return the key of one question; ``content`` is an image's hash or a text."""
        digest = self._start.copy()
        digest.update(f"\0{content}".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class KeptValues(Generic[T]):
    """One table of a ``LabelStore``: values by key, none of which ever changes."""

    _store: LabelStore
    _table: str
    _write: Callable[[T], Any]
    _read: Callable[[Any], T]

    def find(self, keys: Sequence[str]) -> dict[str, T]:
        """Return the values of those keys that have one, in a single query."""
        rows = self._store.rows(self._table, keys)
        try:
            return {key: self._read(value) for key, value in rows}
        except (TypeError, ValueError, RecursionError) as error:
            raise self._store.damaged(error) from error

    def keep(self, values: Mapping[str, T]) -> dict[str, T]:
        """Write values to disk in one transaction; return what is there now: earlier ones stay."""
        self._store.add(self._table, {key: self._write(value) for key, value in values.items()})
        return self.find(list(values))


def _to_json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _to_bytes(vector: Vector) -> bytes:
    return np.ascontiguousarray(vector, "<f4").tobytes()


def _to_vector(blob: Any) -> Vector:
    vector = np.frombuffer(blob, "<f4")
    if not np.isfinite(vector).all():
        raise ValueError("a vector with a number that is not finite")
    return vector


class LabelStore:
    """The answers in one file, or in memory if ``path`` is None.

    Attributes:
        answers: JSON values.
        vectors: Vectors of images and texts: [E], float32; without numbers where the endpoint refused.

    A write is safe from a kill of the process at any moment. A loss of power may lose the last few seconds,
    but does not damage the file.

    Raises:
        DataError: The file is damaged, of another program, or cannot be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        with self._blamed():
            self._file = sqlite3.connect(
                ":memory:" if path is None else path,
                isolation_level=None,
                timeout=WAIT_S,
                check_same_thread=False,
            )
        try:
            with self._lock, self._blamed():
                self._open()
        except BaseException:
            self._file.close()
            raise
        self.answers: KeptValues[Any] = KeptValues(self, "answers", _to_json, json.loads)
        self.vectors: KeptValues[Vector] = KeptValues(self, "vectors", _to_bytes, _to_vector)

    def close(self) -> None:
        """Close the file; nothing may be read or written afterwards."""
        with self._lock, self._blamed():
            self._file.close()

    def _open(self) -> None:
        run = self._file.execute
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = NORMAL")
        with self._transaction():  # another process may be making the tables
            (mark,), (form,) = run("PRAGMA application_id").fetchone(), run("PRAGMA user_version").fetchone()
            (tables,) = run("SELECT count(*) FROM sqlite_master").fetchone()
            if tables and mark != APPLICATION_ID:
                raise DataError(f"{self._path} is not a file of labels; name another file, or move it away")
            if tables and form != FORMAT:
                raise DataError(
                    f"{self._path} has labels in form {form}, and this version reads form {FORMAT}; move it "
                    "away, and the labels are asked for again"
                )
            for table in _TABLES:
                run(table)
            run(f"PRAGMA application_id = {APPLICATION_ID}")
            run(f"PRAGMA user_version = {FORMAT}")

    def rows(self, table: str, keys: Sequence[str]) -> list[tuple[str, Any]]:
        """Return the keys of a table that have a value, with it as it is written."""
        if not keys:
            return []
        query = f"SELECT key, value FROM {table} WHERE key IN (SELECT value FROM json_each(?))"
        with self._lock, self._blamed():
            rows = self._file.execute(query, [json.dumps(list(keys))]).fetchall()
        if not {key for key, _value in rows} <= set(keys):
            raise self.damaged("it gives keys that were not asked for")
        return rows

    def add(self, table: str, values: Mapping[str, Any]) -> None:
        """Write the values of keys that have none, on disk when it returns."""
        with self._lock, self._blamed(), self._transaction():
            self._file.executemany(f"INSERT OR IGNORE INTO {table} VALUES (?, ?)", values.items())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._file.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")

    def damaged(self, why: object) -> DataError:
        """Return the error for a file whose content is not what was written."""
        return DataError(
            f"the labels in {self._path or 'memory'} are damaged ({why}); move the file away, with those "
            "beside it that end in -wal and -shm, and the labels are asked for again"
        )

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the message may quote damaged bytes
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _FULL:
                raise DataError(
                    f"labels cannot be written to {self._path} ({error}); make room or give write access, "
                    "and resume: what was answered before is kept"
                ) from error
            if code in _BUSY:
                raise DataError(
                    f"{self._path} has been locked by another process for {WAIT_S:g} s; end that process, "
                    "and resume"
                ) from error
            raise self.damaged(error) from error
