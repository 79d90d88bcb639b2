"""Sections of the report: comparison, course, classes, and code that uses the templates."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ...evaluator.counts import counted, some_of
from ...evaluator.scoring import BASELINE_DEFAULT, HAND_MADE, Inspection
from ...prompts.kinds import INSTRUCTION
from ..config.sources import typed
from ..results.accuracies import (
    BEST,
    BEST_HAND_MADE,
    ORIGINAL_NAMES,
    WITH_IMAGES,
    WITHOUT_SEARCH,
    baseline_name,
    score_text,
)
from ..results.details import NO_CLASS, ConfusionMatrix, Decisions, Details, Picture
from ..results.gain import chance_level, most_frequent_share
from ..results.history import Curve, RunView
from ..results.result import SearchResult
from ..results.run_dir import CLASSIFIER
from .chart import (
    DASHES,
    MOST_CURVES,
    NARROW,
    WIDE,
    course_chart,
)
from .sentences import (
    UNSUPPORTED,
    about_test,
    chosen_by_more,
    names_read,
    without_images,
    without_progress,
)

MOST_CLASSES = 30
MOST_LISTED = 1000
MOST_CONFUSED = 12
MOST_NAMES_SHOWN = 20
"""Most renamed classes that the page shows at once; the others unfold."""
MOST_TAKEN_FOR = 3
"""Classes that a renamed class was taken for, in its row."""
MOST_IN_MATRIX = 16
"""Most classes in the confusion matrix on the page, which stays readable."""
_LEVELS = (BASELINE_DEFAULT, BEST_HAND_MADE, HAND_MADE)


def about_scores(result: SearchResult) -> str:
    """Explain the figures of the comparison."""
    if not result.has_accuracies:
        return f"Scores as the scorer gives them; higher is better. {about_test(result)}"
    text = "Accuracies in %. "
    if (share := chance_level(result)) is not None:
        text += f"Naming one of {result.dataset.classes} classes at random gets {100 * share:.1f}"
        most = most_frequent_share(result)
        text += ". " if most is None else f", always naming the most frequent one {100 * most:.1f}. "
    if over := result.recommended.over:
        text += (
            "Differences are in percentage points on test, each with its 95 % interval; below it, how many "
            "images only the recommended form gets right (fixed), and how many only the other (broken). "
        )
        if not all(difference.paired for difference in over.values()):
            text += "The intervals are not paired, as the scorer does not give decisions image by image. "
    if result.with_images is not None:
        text += "With images, train and val are of images held out from learning. "
    return text + about_test(result)


class ClassRow(NamedTuple):
    """A class: images, recall in percent, its change in points, and precision in percent."""

    name: str
    images: int
    recall: float
    change: float | None
    precision: float | None


def classes_of(view: RunView) -> dict[str, Any] | None:
    """Return the section on classes; None if nothing is known of them."""
    if view.result is None or (inspection := view.result.inspection) is None:
        return None
    details = view.details or Details()
    matrix = _matrix_of(details.decisions, inspection, view.result.recommended.name)
    # Decisions of the baseline count only if there are some that agree with the result.
    before = None if matrix is None else _matrix_of(details.decisions, inspection, details.baseline)
    baseline = None if before is None else details.baseline
    new_names = view.result.new_names
    rows = [
        row._replace(name=f"{row.name} (as {new_names[row.name]})") if row.name in new_names else row
        for row in _class_rows(inspection, before, matrix)
    ]
    shown, name = rows[:MOST_CLASSES], baseline_name(baseline or "", view.words)
    original = " with the original names" if new_names else ""
    change = "" if baseline is None else f" Change: the difference in points to the {name}{original}."
    change += _part_of_search(view.result)
    measures = _metrics(view.result, baseline, name)
    precision = " Precision: how much of what is classified as a class belongs to it." if matrix else ""
    order = "those that changed most first" if baseline is not None else "those least often right first"
    number = f"{len(shown)} of {len(rows)} classes" if len(shown) < len(rows) else f"All {len(rows)} classes"
    return {
        "about": "Of the recommended form, on test. Recall: how much of a class is "
        f"classified correctly.{measures}{change}{precision} {number}, {order}; then the most "
        "frequent confusions.",
        "baseline": baseline,
        "rows": shown,
        "more": rows[MOST_CLASSES:MOST_LISTED],
        "matrix": None if matrix is None else _matrix_cells(matrix),
        "confused": _confused(inspection, before),
        "pictures": _picture_groups(details.pictures, name) if baseline else [],
    }


def _part_of_search(result: SearchResult) -> str:
    """Say how much of the changes is due to the search, where labelled images were learned from."""
    gap = result.recommended.over.get(WITHOUT_SEARCH)
    if gap is None or result.recommended.form != WITH_IMAGES or not result.has_accuracies:
        return ""
    part = "nothing" if gap.is_none else f"{gap.points:+.1f} points of accuracy"
    return f" The search brought {part}: the best without a search has the rest of the changes, too."


def _metrics(result: SearchResult, baseline: str | None, title: str) -> str:
    """Return the other measures of the recommended form, and of the baseline in words; empty if unknown."""
    text = ""
    for measure, measured in (("mean_per_class_recall", "Mean recall per class"), ("acc5", "acc@5")):
        names = (result.recommended.name, baseline or "")
        shares = [result.metrics.get(name, {}).get(measure) for name in names]
        best, before = (None if share is None else f"{share:.1%}" for share in shares)
        if best is not None:
            text += f" {measured}: {best}{f' ({title}: {before})' if before else ''}."
    return text


def names_section(view: RunView) -> dict[str, Any]:
    """Return the page's section: rows, None if no names were searched for, and what the LLM read first."""
    result = view.result
    original = None if result is None else result.baselines.get(ORIGINAL_NAMES)
    first_reading = "" if result is None else names_read(result)
    return {
        "names": (renamed := renamed_classes(view)),
        "all_renamed": result is not None and len(renamed or ()) == result.dataset.classes,
        "names_shown": MOST_NAMES_SHOWN,
        "name_sources": {} if result is None else result.best.name_sources,
        "names_unchecked": result is not None and result.best.unchecked,
        "names_are_for_texts": result is not None and result.only_texts_renamed,
        "names_read": f"{first_reading[0].upper()}{first_reading[1:]}." if first_reading else "",
        "original": "" if original is None else " ".join(original.templates),
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
    if view.result is None or view.result.best.class_names is None:
        return None
    names = view.result.best.new_names
    decisions = None if view.details is None else view.details.decisions
    if decisions is None or not {BEST, ORIGINAL_NAMES} <= decisions.predicted.keys():
        return [NameRow(old, new) for old, new in names.items()]
    before, after = decisions.predicted[ORIGINAL_NAMES], decisions.predicted[BEST]
    images_by_class: dict[int, list[int]] = defaultdict(list)
    for image, true in enumerate(decisions.labels):
        images_by_class[true].append(image)
    rows = []
    for label, old in enumerate(decisions.classes):
        if old not in names:
            continue
        images = images_by_class[label]
        wrong = Counter(decisions.class_name(before[image]) for image in images if before[image] != label)
        rows.append(
            NameRow(
                old,
                names[old],
                len(images),
                sum(before[image] == label for image in images),
                sum(after[image] == label for image in images),
                ", ".join(f"{name} ({count})" for name, count in wrong.most_common(MOST_TAKEN_FOR)),
            )
        )
    return sorted(rows, key=lambda row: (row.before or 0) - (row.after or 0))


def about_names(view: RunView) -> str:
    """Say which new class names to doubt, and how to leave one out; empty without a new name."""
    rows = renamed_classes(view)
    if not rows:
        return ""
    hurt = [repr(row.old) for row in rows if (row.after or 0) < (row.before or 0)]
    which = "its new name" if len(hurt) == 1 else "their new names"
    worse = f"Fewer test images of {some_of(hurt)} are right with {which}. " if hurt else ""
    if view.result is not None and view.result.best.unsupported:
        worse += f"{UNSUPPORTED}. "
    in_order = re.search(r"^class_names\s*=", view.config, re.MULTILINE) is not None
    edit = "write the original name in its line" if in_order else "remove its line"
    return (
        f"Read the new names. {worse}To leave one out, write them to a file (`promptclimb export "
        f"{folder_of(view)} {typed('format', 'class-names')}`), {edit}, and give predict that file "
        "(`class_names = FILE`). "
        "The gains on this page are those of all new names together."
    )


def _matrix_of(
    decisions: Decisions | None, inspection: Inspection, name: str | None
) -> ConfusionMatrix | None:
    """Return the matrix of a form if the decisions are this result's: files may be changed."""
    if decisions is None or name is None or name not in decisions.predicted:
        return None
    names = [by_class.name for by_class in inspection.classes]
    matrix = ConfusionMatrix.of_decisions(names, decisions.labels, decisions.predicted[name])
    images = [by_class.images for by_class in inspection.classes]
    if matrix is None or images != [matrix.images(label) for label in range(len(names))]:
        return None
    return matrix


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
        counts, images = matrix.row(true, labels), matrix.images(true)
        cells = [
            (count, 100 * count / images if images else 0.0, label == true)
            for label, count in zip(labels, counts, strict=True)
        ]
        rows.append(MatrixRow(true + 1, matrix.classes[true], cells, images - sum(counts)))
    listed = len(labels) == len(matrix.classes)
    worst = "" if listed else f" The {len(labels)} of {len(matrix.classes):,} classes with the most errors."
    return {
        "about": "Rows are true classes, columns the classes that they are taken for, by number; cells are "
        f"images, darker with their share of the row.{worst}",
        "columns": [(label + 1, matrix.classes[label]) for label in labels],
        "rows": rows,
        "whole": listed and not any(row.others for row in rows),
        "listed": listed,
        "option": typed("matrix", "FILE.csv"),
        "others": NO_CLASS if listed else "others",
    }


def _class_rows(
    inspection: Inspection, before: ConfusionMatrix | None, matrix: ConfusionMatrix | None
) -> list[ClassRow]:
    rows = []
    for label, now in enumerate(inspection.classes):
        if now.images:
            correct = None if before is None else before.counts.get((label, label), 0)
            change = None if correct is None else 100 * (now.correct - correct) / now.images
            precision = None if matrix is None else matrix.precision(label)
            percent = None if precision is None else 100 * precision
            rows.append(ClassRow(now.name, now.images, 100 * now.correct / now.images, change, percent))
    return sorted(rows, key=lambda row: (-abs(row.change or 0.0), row.recall))


def _confused(
    inspection: Inspection, before: ConfusionMatrix | None
) -> list[tuple[str, str, int, int | None]]:
    """Return true class, predicted class, images now, and images before."""
    pairs = Counter[tuple[str, str]]()
    if before is not None:
        for (true, predicted), count in before.counts.items():
            pairs[before.columns[true], before.columns[predicted]] += count
    return [
        (pair.true, pair.taken_for, pair.images, None if before is None else pairs[pair.true, pair.taken_for])
        for pair in inspection.confusions[:MOST_CONFUSED]
    ]


def _picture_groups(pictures: Sequence[Picture], baseline: str) -> list[tuple[str, Sequence[Picture]]]:
    groups = {
        f"Fixed: the {baseline} got these wrong": [picture for picture in pictures if picture.put_right],
        f"Broken: the {baseline} got these right": [picture for picture in pictures if not picture.put_right],
    }
    return [(heading, group) for heading, group in groups.items() if group]


class Figure(NamedTuple):
    """The desktop and the phone drawing of a chart as markup (empty without data), its legend and caption."""

    wide: str
    narrow: str
    key: list[tuple[str, str, str, str]]
    about: str


def course_of(view: RunView) -> dict[str, Any]:
    """Return the figure of the search, whether no round improved anything, and why some were skipped."""
    every = view.course.curves
    highest = sorted(every, key=lambda restart: (-every[restart][-1][1], restart))[:MOST_CURVES]
    curves = {f"restart {number}": every[number] for number in sorted(highest)}
    figure = _figure(curves, _levels(view), _about_course(view, len(curves)), percent=view.percent)
    skipped = view.course.skipped.items()
    no_progress = "" if view.result is None else without_progress(view.result)
    return {
        "figure": figure if figure.wide else None,
        "without_progress": f"{no_progress}." if no_progress else "",
        "skipped": [f"{counted(count, 'round')} skipped: {why}" for why, count in skipped],
    }


def _figure(curves: Mapping[str, Curve], levels: Mapping[str, float], about: str, *, percent: bool) -> Figure:
    from markupsafe import Markup

    key = [
        (name, score_text(curve[-1][1], percent=percent, unit=" %"), f"line-{number}", "none")
        for number, (name, curve) in enumerate(curves.items(), start=1)
    ]
    key += [
        (name, score_text(score, percent=percent, unit=" %"), f"level-{number}", dashes)
        for number, (dashes, (name, score)) in enumerate(zip(DASHES, levels.items(), strict=False), start=1)
    ]
    wide, narrow = (
        Markup(course_chart(curves, levels, size, f"course-{name}", percent=percent))
        for name, size in (("wide", WIDE), ("narrow", NARROW))
    )
    return Figure(wide, narrow, key, about)


def _levels(view: RunView) -> dict[str, float]:
    if view.result is None:
        levels = {BASELINE_DEFAULT: view.progress.default}
    else:
        levels = {name: group.train for name, group in view.result.baselines.items() if name in _LEVELS}
    if levels.get(BEST_HAND_MADE) is not None:
        levels.pop(HAND_MADE, None)
    ordered = [(name, levels.get(name)) for name in _LEVELS]
    return {baseline_name(name, view.words): train for name, train in ordered if train is not None}


def _about_course(view: RunView, shown: int) -> str:
    noun, curves = view.words.noun, len(view.course.curves)
    about = f"The best training score of each restart after each round; at 0, of its starting {noun}s."
    if view.result is None or chosen_by_more(view.rows):
        about += (
            " The final choice counts validation images and augmented copies too, where there are any, and "
            f"may fall on another {noun}."
        )
    if view.result is not None and view.result.best.class_names:
        about += " These scores are with the original class names."
    if shown < curves:
        about += f" The {shown} of {curves} restarts that ended highest are drawn."
    return about


def folder_of(view: RunView) -> str:
    """Return the run's folder for a command that is copied into the shell from which the page is written."""
    path = view.run_dir
    with suppress(ValueError):
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path))


