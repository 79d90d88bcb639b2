"""What a run keeps on disk, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...evaluator.scoring import Rejection, Score, Verdict
from ..errors import StoreCorruptError
from ..llm.types import ChatAnswer
from ..position import Position


def answer_key(position: Position) -> str:
    """Return the journal's key of a position; keys sort as positions do."""
    return "answer:" + ".".join(f"{number:09d}" for number in position)


def answer_position(key: str) -> Position:
    """Return the inverse of ``answer_key``.

    Raises:
        StoreCorruptError: The key is none of ours.
    """
    try:
        return Position(*map(int, key.removeprefix("answer:").split(".")))
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
