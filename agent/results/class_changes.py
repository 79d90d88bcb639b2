"""Class by class: how the best template does on test, what changed against a baseline, what is confused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .details import BEST, Decisions, Picture
from .result import Inspected
from .run_view import RunView

MOST_CLASSES = 30
MOST_CONFUSED = 12


class ClassRow(NamedTuple):
    """A class: percent of its images that are correctly classified, and by how many points that changed."""

    name: str
    images: int
    percent: float
    change: float | None


class Confused(NamedTuple):
    """A pair of classes: images of one taken for the other, now and before; None where that is not known."""

    true: str
    taken_for: str
    images: int
    before: int | None


class Group(NamedTuple):
    """Pictures under one heading."""

    heading: str
    pictures: Sequence[Picture]


class Classes(NamedTuple):
    """What a page shows of the classes."""

    about: str
    baseline: str | None
    rows: Sequence[ClassRow]
    more: str
    confused: Sequence[Confused]
    pictures: Sequence[Group]


def classes_of(view: RunView) -> Classes | None:
    """Return what is known of the classes; None where nothing is."""
    if view.result is None or (look := view.result.inspection) is None:
        return None
    kept = view.details
    decisions = None if kept is None else kept.decisions
    baseline = None if kept is None or decisions is None else kept.baseline
    if decisions is None or baseline is None or not _fits(decisions, look, baseline):
        decisions, baseline = None, None
    rows = _rows(look, decisions, baseline)
    shown = rows[:MOST_CLASSES]
    against = "" if baseline is None else f", and by how many points that changed against {_called(baseline)}"
    order = "those that changed most first" if baseline is not None else "those least often right first"
    about = (
        f"Under the best template, on {look.split}: how much of each class is correctly classified{against}."
    )
    of = f"{len(shown)} of {len(rows)} classes" if len(shown) < len(rows) else f"all {len(rows)} classes"
    return Classes(
        about=f"{about} {of[0].upper()}{of[1:]}, {order}; then what is most often taken for what.",
        baseline=baseline,
        rows=shown,
        more="",
        confused=_confused(look, decisions, baseline),
        pictures=_groups(kept.pictures if kept is not None and baseline is not None else (), baseline),
    )


def _called(baseline: str) -> str:
    return f"the {baseline}"


def _fits(decisions: Decisions, look: Inspected, baseline: str) -> bool:
    """Return whether what was kept is of this result: the files of a run may have been changed."""
    there = BEST in decisions.predicted and baseline in decisions.predicted
    return there and [one.images for one in look.classes] == _images(decisions, len(look.classes))


def _images(decisions: Decisions, classes: int) -> list[int]:
    counts = Counter(decisions.labels)
    return [counts[label] for label in range(classes)]


def _rows(look: Inspected, decisions: Decisions | None, baseline: str | None) -> list[ClassRow]:
    right: Mapping[int, int] = {}
    if decisions is not None and baseline is not None:
        hits = decisions.hits(baseline) or []
        right = Counter(label for label, hit in zip(decisions.labels, hits, strict=True) if hit)
    found = []
    for label, one in enumerate(look.classes):
        if one.images:
            change = 100 * (one.correct - right[label]) / one.images if decisions is not None else None
            found.append(ClassRow(one.name, one.images, 100 * one.correct / one.images, change))
    return sorted(found, key=lambda row: (-abs(row.change or 0.0), row.percent))


def _confused(look: Inspected, decisions: Decisions | None, baseline: str | None) -> list[Confused]:
    before = Counter[tuple[str, str]]()
    if decisions is not None and baseline is not None:
        pairs = zip(decisions.labels, decisions.predicted[baseline], strict=True)
        before.update((decisions.class_name(true), decisions.class_name(taken)) for true, taken in pairs)
    return [
        Confused(
            one.true,
            one.taken_for,
            one.images,
            None if decisions is None else before[one.true, one.taken_for],
        )
        for one in look.confusions[:MOST_CONFUSED]
    ]


def _groups(pictures: Sequence[Picture], baseline: str | None) -> list[Group]:
    if baseline is None:
        return []
    right = [one for one in pictures if one.put_right]
    broken = [one for one in pictures if not one.put_right]
    found = [
        Group(f"Put right: the {baseline} got these wrong", right),
        Group(f"Broken: the {baseline} got these right", broken),
    ]
    return [group for group in found if group.pictures]
