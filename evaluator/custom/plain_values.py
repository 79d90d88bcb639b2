"""Turn a custom scorer's answers into plain Python values; functions raise ``WrongAnswerError``."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import fields, replace
from itertools import islice
from typing import Any, SupportsIndex, TypeVar, cast

from pydantic_core import from_json

from ..scoring import (
    LONGEST_UNREADABLE,
    MOST_CONFUSED,
    MOST_UNREADABLE,
    UNREADABLE,
    ClassAccuracy,
    Confusion,
    EvaluatorInfo,
    Inspection,
    Predictions,
    Rejection,
    Score,
    SplitScores,
    Verdict,
)
from ..settings import shown

T = TypeVar("T")


class WrongAnswerError(ValueError):
    """An answer is not what was asked for; ``str()`` follows the name of what answered."""


def listed(answer: object, kind: str, count: int) -> list[Any]:
    """Return an answer as a list of ``count`` items."""
    if isinstance(answer, str | bytes | Mapping | Set) or not isinstance(answer, Iterable):
        raise WrongAnswerError(f"answered {shown(answer)}, not a list of {count} {kind}")
    found = list(islice(answer, count + 1))  # an iterator may have no end
    if len(found) != count:
        given = f"more than {count}" if len(found) > count else len(found)
        raise WrongAnswerError(f"gave {given} {kind}, and {count} were asked for")
    return found


def verdict(answer: object) -> Verdict:
    """Return a number, ``Score`` or ``Rejection`` in plain values; nan passes (see ``scoring.checked``)."""
    if isinstance(answer, Rejection):
        return Rejection(_escaped("reason", answer.reason), _escaped("message", answer.message))
    if isinstance(answer, Score):
        others = ("train", "correct", "confused", "unreadable_examples", "images")  # no race here: all images
        names = [one.name for one in fields(Score) if one.name not in others]
        return Score(
            train=_number("train", answer.train),
            correct=_correct(answer.correct),
            confused=None
            if answer.confused is None
            else _confusions("confused", answer.confused)[:MOST_CONFUSED],
            unreadable_examples=_examples(answer.unreadable_examples),
            **cast("Any", {name: _number_or_none(name, getattr(answer, name)) for name in names}),
        )
    try:
        return Score(train=_number("", answer))
    except WrongAnswerError:
        raise WrongAnswerError(
            f"answered {shown(answer)}, which is neither a number, a Score nor a Rejection"
        ) from None


def split_scores(answer: object, *, test: bool) -> SplitScores | None:
    """Return the accuracies of an ensemble; with ``test``, those on test too."""
    if answer is None:
        return None
    if not isinstance(answer, SplitScores):
        raise WrongAnswerError(f"answered {shown(answer)}, which is neither SplitScores nor None")
    names = ("train", "val", "test") if test else ("train", "val")
    found = {name: _number_or_none(name, getattr(answer, name)) for name in names}
    for name, value in found.items():
        if value is not None and not math.isfinite(value):
            raise WrongAnswerError(f"answered with {value} for {name}, which is not an accuracy")
    return SplitScores(**{"test": None, **found})


def inspection(answer: object) -> Inspection:
    """Return the accuracy of each class and the confusions."""
    if not isinstance(answer, Inspection):
        raise WrongAnswerError(f"answered {shown(answer)}, which is not an Inspection")
    classes = [
        ClassAccuracy(
            text("name of a class", one.name),
            _count("images of a class", one.images),
            _count("correct of a class", one.correct),
        )
        for one in _items("classes", answer.classes, ClassAccuracy)
    ]
    return Inspection(tuple(classes), _confusions("confusions", answer.confusions))


def predictions(answer: object, count: int) -> Predictions:
    """Return the predictions of each of ``count`` ensembles."""
    if not isinstance(answer, Predictions):
        raise WrongAnswerError(f"answered {shown(answer)}, which is not a Predictions")
    labels = tuple(_count("a label", label) for label in _sequence("labels", _as_list(answer.labels)))
    found = listed(answer.predicted, "lists of labels", count)
    return Predictions(labels, tuple(_labels(one, len(labels)) for one in found))


def named_predictions(answer: object, count: int, classes: int) -> Predictions:
    """Return the predictions of each of ``count`` renamings; every label must be that of a class."""
    found = predictions(answer, count)
    if not found.labels:
        raise WrongAnswerError("gave no labels, so it classified no image")
    most = max(max(one) for one in (found.labels, *found.predicted) if one is not None)
    if most >= classes:
        raise WrongAnswerError(f"gave the label {shown(most)}, and the {classes} classes begin with 0")
    return found


def _labels(answer: object, count: int) -> tuple[int, ...] | None:
    if answer is None:
        return None
    return tuple(
        label if label == UNREADABLE else _count("a predicted label", label)
        for label in listed(_as_list(answer), "labels", count)
    )


def _as_list(value: object) -> object:
    convert = getattr(value, "tolist", None)
    return convert() if callable(convert) else value


def info(answer: object) -> EvaluatorInfo:
    """Return the description of an evaluator."""
    if not isinstance(answer, EvaluatorInfo):
        raise WrongAnswerError(f"info is {shown(answer)}, not an EvaluatorInfo")
    named = ("dataset", "model", "pretrained", "fingerprint", "precision")
    counts = ("classes", "shots", "seed", "views")
    found: dict[str, Any] = {name: text(f"info.{name}", getattr(answer, name)) for name in named}
    found |= {name: _count(f"info.{name}", getattr(answer, name)) for name in counts}
    if not found["fingerprint"]:
        raise WrongAnswerError("info.fingerprint is empty; it must distinguish this scorer from any other")
    return replace(
        answer,
        **found,
        sizes={
            text("a name in info.sizes", name): _count(f"info.sizes[{name!r}]", size)
            for name, size in _mapping("info.sizes", answer.sizes)
        },
        baselines={
            text("a name in info.baselines", name): _texts(
                f"info.baselines[{name!r}]", templates, f"a template of info.baselines[{name!r}]"
            )
            for name, templates in _mapping("info.baselines", answer.baselines)
        },
        notes=notes(answer.notes),
        content={},  # this and files are known for CLIP models only
        files=(),
        shareable=bool(answer.shareable),
        class_names=_texts("info.class_names", answer.class_names, "a name in info.class_names"),
    )


def notes(answer: object) -> dict[str, Any]:
    """Return notes that survive a round trip through JSON."""
    found = {}
    for name, value in _mapping("info.notes", answer):
        place = f"info.notes[{name!r}]"
        try:
            # As deep as in a result, which is read with a depth limit.
            document = json.dumps({"notes": {"name": value}}, ensure_ascii=False, allow_nan=False)
            back = from_json(document.encode("utf-8"))["notes"]["name"]
        except (TypeError, ValueError, RecursionError) as error:
            raise WrongAnswerError(f"{place} is {shown(value)}, which is not JSON: {error}") from None
        found[text("a name in info.notes", name)] = back
    return found


def text(what: str, value: object) -> str:
    """Return a text that a file can hold."""
    if not isinstance(value, str):
        raise WrongAnswerError(f"{what} is {shown(value)}, not a text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise WrongAnswerError(
            f"{what} is {shown(value)}, which no file can hold: half a character"
        ) from None
    return str(value)


def _texts(what: str, value: object, each: str) -> tuple[str, ...]:
    return tuple(text(each, one) for one in _sequence(what, value))


def _escaped(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise WrongAnswerError(f"answered with a Rejection whose {what} is {shown(value)}, not a text")
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def _number(what: str, value: object) -> float:
    try:
        if isinstance(value, str | bytes | bytearray):
            raise TypeError
        return float(cast("float", value))
    except Exception:  # noqa: BLE001 - a tensor has errors of its own
        raise WrongAnswerError(f"answered with {shown(value)} for {what}, which is not a number") from None


def _number_or_none(what: str, value: object) -> float | None:
    return None if value is None else _number(what, value)


def _count(what: str, value: object) -> int:
    try:
        found = operator.index(cast("SupportsIndex", value))
    except TypeError:
        found = -1
    if found < 0:
        raise WrongAnswerError(f"{what} is {shown(value)}, not a whole number from 0 on")
    return found


def _correct(value: object) -> tuple[int, int | None] | None:
    if value is None:
        return None
    train, val = listed(value, "numbers of correctly classified images", 2)
    return _count("correct on train", train), None if val is None else _count("correct on val", val)


def _items(what: str, value: object, kind: type[T]) -> Iterator[T]:
    for one in _sequence(what, value):
        if not isinstance(one, kind):
            raise WrongAnswerError(
                f"answered with {shown(one)} among the {what}, which is not a {kind.__name__}"
            )
        yield one


def _most_confused(value: object) -> tuple[Confusion, ...] | None:
    return None if value is None else _confusions("confused", value)[:MOST_CONFUSED]


def _confusions(name: str, value: object) -> tuple[Confusion, ...]:
    return tuple(
        Confusion(
            text("a confused class", one.true),
            text("a confused class", one.taken_for),
            _count("images of a confusion", one.images),
        )
        for one in _items(name, value, Confusion)
    )


def _examples(answer: object) -> tuple[str, ...]:
    found = [text("an unreadable answer", one) for one in _sequence("unreadable_examples", answer)]
    return tuple(" ".join(one.split())[:LONGEST_UNREADABLE] for one in found[:MOST_UNREADABLE])


def _sequence(what: str, value: object) -> Sequence[Any]:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise WrongAnswerError(f"{what} is {shown(value)}, not a tuple")
    return value


def _mapping(what: str, value: object) -> Iterable[tuple[Any, Any]]:
    if not isinstance(value, Mapping):
        raise WrongAnswerError(f"{what} is {shown(value)}, not a mapping")
    return value.items()
