"""Read a run's store while another process may write it: takes no lock and writes nothing."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from ..errors import StoreCorruptError, StoreMissingError
from ..llm.chat import ChatAnswer
from ..position import NAMES, Position
from .disk import DATABASE_FILES, FILE_NAME, check_tables, parse, translated
from .lock import check_regular
from .manifest import MANIFEST, check_manifest
from .records import ANSWER, MESSAGE, SKIP, StoredAnswer, answer_key, answer_position, asked_key, read_row

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What was asked at a position, and the outcome.

    ``messages`` is None if the request was not stored, or no answer came; ``skipped`` says why none came.
    """

    position: Position
    messages: tuple[dict[str, str], ...] | None = None
    answer: ChatAnswer | None = None
    skipped: str | None = None


class Look:
    """The stored data of a run, read only; a context manager.

    Raises:
        StoreMissingError: There is no run in the folder.
        StoreVersionError: Another version of the program made it.
        StoreCorruptError: It is torn, or foreign.
    """

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / "store"
        path = self._folder / FILE_NAME
        if not path.is_file():
            raise StoreMissingError(
                f"{run_dir} holds no run: there is no {path.parent.name}/{FILE_NAME} in it"
            )
        check_regular(self._folder, *DATABASE_FILES)
        with translated(self._folder), contextlib.ExitStack() as if_it_fails:
            self._database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)
            if_it_fails.callback(self._database.close)
            self._database.execute("PRAGMA trusted_schema = OFF")
            check_tables(self._database, path)
            self._manifest = check_manifest(self._value(MANIFEST), run_dir)
            if_it_fails.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What the run was created with."""
        return self._manifest

    def exchanges(self) -> Iterator[Exchange]:
        """Yield what was asked and answered, or skipped, in the order of positions; class names come last."""
        places = [(answer_position(key), "") for key in self._keys(ANSWER)]
        places += [(_skip_position(key), key) for key in self._keys(SKIP)]
        for position, skip in sorted(places, key=lambda place: (place[0].restart == NAMES, place)):
            yield self._skipped(position, skip) if skip else self._answered(position)

    def _answered(self, position: Position) -> Exchange:
        stored = self._row(answer_key(position), StoredAnswer.from_json)
        hashes = self._row(asked_key(position), _texts)
        messages = None
        if hashes is not None:
            rows = [self._row(MESSAGE + one, _message) for one in hashes]
            messages = tuple(row for row in rows if row is not None)
        return Exchange(
            position=position, messages=messages, answer=None if stored is None else stored.answer
        )

    def _skipped(self, position: Position, key: str) -> Exchange:
        return Exchange(position=position, skipped=self._row(key, lambda row: str(row["reason"])))

    def _keys(self, prefix: str) -> list[str]:
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        with translated(self._folder):
            rows = self._database.execute(
                "SELECT key FROM Cache WHERE key >= ? AND key < ?", (prefix, end)
            ).fetchall()
        return [str(key) for (key,) in rows]

    def _row(self, key: str, read: Callable[[Any], T]) -> T | None:
        row = self._value(key)
        return None if row is None else read_row(self._folder, key, read, row)

    def _value(self, key: str) -> Any:
        """Return a row's JSON value; read one by one, so that no reader keeps the writer waiting."""
        with translated(self._folder):
            row = self._database.execute("SELECT value FROM Cache WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        if not isinstance(row[0], str):
            raise StoreCorruptError(f"{self._folder}: a row holds no JSON text; it was not loaded")
        return parse(row[0], key)


def _texts(row: Any) -> tuple[str, ...]:
    if not isinstance(row, list) or not all(isinstance(one, str) for one in row):
        raise TypeError("no list of texts")
    return tuple(row)


def _message(row: Any) -> dict[str, str]:
    return {"role": str(row["role"]), "content": str(row["content"])}


def _skip_position(key: str) -> Position:
    try:
        return Position(*map(int, key.removeprefix(SKIP).split(".")))
    except (TypeError, ValueError) as error:
        raise StoreCorruptError(f"the store has a row {key!r}, which is no position") from error
