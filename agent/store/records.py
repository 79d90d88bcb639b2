"""The records that a run keeps on disk."""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from ...evaluator.scoring import Rejection, Score, Verdict
from ..errors import StoreCorruptError
from ..llm.chat import ChatAnswer
from ..position import Position

T = TypeVar("T")


def as_it_is(row: Any) -> Any:
    """Return a row's JSON value unchanged, where ``read_row`` has nothing to read from it."""
    return row


def read_row(folder: Path, key: str, read: Callable[[Any], T], row: Any) -> T:
    """Convert a row by ``read``, or raise StoreCorruptError if it has another shape.

    Every row of a store or a shared cache is read through here.
    """
    try:
        value = read(row)
        if not _whole(value):
            raise TypeError(f"{value!r:.200} has members of other types")
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise StoreCorruptError(
            f"{folder}: the row {key!r} is not of the shape that this program writes ({why}): it was "
            "changed from outside; restore an earlier copy, or choose another folder"
        ) from error
    return value


def _whole(value: Any) -> bool:
    """Return whether the members of a dataclass have the declared types, at any depth."""
    if not is_dataclass(value):
        return True
    kind: Any = type(value)
    return all(_is(getattr(value, name), hint) for name, hint in _hints(kind).items())


@functools.cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _is(value: Any, hint: Any) -> bool:
    """Return whether a JSON value has a type; numbers that are not finite have none."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_is(value, one) for one in inner)
    if origin is tuple:
        return isinstance(value, tuple) and all(any(_is(one, each) for each in inner) for one in value)
    if hint is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, origin or hint) and _whole(value)


ANSWER, ASKED, MESSAGE, SKIP = "answer:", "asked:", "message:", "note:skip:"
"""Key prefixes of answers, message hashes by position, messages by hash, and skipped requests."""
SCORE, NOTE = "score:", "note:"
LOOKED_UP = (ANSWER, SCORE, NOTE)
"""Prefixes of the keys that a session looks up one by one."""


def answer_key(position: Position) -> str:
    """Return the journal's key of a position; keys sort as positions do."""
    return ANSWER + ".".join(f"{number:09d}" for number in position)


def asked_key(position: Position) -> str:
    """Return the key of what was asked at a position."""
    return answer_key(position).replace(ANSWER, ASKED, 1)


def answer_position(key: str) -> Position:
    """Return the inverse of ``answer_key``; raise StoreCorruptError for any other key."""
    try:
        return Position(*map(int, key.removeprefix(ANSWER).split(".")))
    except (TypeError, ValueError) as error:
        raise StoreCorruptError(f"the journal has a row {key!r}, which is no position") from error


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer from the journal, with ``ChatRequest.hash`` of the request it answers."""

    request_hash: str
    answer: ChatAnswer

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        return {"request": self.request_hash, "answer": self.answer.to_json()}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> StoredAnswer:
        """Return the inverse of ``to_json``."""
        return cls(found["request"], ChatAnswer.from_json(found["answer"]))


@dataclass(frozen=True, slots=True)
class StoredScore:
    """A template's score, or why it has none."""

    template: str
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        kind = "score" if isinstance(self.verdict, Score) else "rejection"
        return {"template": self.template, kind: self.verdict.to_json()}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> StoredScore:
        """Return the inverse of ``to_json``."""
        if "score" in found:
            return cls(found["template"], Score.from_json(found["score"]))
        return cls(found["template"], Rejection.from_json(found["rejection"]))
