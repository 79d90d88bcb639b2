"""The rows that a run keeps on disk: answers, scores, named values, and the manifest of the run."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ...evaluator.errors import StoreCorruptError
from ...evaluator.messages import first_problem
from ...evaluator.scoring import Score, Verdict
from ..errors import StoreMismatchError, StoreVersionError
from ..llm.chat import ChatAnswer
from ..position import Position
from ..versions import PROGRAM, program_version

T = TypeVar("T")

ANSWER, ASKED, MESSAGE, SKIP = "answer:", "asked:", "message:", "note:skip:"
"""Key prefixes of answers, message hashes by position, messages by hash, and skipped requests."""
SCORE, VALUE = "score:", "note:"
"""Key prefixes of scores and of named values; the notes of a result are not among these."""
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
            why = first_problem(error)
        raise StoreCorruptError(
            f"{folder}: the row {key!r} is not of the shape that this program writes ({why}): it was "
            "changed from outside; restore an earlier copy, or choose another folder"
        ) from error


def row_text(value: Any) -> str:
    """Return the text of a row: of a stored answer, a stored score, or any JSON value."""
    if isinstance(value, StoredAnswer):
        return canonical({"request": value.request_hash, "answer": answer_fields(value.answer)})
    if isinstance(value, StoredScore):
        kind = "score" if isinstance(value.verdict, Score) else "rejection"
        verdict = _adapter(Verdict).dump_python(value.verdict, exclude_defaults=True)
        return canonical({"template": value.template, kind: verdict})
    return canonical(value)


def answer_fields(answer: ChatAnswer) -> dict[str, Any]:
    """Return what is kept of an answer, by the names of its fields."""
    names = ("text", "finish_reason", "model", "prompt_tokens", "completion_tokens")
    return {name: getattr(answer, name) for name in names}


def canonical(value: object) -> str:
    """Return the canonical text of a JSON value; NaN is a ValueError, another type a TypeError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


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


MANIFEST = "manifest"
FORMAT = 5
"""Increases whenever earlier runs can no longer be resumed."""


class RunManifest(BaseModel):
    """The origin of a run: its settings as JSON values, the program and the time.

    Attributes:
        identity: What decides the result.
        given: Objects from Python that replace what the config names.
        content: Hashes of data and weights.
        signatures: Of settings that need trust; see ``trust``.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    format: int = FORMAT
    program: str = ""
    started: str = ""
    identity: dict[str, Any]
    config: dict[str, Any]
    given: dict[str, Any] = {}
    notes: dict[str, Any] = {}
    content: dict[str, Any] = {}
    signatures: dict[str, Any] = {}

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


def new_manifest(about: Mapping[str, Any]) -> RunManifest:
    """Return the manifest of a run that begins now, with the parts in ``about``."""
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    parts = {"identity": {}, "config": {}, **about}
    return RunManifest(format=FORMAT, program=program_version(), started=now, **parts)


def read_manifest(manifest: Any, run_dir: Path) -> RunManifest:
    """Return a manifest that this version can work with.

    Raises:
        StoreCorruptError: It is missing, or a part has another type.
        StoreVersionError: Another version made it.
    """
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise StoreCorruptError(f"{run_dir}: its store has no manifest, so it is not a run")
    if manifest["format"] == FORMAT:
        try:
            return RunManifest.model_validate(manifest)
        except ValidationError as error:
            raise StoreCorruptError(
                f"{run_dir}: the manifest in its store was changed from outside ({first_problem(error)}); "
                "restore an earlier copy, or start a new run"
            ) from None
    is_older, program = manifest["format"] < FORMAT, manifest.get("program")
    maker = f"{PROGRAM} {program}" if program else "a version that did not say which"
    remedy = "start a new run" if is_older else f"use {maker}, or start a new run"
    raise StoreVersionError(
        f"{run_dir} was made by {'an older' if is_older else 'a newer'} version ({maker}, store format "
        f"{manifest['format']}; this is {PROGRAM} {program_version()}, store format {FORMAT}) and cannot be "
        f"resumed: {remedy}; its result.json and templates.json can still be read, reported and exported"
    )


_NAMES = {
    "fingerprint": "the content of data and model (their fingerprint)",
    "pool": "the starting templates (their hash)",
    "llm_content": "the content of the LLM's file (its hash)",
    "prompts_version": "the wording of requests (its version)",
}


def check_identity(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare two identities, nested mappings member by member.

    Raises:
        StoreMismatchError: They differ; ``differences`` has a line for each difference.
    """
    if differences := tuple(_differences(before, now, "")):
        raise StoreMismatchError(
            f"the run was started with other settings, so its answers and scores do not fit "
            f"({'; '.join(differences)}); start a new run for the new settings, or resume without them",
            differences=differences,
        )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str) -> list[str]:
    lines: list[str] = []
    for name in sorted({*before, *now}):
        # An unset setting that only a newer program has is no difference.
        old, new = before.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines += _differences(old, new, f"{path}{name}.")
        elif old != new and (old or new):
            called = _NAMES.get(name) or path + name
            lines.append(f"{called}: it was {_shown(old)}, now {_shown(new)}")
    return lines


def _shown(value: object) -> str:
    return "not set" if value is None else repr(value)
