"""A study's findings as one document, and its files: JSON, Markdown, CSV and a picture."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.datasets.loading import toy_model_notes
from ..present.verdict import CHANCE_MARK
from ..results.details import BEST
from ..results.gain import ENSEMBLE
from ..results.run_dir import SUMMARY, safe_cell, write_atomically
from ..text import printable
from .differences import differences
from .outcomes import SPENT, RunOutcome, blocks_of, labels_of
from .picture import is_drawable, svg
from .study import Study, shots_label, white_box_label
from .tables import curves, tables
from .transfer import TRANSFER, Transferred, transfers

SCHEMA = 3
RAW, MARKDOWN, PICTURE = "runs.csv", "tables.md", "picture.svg"
FILES = (RAW, MARKDOWN, PICTURE, SUMMARY, TRANSFER)

Lines = Sequence[Sequence[str]]

ABOUT = (
    "Test accuracy in %. A cell is the mean over the seeds that every method has finished on that data set. "
    "The last column is the mean over the data sets, ± the standard deviation over seeds."
)
ABOUT_CHANCE = f"{CHANCE_MARK}: with at least one seed, it may be no better than chance level."
ABOUT_DIFFERENCES = (
    "Differences on test in percentage points, with 95 % intervals of a paired bootstrap over what is named; "
    "each is the mean over data sets of the mean over seeds, where both sides have finished."
)
ABOUT_CURVES = (
    "Test accuracy in % of the template that would have been chosen after n templates, from the one test "
    "evaluation at the end of each search. Curves of one model and number of shots share their data sets and "
    "seeds: those that every method with a curve has finished."
)
ABOUT_TRANSFER = (
    "Gain over the default template, in points, of the template found on one model, scored on another "
    "(brought), and of the template that a search there found (native); kept is the first as a share of the "
    "second."
)
ABOUT_DETAILS = (
    "Runs that count, but whose details.json is missing or of another result: no difference with them "
    "resamples images, and no learning curve includes them."
)


def findings(
    study: Study, outcomes: Sequence[RunOutcome], transferred: Transferred, title: str
) -> dict[str, Any]:
    """Return the study's document as JSON values; ``title`` is the default title."""
    blocks = blocks_of(outcomes)
    return {
        "schema": SCHEMA,
        "title": study.title or title,
        "tables": tables(study, blocks),
        "differences": differences(study, blocks),
        "curves": curves(study, blocks),
        "transfer": transfers(study, blocks, transferred) if study.transfer else [],
        "left_out": [_left_out(one) for one in outcomes if not one.counts],
        "without_details": [
            {**labels_of(one), "folder": one.cell.run_dir.name}
            for one in outcomes
            if one.counts and not one.detailed
        ],
        "notes": [*_toy_models(outcomes), *_missing_points(study, outcomes)],
        "runs": [_run(one) for one in outcomes],
    }


def _left_out(one: RunOutcome) -> dict[str, Any]:
    return {**labels_of(one), "status": one.status, "reason": one.reason, **_which(one)}


def _run(one: RunOutcome) -> dict[str, Any]:
    return {
        **labels_of(one),
        "status": one.status,
        "counts": one.counts,
        "reason": one.reason,
        "template": one.template,
        "test": {name: figure.test for name, figure in one.figures.items()},
        **one.spent,
        **_which(one),
    }


def _which(one: RunOutcome) -> dict[str, Any]:
    return {"folder": one.cell.run_dir.name, "white_box": one.cell.white_box is not None}


def _toy_models(outcomes: Sequence[RunOutcome]) -> Iterator[str]:
    yield from dict.fromkeys(note for one in outcomes for note in toy_model_notes(one.cell.config))


def _missing_points(study: Study, outcomes: Sequence[RunOutcome]) -> Iterator[str]:
    # A run without decisions image by image has no details of its test evaluation.
    known = [one for one in outcomes if any(figure.hits is not None for figure in one.figures.values())]
    searches = [one for one in known if one.counts and one.cell.white_box is None]
    lacking = {
        count: sum(count not in one.curve and count <= (one.spent.get("evaluated") or 0) for one in searches)
        for count in sorted(study.curve)
    }
    if points := [str(count) for count, runs in lacking.items() if runs]:
        yield (
            f"learning curves lack n = {', '.join(points)}: {counted(max(lacking.values()), 'finished run')} "
            "did not evaluate them on test, which happens only once. To run the study anew, give it another "
            "folder with --suite-dir."
        )


def write_findings(folder: Path, document: Mapping[str, Any], outcomes: Sequence[RunOutcome]) -> str | None:
    """Write the document, tables and picture; return why a picture could not be drawn, or None."""
    write_atomically(folder / RAW, raw_csv(outcomes))
    write_atomically(folder / MARKDOWN, markdown(document))
    write_atomically(folder / SUMMARY, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    # Last, as it takes longest: an interruption must not leave a summary older than its tables.
    why = is_drawable()
    if why is None and (drawn := svg(document)) is not None:
        write_atomically(folder / PICTURE, drawn)
    return why


def raw_csv(outcomes: Sequence[RunOutcome]) -> str:
    """Return a row for each run, whether it counts or not; accuracies are fractions of 1."""
    others = dict.fromkeys(name for one in outcomes for name in one.figures)
    figures = [BEST, ENSEMBLE, *(name for name in others if name not in (BEST, ENSEMBLE))]
    names = ("data", "shots", "seed", "model", "method", "llm")
    head = [*names, "status", "counts", "reason", "template", *(f"test: {one}" for one in figures), *SPENT]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*map(safe_cell, head), "folder", "white_box"])
    for one in outcomes:
        tests = [f"{one.figures[name].test:.6f}" if name in one.figures else "" for name in figures]
        spent = [one.spent.get(name, "") for name in SPENT]
        texts = [safe_cell(text or "") for text in (one.reason, one.template)]
        own = [
            value if isinstance(value, int) else safe_cell(value or "") for value in labels_of(one).values()
        ]
        last = (one.cell.run_dir.name, int(one.cell.white_box is not None))
        writer.writerow([*own, one.status, int(one.counts), *texts, *tests, *spent, *last])
    return buffer.getvalue()