class Use(NamedTuple):
    """What to use: a sentence, lines of Python and commands to copy, and the templates."""

    about: str
    code: list[str]
    commands: list[str]
    templates: str


def use_of(view: RunView) -> Use | None:
    """Return how to use the recommended form of a run; None without a result."""
    result = view.result
    if result is None:
        return None
    used, folder = result.texts.templates, folder_of(view)
    texts = result.texts_in_words
    sentence = texts[0].upper() + texts[1:]
    if result.prompts == INSTRUCTION:
        about = f"{sentence}; {{classes}} is the place of the list of class names."
        return Use(about, [], [], "\n".join(result.scored_as(*used)))
    named = ", for the new class names above" if result.best.class_names else ""
    weighed = " A text that is listed twice counts twice." if len(set(used)) < len(used) else ""
    if result.recommended.form == WITH_IMAGES:
        sentence = f"{CLASSIFIER} holds the recommended classifier. If you can only use texts, use {texts}"
    if result.only_texts_renamed:
        sentence = (
            f"{CLASSIFIER} holds the recommended classifier, whose texts stand at the top. Below is what "
            f"to use without images: {texts}"
        )
    open_clip = typed("format", "open-clip")
    about = f"{sentence}{named}.{weighed} {{}} is the slot of the class name."
    if left_out := without_images(result, result.texts):
        if not result.only_texts_renamed:
            left_out = f"with {open_clip}, {left_out}; {typed('format', 'safetensors')} has the classifier"
        about += f" {left_out[0].upper()}{left_out[1:]}."
    commands, code = [f"promptclimb export {folder} {open_clip}"], list[str]()
    # Nothing opens a custom scorer again.
    if result.model.pretrained or result.scorer_usage:
        commands.insert(0, f"promptclimb predict path/to/images {typed('run', folder)}")
    if result.with_images is not None and result.model.pretrained:  # `load` opens CLIP models only
        path = json.dumps(shlex.split(folder)[0], ensure_ascii=False)
        code = ["import promptclimb", f'promptclimb.load({path}).predict(["a.jpg", "b.jpg"])']
    return Use(about, code, commands, json.dumps(result.scored_as(*used), ensure_ascii=False, indent=2))
