"""Report sections computed from scores and decisions: comparison, classes, words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, NamedTuple

from ..results.details import BEST, NO_CLASS, ConfusionMatrix, Decisions, Picture
from ..results.gain import ORIGINAL_NAMES, chance_level, most_frequent_share
from ..results.result import Best, Difference, GroupAccuracies, Row, SearchResult, SplitInspection
from .run_view import RunView
from .verdict import GainCell, about_test, gain_cell, with_names, without_names

MOST_CLASSES = 30
MOST_LISTED = 1000
MOST_CONFUSED = 12
MOST_TAKEN_FOR = 3
"""Classes that a renamed class was taken for, in its row."""
FEWEST_WITH_WORD = 3
"""Fewest templates with a word, and without it, for it to be reported."""
MOST_WORDS = 8
_MARKS = ".,;:!?\"'()[]"
_SLOT = "{}"


class Compared(NamedTuple):
    """A line of the comparison."""

    name: str
    templates: tuple[str, ...]
    scores: Best | GroupAccuracies
    gain: GainCell | None = None


def compared_rows(result: SearchResult) -> list[Compared]:
    """Return the comparison: the best template, the ensemble if there is one, then the baselines."""
    over: Mapping[str, Difference] = result.gain.over if result.gain else {}
    together = None if result.gain is None else result.gain.ensemble
    found = [Compared(f"best found{with_names(result.best)}", (result.best.template,), result.best)]
    if result.averaged:
        cell = gain_cell(_turned(together), result.words) if together else None
        name = f"ensemble{without_names(result.best)}"
        found.append(Compared(name, result.ensemble.templates, result.ensemble, cell))
    others = [
        Compared(name, one.templates, one, gain_cell(over[name], result.words) if name in over else None)
        for name, one in result.baselines.items()
    ]
    # Lines with an interval come first.
    return [*found, *sorted(others, key=lambda row: row.gain is None)]


def _turned(one: Difference) -> Difference:
    low, high = one.interval
    return replace(one, points=-one.points, interval=(-high, -low), better=one.worse, worse=one.better)


def about_scores(result: SearchResult) -> str:
    """Explain the figures of the comparison."""
    if not result.has_accuracies:
        return f"Scores as the scorer gives them; higher is better. {about_test(result)}"
    text = "Accuracies in %. "
    if (share := chance_level(result)) is not None:
        text += f"Naming one of {result.dataset.classes} classes at random gets {100 * share:.1f}"
        most = most_frequent_share(result)
        text += ". " if most is None else f", always naming the most frequent one {100 * most:.1f}. "
    if result.gain is not None:
        text += (
            "Differences are in percentage points on test, each with its 95 % interval; below it, how many "
            "images the best template fixes, which means that it alone is right, and how many it breaks. "
        )
        if not all(one.paired for one in result.gain.over.values()):
            text += "The intervals are not paired, as the scorer does not give decisions image by image. "
    return text + about_test(result)


MOST_IN_MATRIX = 16
"""Most classes in the confusion matrix on the page, which stays readable."""
ClassRow = tuple[str, int, float, float | None, float | None]
"""Class name, images, recall in percent, its change in points, and precision in percent."""
Confused = tuple[str, str, int, int | None]
"""Class name, the class it is taken for, images now, and images before."""


def classes_of(view: RunView) -> dict[str, Any] | None:
    """Return the section on classes; None if nothing is known of them."""
    if view.result is None or (inspection := view.result.inspection) is None:
        return None
    details = view.details
    decisions = None if details is None else details.decisions
    baseline = None if details is None or decisions is None else details.baseline
    matrix = _matrix_of(decisions, inspection)
    if matrix is None or decisions is None or baseline not in decisions.predicted:
        baseline = None
    rows = _class_rows(inspection, decisions, baseline, matrix)
    shown = rows[:MOST_CLASSES]
    named = " with the original names" if view.result.best.class_names else ""
    change = "" if baseline is None else f" Change: the difference in points to the {baseline}{named}."
    precision = " Precision: how much of what is classified as a class belongs to it." if matrix else ""
    order = "those that changed most first" if baseline is not None else "those least often right first"
    of = f"{len(shown)} of {len(rows)} classes" if len(shown) < len(rows) else f"All {len(rows)} classes"
    return {
        "about": f"Of the best template, on {inspection.split}. Recall: how much of a class is classified "
        f"correctly.{change}{precision} {of}, {order}; then the most frequent confusions.",
        "baseline": baseline,
        "rows": shown,
        "more": rows[MOST_CLASSES:MOST_LISTED],
        "matrix": None if matrix is None else _matrix_cells(matrix),
        "confused": _confused(inspection, decisions, baseline),
        "pictures": _picture_groups(details.pictures if details is not None else (), baseline),
    }


class NameRow(NamedTuple):
    """A renamed class; counts are None if test was not evaluated.

    Attributes:
        before: Test images classified correctly with the original names, in the best template for these.
        after: The same with all new ones, in the best template.
        taken_for: What the images were taken for before, with counts.
    """

    old: str
    new: str
    images: int | None = None
    before: int | None = None
    after: int | None = None
    taken_for: str = ""


def renamed_classes(view: RunView) -> list[NameRow] | None:
    """Return the renamed classes, those that gained most first; None if no names were searched for."""
    if view.result is None or (names := view.result.best.class_names) is None:
        return None
    decisions = None if view.details is None else view.details.decisions
    if decisions is None or not {BEST, ORIGINAL_NAMES} <= decisions.predicted.keys():
        return [NameRow(old, new) for old, new in names.items()]
    before, after = decisions.predicted[ORIGINAL_NAMES], decisions.predicted[BEST]
    found = []
    by_class: dict[int, list[int]] = defaultdict(list)
    for place, true in enumerate(decisions.labels):
        by_class[true].append(place)
    for label, old in enumerate(decisions.classes):
        if old not in names:
            continue
        places = by_class[label]
        taken = Counter(decisions.class_name(before[place]) for place in places if before[place] != label)
        found.append(
            NameRow(
                old,
                names[old],
                len(places),
                sum(before[place] == label for place in places),
                sum(after[place] == label for place in places),
                ", ".join(f"{other} ({count})" for other, count in taken.most_common(MOST_TAKEN_FOR)),
            )
        )
    return sorted(found, key=lambda row: (row.before or 0) - (row.after or 0))


def _matrix_of(decisions: Decisions | None, inspection: SplitInspection) -> ConfusionMatrix | None:
    """Return the matrix of the best template if the decisions are this result's: files may be changed."""
    if decisions is None or BEST not in decisions.predicted:
        return None
    names = [one.name for one in inspection.classes]
    found = ConfusionMatrix.of_decisions(names, decisions.labels, decisions.predicted[BEST])
    if found is None or any(
        one.images != found.images(label) for label, one in enumerate(inspection.classes)
    ):
        return None
    return found


