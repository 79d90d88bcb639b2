"""The rows that a run keeps on disk: their keys, and their values as JSON text."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, ConfigDict, Field, TypeAdapter, ValidationError

from ...evaluator.scoring import Score, Verdict
from ..errors import StoreCorruptError
from ..llm.chat import ChatAnswer
from ..position import Position
from .disk import canonical

T = TypeVar("T")

ANSWER, ASKED, MESSAGE, SKIP = "answer:", "asked:", "message:", "note:skip:"
"""Key prefixes of answers, message hashes by position, messages by hash, and skipped requests."""
SCORE, NOTE = "score:", "note:"
LOOKED_UP = (ANSWER, SCORE, NOTE)
"""Prefixes of the keys that a session looks up one by one."""
_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A stored answer, with ``ChatRequest.hash`` of the request it answers."""

    request_hash: Annotated[str, Field(alias="request")]
    answer: ChatAnswer


@dataclass(frozen=True, slots=True)
class StoredScore:
    """A template's score, or why it has none."""

    template: str
    verdict: Annotated[
        Verdict, Field(validation_alias=AliasChoices("score", "rejection"), union_mode="left_to_right")
    ]


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind | None, config=_CONFIG)  # a dataclass alone takes no config


def reader(kind: type[T]) -> Callable[[str], T]:
    """Return a function that reads a value of a type from JSON text, checking every part of it."""
    hashable: Any = kind
    adapter = _adapter(hashable)

    def read(text: str) -> T:
        value: T | None
        try:
            plain = json.dumps(json.loads(text), ensure_ascii=False) if "\\ud" in text else text
            value = adapter.validate_json(plain.encode(), strict=True)
        except UnicodeEncodeError:  # half a surrogate pair, which an LLM may send, is no JSON to pydantic
            value = adapter.validate_python(json.loads(text))
        if value is None:
            raise TypeError("it is null")
        return value

    return read


def from_json(read: Callable[[Any], T]) -> Callable[[str], T]:
    """Return a function that reads JSON text, by a function that reads its value."""
    return lambda text: read(json.loads(text))


def read_row(folder: Path, key: str, read: Callable[[str], T], text: str) -> T:
    """Read a row's text, or raise StoreCorruptError if it has another shape.

    Every row of a store or a shared cache is read through here.
    """
    try:
        return read(text)
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            why = ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
        raise StoreCorruptError(
            f"{folder}: the row {key!r} is not of the shape that this program writes ({why}): it was "
            "changed from outside; restore an earlier copy, or choose another folder"
        ) from error


def row_text(value: Any) -> str:
    """Return the text of a row: of a stored answer, a stored score, or any JSON value."""
    if isinstance(value, StoredAnswer):
        return canonical({"request": value.request_hash, "answer": value.answer.to_json()})
    if isinstance(value, StoredScore):
        kind = "score" if isinstance(value.verdict, Score) else "rejection"
        verdict = _adapter(Verdict).dump_python(value.verdict, exclude_defaults=True)
        return canonical({"template": value.template, kind: verdict})
    return canonical(value)


def answer_key(position: Position) -> str:
    """Return the key of the answer at a position; keys sort as positions do."""
    return ANSWER + ".".join(f"{number:09d}" for number in position)


def asked_key(position: Position) -> str:
    """Return the key of what was asked at a position."""
    return answer_key(position).replace(ANSWER, ASKED, 1)


def key_position(key: str, prefix: str) -> Position:
    """Return the position in a key of an answer or a skipped request; raise StoreCorruptError for others."""
    try:
        return Position(*map(int, key.removeprefix(prefix).split(".")))
    except (TypeError, ValueError) as error:
        raise StoreCorruptError(f"the store has a row {key!r}, which is no position") from error
