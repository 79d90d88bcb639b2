"""A study's document as tables: in Markdown, and raw with a row for each run."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from ...evaluator.counts import counted
from ..results.details import BEST
from ..results.gain import CHANCE_MARK, ENSEMBLE
from ..results.run_dir import safe_cell
from ..text import printable
from .outcomes import SPENT, Outcome, where
from .row_names import white_box_label

Lines = Sequence[Sequence[str]]

ABOUT = (
    "Test accuracy in %. A data set's figure is the mean over the seeds that every method has finished "
    "there; the mean is over the data sets that have such a seed."
)
ABOUT_GUESSED = f"{CHANCE_MARK}: of at least one seed, it may be no better than guessing."
ABOUT_DIFFERENCES = (
    "Differences on test in percentage points, with 95 % intervals of a paired bootstrap over what is named; "
    "each is the mean over data sets of the mean over seeds, where both sides have finished."
)
ABOUT_CURVES = (
    "Test accuracy in % of what selection would have picked after n templates: looked at in the one "
    "opening of the test split, and told to no search. Curves of one model and number of shots are over the "
    "data sets and seeds that every method with a curve has finished."
)
ABOUT_TRANSFER = (
    "Gain over the plain template, in points, of what was found on one model, scored on another (brought), "
    "beside that of what a search there found itself (native); kept is the first as a share of the second."
)
ABOUT_DETAILS = (
    "Runs that count, but whose details.json is not there, or is of another result: images are drawn again "
    "for no difference that they are in, and no learning curve is over them."
)


def raw_csv(outcomes: Sequence[Outcome]) -> str:
    """Return a row for each run, whether it counts or not; accuracies are shares of 1."""
    others = dict.fromkeys(name for one in outcomes for name in one.figures)
    figures = [BEST, ENSEMBLE, *(name for name in others if name not in (BEST, ENSEMBLE))]
    names = ("data", "shots", "seed", "model", "method", "llm")
    head = [*names, "status", "counts", "reason", "template", *(f"test: {one}" for one in figures), *SPENT]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*map(safe_cell, head), "folder", "white_box"])
    for one in outcomes:
        place = where(one)
        tests = [f"{one.figures[name].test:.6f}" if name in one.figures else "" for name in figures]
        spent = [one.spent.get(name, "") for name in SPENT]
        told = [safe_cell(text or "") for text in (one.reason, one.template)]
        own = [value if isinstance(value, int) else safe_cell(value or "") for value in place.values()]
        last = (one.cell.run_dir.name, int(one.cell.white_box is not None))
        writer.writerow([*own, one.status, int(one.counts), *told, *tests, *spent, *last])
    return buffer.getvalue()


def parts(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Lines]]:
    """Yield every table of a study: its heading, what it shows, and its lines, the first of them names."""
    for table in document["tables"]:
        guessed = any(row["guessed"] for row in table["rows"])
        about = f"{ABOUT} {ABOUT_GUESSED}" if guessed else ABOUT
        yield f"{table['model']}, {counted(table['shots'], 'shot')}", about, table_lines(table)
    if document["differences"]:
        yield "Differences", ABOUT_DIFFERENCES, _difference_lines(document["differences"])
    if document["curves"]:
        yield "Learning curves", ABOUT_CURVES, _curve_lines(document["curves"])
    if document["transfer"]:
        yield "Transfer", ABOUT_TRANSFER, _transfer_lines(document["transfer"])
    if document["left_out"]:
        yield "In no mean", "Each run with its reason.", _left_lines(document["left_out"])
    if document.get("without_details"):
        yield (
            "Without details",
            ABOUT_DETAILS,
            [["run"], *([one["folder"]] for one in document["without_details"])],
        )


def table_lines(table: Mapping[str, Any]) -> Lines:
    """Return a table of accuracies; a column that lacks seeds says how many it has."""
    most = max((len(seeds) for seeds in table["seeds"].values()), default=0)
    seeds = {name: len(own) for name, own in table["seeds"].items()}
    names = [
        name if seeds[name] == most else f"{name} ({counted(seeds[name], 'seed')})"
        for name in table["columns"]
    ]
    mean = "mean" if table["sets"] == len(names) else f"mean of {table['sets']}"
    rows = [
        (row["label"], *(_figure(row, name) for name in table["columns"]), _percent(row["mean"]))
        for row in table["rows"]
    ]
    return [("", *names, mean), *rows]


def _figure(row: Mapping[str, Any], data: str) -> str:
    return _percent(row["test"][data]) + (CHANCE_MARK if data in row["guessed"] else "")


def _difference_lines(found: Sequence[Mapping[str, Any]]) -> Lines:
    lines: list[Sequence[str]] = [("", "model", "shots", "sets", "runs", "points", "95 % interval", "over")]
    for one in found:
        interval = "-" if one["interval"] is None else "{:+z.1f} to {:+z.1f}".format(*one["interval"])
        points = "-" if one["points"] is None else f"{one['points']:+z.1f}"
        what = f"{one['first']} over {one['second']}"
        counts = (str(one["shots"]), str(one["sets"]), str(one["runs"]))
        lines.append((what, one["model"], *counts, points, interval, ", ".join(one["resampled"]) or "-"))
    return lines


def _curve_lines(found: Sequence[Mapping[str, Any]]) -> Lines:
    counts = sorted({point["templates"] for one in found for point in one["points"]})
    partial = any(is_partial(one) for one in found)
    over = ("sets", "runs") if partial else ()
    lines: list[Sequence[str]] = [("", "model", "shots", *over, *(f"n = {count}" for count in counts))]
    for one in found:
        tests = {point["templates"]: point["test"] for point in one["points"]}
        figures = (_percent(tests.get(count)) for count in counts)
        own = [f"{one[name]} of {one['of'][name]}" for name in over]
        lines.append((one["label"], one["model"], str(one["shots"]), *own, *figures))
    return lines


def is_partial(curve: Mapping[str, Any]) -> bool:
    """Return whether a learning curve is over fewer runs than the study has; older documents do not say."""
    return "of" in curve and curve["runs"] < curve["of"]["runs"]


def _transfer_lines(found: Sequence[Mapping[str, Any]]) -> Lines:
    lines: list[Sequence[str]] = [("", "shots", "from", "to", "sets", "brought", "native", "kept")]
    for one in found:
        brought, native = ("-" if one[key] is None else f"{one[key]:+z.1f}" for key in ("brought", "native"))
        kept = "-" if one["kept"] is None else f"{100 * one['kept']:z.0f} %"
        counts = (str(one["shots"]), one["from"], one["to"], str(one["sets"]))
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
    """Return one table in Markdown; the first of its lines are the names of its columns."""
    head, *others = lines
    rule = ["---", *("---:" for _ in head[1:])]
    rows = [map(_in_markdown, head), rule, *(map(_in_markdown, line) for line in others)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _in_markdown(text: str) -> str:
    return re.sub(r"([\\|`*_\[\]~])", r"\\\1", escape(printable(text), quote=False))
