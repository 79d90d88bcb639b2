"""Turn a custom scorer's answers into plain Python values; functions raise ``WrongAnswerError``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import fields, is_dataclass, replace
from functools import cache
from itertools import islice
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from ..messages import shown
from ..scoring import (
    LONGEST_UNREADABLE,
    MOST_CONFUSED,
    MOST_UNREADABLE,
    EvaluatorInfo,
    Predictions,
    Rejection,
    Score,
    SplitScores,
    Verdict,
)
from ..settings import plain

T = TypeVar("T")


class WrongAnswerError(ValueError):
    """An answer is not what was asked for; ``str()`` follows the name of what answered."""


def listed(answer: object, kind: str, count: int) -> list[Any]:
    """Return an answer as a list of ``count`` items."""
    if isinstance(answer, str | bytes | Mapping | Set) or not isinstance(answer, Iterable):
        raise WrongAnswerError(f"answered {shown(answer)}, not a list of {count} {kind}")
    items = list(islice(answer, count + 1))  # an iterator may have no end
    if len(items) != count:
        number = f"more than {count}" if len(items) > count else len(items)
        raise WrongAnswerError(f"gave {number} {kind}, and {count} were asked for")
    return items


def checked_fields(kind: type[T], answer: object, name: str = "") -> T:
    """Return a value of one of the interface's dataclasses, every field checked and in plain Python values.

    The value goes through JSON: what JSON cannot hold, such as half a character, no file could hold either.
    ``name`` stands before a field's name in a message.
    """
    if not isinstance(answer, kind):
        raise WrongAnswerError(f"answered {shown(answer)}, which is not of the class {kind.__name__}")
    try:
        text = json.dumps(answer, default=_as_json, ensure_ascii=False).encode("utf-8")
        return cast("T", _adapter(cast("Any", kind)).validate_json(text, strict=True))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join((*filter(None, [name]), *map(str, first["loc"])))
        raise WrongAnswerError(f"answered with {shown(first['input'])} for {field}: {plain(first)}") from None
    except (TypeError, ValueError, RecursionError) as error:
        what = f"answered with {shown(answer)} for {name}" if name else f"answered {shown(answer)}"
        raise WrongAnswerError(f"{what}, which cannot be read: {_reason(error)}") from None


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _as_json(value: Any) -> Any:
    """Return what JSON holds in place of a dataclass, or of a number or array of NumPy, torch and others."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    convert = getattr(value, "tolist", None) or getattr(value, "__float__", None)
    try:
        return convert()  # type: ignore[misc] # what cannot be called is no number either
    except Exception:  # noqa: BLE001 - a tensor has errors of its own
        raise TypeError(f"{shown(value)} is neither a number, a text nor a list") from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        return f"half a character in {shown(str(error.object)[max(0, error.start - 20) : error.end])}"
    return str(error)


def verdict(answer: object) -> Verdict:
    """Return a number, ``Score`` or ``Rejection`` in plain values; nan passes (see ``scoring.checked``)."""
    if isinstance(answer, Rejection):
        return Rejection(_escaped("reason", answer.reason), _escaped("message", answer.message))
    if isinstance(answer, Score):
        score = checked_fields(Score, answer)
        examples = (" ".join(text.split()) for text in score.unreadable_examples[:MOST_UNREADABLE])
        return replace(
            score,
            confused=score.confused and score.confused[:MOST_CONFUSED],
            unreadable_examples=tuple(text[:LONGEST_UNREADABLE] for text in examples),
            images=None,  # no race here: all images
        )
    try:
        if isinstance(answer, str | bytes | bytearray):
            raise TypeError
        return Score(train=float(cast("float", answer)))
    except Exception:  # noqa: BLE001 - a tensor has errors of its own
        raise WrongAnswerError(
            f"answered {shown(answer)}, which is neither a number, a Score nor a Rejection"
        ) from None


def _escaped(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise WrongAnswerError(f"answered with a Rejection whose {what} is {shown(value)}, not a text")
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def split_scores(answer: object, *, test: bool) -> SplitScores | None:
    """Return the accuracies of an ensemble; with ``test``, those on test too."""
    if answer is None:
        return None
    scores = checked_fields(SplitScores, answer)
    return scores if test else replace(scores, test=None)


def predictions(answer: object, count: int) -> Predictions:
    """Return the predictions of each of ``count`` ensembles."""
    checked = checked_fields(Predictions, answer)
    listed(checked.predicted, "lists of labels", count)
    for labels in checked.predicted:
        if labels is not None:
            listed(labels, "labels", len(checked.labels))
    return checked


def named_predictions(answer: object, count: int, classes: int) -> Predictions:
    """Return the predictions of each of ``count`` renamings; every label must be that of a class."""
    checked = predictions(answer, count)
    if not checked.labels:
        raise WrongAnswerError("gave no labels, so it classified no image")
    largest = max(max(labels) for labels in (checked.labels, *checked.predicted) if labels is not None)
    if largest >= classes:
        raise WrongAnswerError(f"gave the label {shown(largest)}, and the {classes} classes begin with 0")
    return checked


def info(answer: object) -> EvaluatorInfo:
    """Return the description of an evaluator."""
    if not isinstance(answer, EvaluatorInfo):
        raise WrongAnswerError(f"answered {shown(answer)}, which is not an EvaluatorInfo")
    for field in ("sizes", "baselines", "notes"):
        if isinstance(named := getattr(answer, field), Mapping):
            for name in named:
                if not isinstance(name, str):  # JSON would make a text of it
                    raise WrongAnswerError(f"answered with {shown(name)} for a name in info.{field}")
    # Content and files are known for CLIP models only.
    described = checked_fields(EvaluatorInfo, replace(answer, notes={}, content={}, files=()), "info")
    if not described.fingerprint:
        raise WrongAnswerError("info.fingerprint is empty; it must distinguish this scorer from any other")
    return replace(described, notes=notes(answer.notes))


def notes(answer: object) -> dict[str, Any]:
    """Return notes that survive a round trip through JSON."""
    if not isinstance(answer, Mapping):
        raise WrongAnswerError(f"answered with {shown(answer)} for info.notes, not a mapping")
    plain_notes = {}
    for name, value in answer.items():
        try:
            # As deep as in a result, which is read with a depth limit.
            document = json.dumps({"notes": {"name": value}}, ensure_ascii=False, allow_nan=False)
            plain_notes[name] = from_json(document.encode("utf-8"))["notes"]["name"]
        except (TypeError, ValueError, RecursionError) as error:
            raise WrongAnswerError(
                f"answered with {shown(value)} for info.notes.{name}, which is not JSON: {_reason(error)}"
            ) from None
    return plain_notes