class MatrixRow(NamedTuple):
    """A line of the matrix: number and name of the true class, cells, and images taken for other classes.

    A cell is a number of images, its share of the row in percent, and whether it is the true class.
    """

    number: int
    name: str
    cells: list[tuple[int, float, bool]]
    others: int


def _matrix_cells(matrix: ConfusionMatrix) -> dict[str, Any]:
    """Return the matrix of all classes, or of those with the most errors."""
    labels = matrix.most_confused(MOST_IN_MATRIX)
    rows = []
    for true in labels:
        row, images = matrix.row(true, labels), matrix.images(true)
        cells = [
            (count, 100 * count / images if images else 0.0, label == true)
            for label, count in zip(labels, row, strict=True)
        ]
        rows.append(MatrixRow(true + 1, matrix.classes[true], cells, images - sum(row)))
    listed = len(labels) == len(matrix.classes)
    whole = listed and not any(row.others for row in rows)
    return {
        "about": "Rows are true classes, columns the classes that they are taken for, by number; cells are "
        "images, darker with their share of the row."
        + ("" if listed else f" The {len(labels)} of {len(matrix.classes):,} classes with the most errors."),
        "columns": [(label + 1, matrix.classes[label]) for label in labels],
        "rows": rows,
        "whole": whole,
        "listed": listed,
        "others": NO_CLASS if listed else "others",
    }


