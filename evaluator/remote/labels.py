"""Keep what a scorer behind an API answered: labels as JSON, vectors as float32, in one SQLite file.

An answer is in the file before it is used, so a killed run asks for nothing twice. Several threads and
processes may share a file: the first answer to a question counts for all of them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np

from ..database import Database, damaged, translated
from ..errors import StoreCorruptError
from ..files import new_file

Vector: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

Embedded: TypeAlias = Vector | str
"""A vector, or why the endpoint refuses the image or text; empty if an earlier version kept no reason."""

T = TypeVar("T")

FORMAT = 1
"""Raise it with every change of the tables or of what is hashed to a key."""
APPLICATION_ID = 0x70636C62
"""Marks the file as one of ours, in SQLite's header."""
_TABLES = (
    "CREATE TABLE answers (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE vectors (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT}",
)


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

    _file: Database
    _table: str
    _write: Callable[[T], Any]
    _read: Callable[[Any], T]

    def find(self, keys: Sequence[str]) -> dict[str, T]:
        """Return the values of those keys that have one, in a single query."""
        query = f"SELECT key, value FROM {self._table} WHERE key IN (SELECT value FROM json_each(?))"
        rows = self._file.rows(query, [json.dumps(list(keys))]) if keys else []
        if not {key for key, _value in rows} <= set(keys):
            raise damaged(self._file.path, "it gives keys that were not asked for")
        try:
            return {key: self._read(value) for key, value in rows}
        except (TypeError, ValueError, RecursionError) as error:
            raise damaged(self._file.path, error) from error

    def keep(self, values: Mapping[str, T]) -> dict[str, T]:
        """Write values to disk in one transaction; return what is there now: earlier ones stay."""
        rows = [(key, self._write(value)) for key, value in values.items()]
        with self._file.transaction() as connection:
            connection.executemany(f"INSERT OR IGNORE INTO {self._table} VALUES (?, ?)", rows)
        return self.find(list(values))


def _of_embedded(value: Embedded) -> bytes | str:
    return json.dumps(value) if isinstance(value, str) else np.ascontiguousarray(value, "<f4").tobytes()


def _to_embedded(blob: Any) -> Embedded:
    if isinstance(blob, str):
        return str(json.loads(blob))
    if not blob:
        return ""
    vector = np.frombuffer(blob, "<f4")
    if not np.isfinite(vector).all():
        raise ValueError("a vector with a number that is not finite")
    return vector


class LabelStore:
    """The answers in one file, or in memory if ``path`` is None.

    Attributes:
        answers: JSON values.
        vectors: Vectors of images and texts: [E], float32; in place of one, as JSON, why it was refused.

    A write is safe from a kill of the process at any moment. A loss of power may lose the last few seconds,
    but does not damage the file.

    Raises:
        StoreError: The file is damaged, of another program, or cannot be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is not None and not os.path.lexists(path):
            # SQLite has a rollback journal until a file is made.
            with translated(path), new_file(path) as draft, closing(Database(draft)) as file:
                _create(file)
        self._file = Database(path)
        try:
            if path is None:
                _create(self._file)
            self._check(path)
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL"):
                self._file.rows(f"PRAGMA {pragma}")
        except BaseException:
            self._file.close()
            raise
        self.answers: KeptValues[Any] = KeptValues(
            self._file, "answers", partial(json.dumps, allow_nan=False, separators=(",", ":")), json.loads
        )
        self.vectors: KeptValues[Embedded] = KeptValues(self._file, "vectors", _of_embedded, _to_embedded)

    @property
    def path(self) -> Path | None:
        """The file; None in memory."""
        return self._file.path

    def close(self) -> None:
        """Close the file; nothing may be read or written afterwards."""
        self._file.close()

    def damaged(self, why: str) -> StoreCorruptError:
        """Return the error for a file whose content is not what was written."""
        return damaged(self._file.path, why)

    def _check(self, path: Path | None) -> None:
        ((mark,),) = self._file.rows("PRAGMA application_id")
        ((form,),) = self._file.rows("PRAGMA user_version")
        if mark != APPLICATION_ID:
            raise StoreCorruptError(f"{path} is not a file of labels; name another file, or move it away")
        if form != FORMAT:
            raise StoreCorruptError(
                f"{path} has labels in form {form}, and this version reads form {FORMAT}; move it away, and "
                "the labels are asked for again"
            )
        self._file.check_tables("answers", "vectors")


def _create(file: Database) -> None:
    file.rows("PRAGMA journal_mode = WAL")
    with file.transaction() as connection:
        for statement in _TABLES:
            connection.execute(statement)
