"""What a run keeps on disk, as values."""

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


def read_row(folder: Path, key: str, read: Callable[[Any], T], row: Any) -> T:
    """Return what a row stands for; every row that a store or a shared cache holds is read through here.

    Args:
        folder: Where the row lies, for the message.
        key: Its key, for the message.
        read: From the row's JSON value to what it stands for.
        row: That value.

    Raises:
        StoreCorruptError: It is of another shape than what this program writes.
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
    """Return whether the members of a dataclass, at any depth, are of the types that it says."""
    if not is_dataclass(value):
        return True
    kind: Any = type(value)
    return all(_is(getattr(value, name), hint) for name, hint in _hints(kind).items())


@functools.cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _is(value: Any, hint: Any) -> bool:
    """Return whether a value that comes from JSON is of a type; numbers that are not finite are of none."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_is(value, one) for one in inner)
    if origin is tuple:
        return isinstance(value, tuple) and all(any(_is(one, each) for each in inner) for one in value)
    if hint is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, origin or hint) and _whole(value)


ANSWER, ASKED, MESSAGE, SKIP = "answer:", "asked:", "message:", "note:skip:"
"""What keys begin with: of answers, of the hashes of the messages that they answer, of those by hash, and of
why there is no answer."""
SCORE, NOTE = "score:", "note:"
LOOKED_UP = (ANSWER, SCORE, NOTE)
"""What the keys begin with that a session looks up one by one."""


def answer_key(position: Position) -> str:
    """Return the journal's key of a position; keys sort as positions do."""
    return ANSWER + ".".join(f"{number:09d}" for number in position)


def asked_key(position: Position) -> str:
    """Return the key of what was asked at a position."""
    return answer_key(position).replace(ANSWER, ASKED, 1)


def answer_position(key: str) -> Position:
    """Return the inverse of ``answer_key``.

    Raises:
        StoreCorruptError: It is not such a key.
    """
    try:
        return Position(*map(int, key.removeprefix(ANSWER).split(".")))
    except (TypeError, ValueError) as error:
        raise StoreCorruptError(f"the journal has a row {key!r}, which is no position") from error


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer from the journal, and which request it answers.

    Attributes:
        request_hash: ``ChatRequest.hash`` of the request.
        answer: What the model said.
    """

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
    """What the evaluator said of a template.

    Attributes:
        template: The template's text.
        verdict: Its score, or why it has none.
    """

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