def parts(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Lines]]:
    """Yield every table of a study: heading, explanation, and lines with column names first."""
    for table in document["tables"]:
        at_chance = any(row["at_chance"] for row in table["rows"])
        about = f"{ABOUT} {ABOUT_CHANCE}" if at_chance else ABOUT
        yield f"{table['model']}, {shots_label(table['shots'])}", about, _table_lines(table)
    if document["differences"]:
        yield "Differences", ABOUT_DIFFERENCES, _difference_lines(document["differences"])
    if document["curves"]:
        yield "Learning curves", ABOUT_CURVES, _curve_lines(document["curves"])
    if document["transfer"]:
        yield "Transfer", ABOUT_TRANSFER, _transfer_lines(document["transfer"])
    if document["left_out"]:
        yield "In no mean", "Each run with its reason.", _left_lines(document["left_out"])
    if document.get("without_details"):
        folders = [[one["folder"]] for one in document["without_details"]]
        yield "Without details", ABOUT_DETAILS, [["run"], *folders]


def _table_lines(table: Mapping[str, Any]) -> Lines:
    """Return a table of accuracies; a column that lacks seeds says how many it has."""
    seeds = {name: len(own) for name, own in table["seeds"].items()}
    most = max(seeds.values(), default=0)
    names = [
        name if seeds[name] == most else f"{name} ({counted(seeds[name], 'seed')})"
        for name in table["columns"]
    ]
    mean = "mean" if table["sets"] == len(names) else f"mean of {table['sets']}"
    return [("", *names, mean), *(_accuracies(row, table["columns"]) for row in table["rows"])]


def _accuracies(row: Mapping[str, Any], columns: Sequence[str]) -> Sequence[str]:
    figures = [
        _percent(row["test"][name]) + (CHANCE_MARK if name in row["at_chance"] else "") for name in columns
    ]
    spread = f" ±{100 * row['std']:.1f}" if row.get("std") else ""
    return (row["label"], *figures, _percent(row["mean"]) + spread)


def _difference_lines(found: Sequence[Mapping[str, Any]]) -> Lines:
    lines: list[Sequence[str]] = [("", "model", "shots", "sets", "runs", "points", "95 % interval", "over")]
    for one in found:
        interval = "-" if one["interval"] is None else "{:+z.1f} to {:+z.1f}".format(*one["interval"])
        points = "-" if one["points"] is None else f"{one['points']:+z.1f}"
        what = f"{one['first']} over {one['second']}"
        counts = (_shots(one), str(one["sets"]), str(one["runs"]))
        lines.append((what, one["model"], *counts, points, interval, ", ".join(one["resampled"]) or "-"))
    return lines


def _curve_lines(found: Sequence[Mapping[str, Any]]) -> Lines:
    counts = sorted({point["templates"] for one in found for point in one["points"]})
    partial = any("of" in one and one["runs"] < one["of"]["runs"] for one in found)
    over = ("sets", "runs") if partial else ()
    lines: list[Sequence[str]] = [("", "model", "shots", *over, *(f"n = {count}" for count in counts))]
    for one in found:
        tests = {point["templates"]: point["test"] for point in one["points"]}
        figures = (_percent(tests.get(count)) for count in counts)
        own = [f"{one[name]} of {one['of'][name]}" for name in over]
        lines.append((one["label"], one["model"], _shots(one), *own, *figures))
    return lines


def _transfer_lines(found: Sequence[Mapping[str, Any]]) -> Lines:
    lines: list[Sequence[str]] = [("", "shots", "from", "to", "sets", "brought", "native", "kept")]
    for one in found:
        brought, native = ("-" if one[key] is None else f"{one[key]:+z.1f}" for key in ("brought", "native"))
        kept = "-" if one["kept"] is None else f"{100 * one['kept']:z.0f} %"
        counts = (_shots(one), one["from"], one["to"], str(one["sets"]))
        lines.append((one["label"], *counts, brought, native, kept))
    return lines


def _left_lines(found: Sequence[Mapping[str, Any]]) -> Lines:
    lines: list[Sequence[str]] = [("run", "status", "reason")]
    for one in found:
        folder = white_box_label(one["folder"]) if one.get("white_box") else one["folder"]
        lines.append((folder, one["status"], one["reason"] or ""))
    return lines


def markdown(document: Mapping[str, Any]) -> str:
    """Return every table of a study in Markdown."""
    pages = [f"# {_in_markdown(document['title'])}", ""]
    for heading, about, lines in parts(document):
        pages += [f"## {_in_markdown(heading)}", "", about, "", table_in_markdown(lines)]
    return "\n".join(pages)


def table_in_markdown(lines: Lines) -> str:
    """Return one table in Markdown; the first line holds the column names."""
    head, *others = lines
    rule = ["---", *("---:" for _ in head[1:])]
    rows = [map(_in_markdown, head), rule, *(map(_in_markdown, line) for line in others)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _shots(one: Mapping[str, Any]) -> str:
    return "default" if one["shots"] is None else str(one["shots"])


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _in_markdown(text: str) -> str:
    return re.sub(r"([\\|`*_\[\]~])", r"\\\1", escape(printable(text), quote=False))