def _class_rows(
    inspection: SplitInspection,
    decisions: Decisions | None,
    baseline: str | None,
    matrix: ConfusionMatrix | None,
) -> list[ClassRow]:
    right: Mapping[int, int] = {}
    if decisions is not None and baseline is not None:
        hits = decisions.hits(baseline) or []
        right = Counter(label for label, hit in zip(decisions.labels, hits, strict=True) if hit)
    found: list[ClassRow] = []
    for label, one in enumerate(inspection.classes):
        if one.images:
            change = 100 * (one.correct - right[label]) / one.images if baseline is not None else None
            precision = None if matrix is None else matrix.precision(label)
            percent = None if precision is None else 100 * precision
            found.append((one.name, one.images, 100 * one.correct / one.images, change, percent))
    return sorted(found, key=lambda row: (-abs(row[3] or 0.0), row[2]))


def _confused(
    inspection: SplitInspection, decisions: Decisions | None, baseline: str | None
) -> list[Confused]:
    before = Counter[tuple[str, str]]()
    if decisions is not None and baseline is not None:
        pairs = zip(decisions.labels, decisions.predicted[baseline], strict=True)
        before.update((decisions.class_name(true), decisions.class_name(taken)) for true, taken in pairs)
    known = baseline is not None
    return [
        (one.true, one.taken_for, one.images, before[one.true, one.taken_for] if known else None)
        for one in inspection.confusions[:MOST_CONFUSED]
    ]


def _picture_groups(pictures: Sequence[Picture], baseline: str | None) -> list[tuple[str, Sequence[Picture]]]:
    if baseline is None:
        return []
    fixed = [one for one in pictures if one.put_right]
    broken = [one for one in pictures if not one.put_right]
    groups = {
        f"Fixed: the {baseline} got these wrong": fixed,
        f"Broken: the {baseline} got these right": broken,
    }
    return [(heading, found) for heading, found in groups.items() if found]


class WordEffect(NamedTuple):
    """A word, how many templates have it, and their mean training score less that of the others."""

    word: str
    templates: int
    difference: float


def word_effects(rows: Iterable[Row]) -> tuple[list[WordEffect], list[WordEffect]]:
    """Return the words of better and of worse templates: a correlation, since words come together."""
    scores: dict[str, float] = {}
    for row in sorted(rows, key=lambda row: row.images is not None):
        scores.setdefault(row.template, row.comparable)
    with_word: dict[str, list[float]] = {}
    for template, train in scores.items():
        for word in _words_of(template):
            with_word.setdefault(word, []).append(train)
    total = sum(scores.values())
    found = []
    for word, having in with_word.items():
        lacking = len(scores) - len(having)
        if len(having) >= FEWEST_WITH_WORD and lacking >= FEWEST_WITH_WORD:
            found.append(WordEffect(word, len(having), fmean(having) - (total - sum(having)) / lacking))
    # At equal differences, the more frequent word is more certain.
    found.sort(key=lambda one: (-one.difference, -one.templates, one.word))
    better = [one for one in found if one.difference > 0][:MOST_WORDS]
    worse = [one for one in reversed(found) if one.difference < 0][:MOST_WORDS]
    return better, worse


def _words_of(template: str) -> set[str]:
    found = (part.casefold().replace(_SLOT, "").strip(_MARKS) for part in template.split())
    return {word for word in found if word}
