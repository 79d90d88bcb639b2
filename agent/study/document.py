"""A study's findings as one document, and its files: JSON, Markdown and CSV."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.pico.models import TOY_MODEL
from ..results.accuracies import (
    BEST,
    CHANCE_MARK,
    RECOMMENDED,
    Accuracy,
    AccuracyRow,
    AccuracyTable,
)
from ..results.result import SearchResult
from ..results.run_dir import SUMMARY, csv_text, safe_cell, write_atomically
from ..text import printable
from .outcomes import LABELS, SPENT, RunOutcome, blocks_of
from .study import Study, shots_label, white_box_label
from .tables import differences, tables
from .transfer import TRANSFER, Transferred, transfers

SCHEMA = 3
RAW, MARKDOWN = "runs.csv", "tables.md"
FILES = (RAW, MARKDOWN, SUMMARY, TRANSFER)

Lines = Sequence[Sequence[str]]

ABOUT = "Test accuracy in %."
ABOUT_MEANS = (
    "A cell is the mean over the seeds that every method has finished on that data set. "
    "The last column is the mean over the data sets, ± the standard deviation over seeds."
)
ABOUT_CHANCE = f"{CHANCE_MARK}: with at least one seed, it may be no better than chance level."
ABOUT_DIFFERENCES = (
    "Differences on test in percentage points, with 95 % intervals of a paired bootstrap over what is named; "
    "each is the mean over data sets of the mean over seeds, where both sides have finished."
)
ABOUT_TRANSFER = (
    "Gain over the default template, in points, of the template found on one model, scored on another "
    "(brought), and of the template that a search there found (native); kept is the first as a share of the "
    "second."
)


def findings(
    study: Study, outcomes: Sequence[RunOutcome], transferred: Transferred, title: str
) -> dict[str, Any]:
    """Return the study's document as JSON values; ``title`` is the default title."""
    blocks = blocks_of(outcomes)
    results = [run.end for run in outcomes if isinstance(run.end, SearchResult)]
    return {
        "schema": SCHEMA,
        "title": study.title or title,
        "tables": tables(study, blocks),
        "differences": differences(study, blocks),
        "transfer": transfers(study, blocks, transferred) if study.transfer else [],
        "left_out": [
            {**run.labels, "status": run.status, "reason": run.reason, **_folder(run)}
            for run in outcomes
            if not run.counts
        ],
        "notes": sorted({str(result.notes[TOY_MODEL]) for result in results if TOY_MODEL in result.notes}),
        "runs": [
            {
                **run.labels,
                "status": run.status,
                "counts": run.counts,
                "reason": run.reason,
                "template": run.template,
                "test": {name: figure.test for name, figure in run.figures.items()},
                **run.spent,
                **_folder(run),
            }
            for run in outcomes
        ],
    }


def _folder(run: RunOutcome) -> dict[str, Any]:
    return {"folder": run.cell.run_dir.name, "white_box": run.cell.white_box is not None}


def write_findings(folder: Path, document: Mapping[str, Any]) -> None:
    """Write the document and its tables."""
    write_atomically(folder / RAW, raw_csv(document["runs"]))
    write_atomically(folder / MARKDOWN, markdown(document))
    write_atomically(folder / SUMMARY, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def raw_csv(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return a row for each run, whether it counts or not; accuracies are fractions of 1."""
    figures = list(dict.fromkeys([RECOMMENDED, BEST, *(name for run in runs for name in run["test"])]))
    before, after = (*LABELS, "status", "counts", "reason", "template"), (*SPENT, "folder", "white_box")
    rows = [[*before, *(safe_cell(f"test: {name}") for name in figures), *after]]
    for run in runs:
        tests = [f"{run['test'][name]:.6f}" if name in run["test"] else "" for name in figures]
        rows.append([*map(_cell, map(run.get, before)), *tests, *map(_cell, map(run.get, after))])
    return csv_text(rows)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return safe_cell(value) if isinstance(value, str) else value


def pages(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Lines]]:
    """Yield every table of a study: heading, explanation, and lines with column names first."""
    for table in document["tables"]:
        at_chance = any(row["at_chance"] for row in table["rows"])
        has_means = table["sets"] > 1 or any(len(of_set) > 1 for of_set in table["seeds"].values())
        about = [ABOUT, *([ABOUT_MEANS] if has_means else []), *([ABOUT_CHANCE] if at_chance else [])]
        yield f"{table['model']}, {shots_label(table['shots'])}", " ".join(about), _table_lines(table)
    if document["differences"]:
        yield "Differences", ABOUT_DIFFERENCES, _difference_lines(document["differences"])
    if document["transfer"]:
        yield "Transfer", ABOUT_TRANSFER, _transfer_lines(document["transfer"])
    if document["left_out"]:
        lines = [("run", "status", "reason")]
        for run in document["left_out"]:
            name = white_box_label(run["folder"]) if run["white_box"] else run["folder"]
            lines.append((name, run["status"], run["reason"] or ""))
        yield "In no mean", "Each run with its reason.", lines


def _table_lines(table: Mapping[str, Any]) -> Lines:
    """Return a table of accuracies; a column that lacks seeds says how many it has."""
    seeds = {name: len(of_set) for name, of_set in table["seeds"].items()}
    most = max(seeds.values(), default=0)
    heads = [name if count == most else f"{name} ({counted(count, 'seed')})" for name, count in seeds.items()]
    mean = "mean" if table["sets"] == len(heads) else f"mean of {table['sets']}"
    rows = []
    for row in table["rows"]:
        cells = {
            head: Accuracy(value=row["test"][name], may_be_chance=name in row["at_chance"])
            for head, name in zip(heads, seeds, strict=True)
        }
        cells[mean] = Accuracy(value=row["mean"], spread=row["std"])
        rows.append(AccuracyRow(name=row["label"], title=row["label"], cells=cells))
    return AccuracyTable(columns=(*heads, mean), rows=tuple(rows)).lines()


def _difference_lines(differences: Sequence[Mapping[str, Any]]) -> Lines:
    lines: list[Sequence[str]] = [("", "model", "shots", "sets", "runs", "points", "95 % interval", "over")]
    for difference in differences:
        low_high = difference["interval"]
        interval = "-" if low_high is None else "{:+z.1f} to {:+z.1f}".format(*low_high)
        label = f"{difference['first']} over {difference['second']}"
        counts = (_shots(difference), str(difference["sets"]), str(difference["runs"]))
        resampled = ", ".join(difference["resampled"]) or "-"
        points = _signed(difference["points"])
        lines.append((label, difference["model"], *counts, points, interval, resampled))
    return lines


def _transfer_lines(transfers: Sequence[Mapping[str, Any]]) -> Lines:
    lines: list[Sequence[str]] = [("", "shots", "from", "to", "sets", "brought", "native", "kept")]
    for row in transfers:
        where = (row["label"], _shots(row), row["from"], row["to"], str(row["sets"]))
        share = "-" if row["kept"] is None else f"{100 * row['kept']:z.0f} %"
        lines.append((*where, _signed(row["brought"]), _signed(row["native"]), share))
    return lines


def markdown(document: Mapping[str, Any]) -> str:
    """Return every table of a study in Markdown."""
    texts = [f"# {_in_markdown(document['title'])}", ""]
    for heading, about, (head, *lines) in pages(document):
        rule = ["---", *("---:" for _ in head[1:])]
        rows = [map(_in_markdown, head), rule, *(map(_in_markdown, line) for line in lines)]
        table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
        texts += [f"## {_in_markdown(heading)}", "", about, "", table]
    return "\n".join(texts)


def _shots(row: Mapping[str, Any]) -> str:
    return "default" if row["shots"] is None else str(row["shots"])


def _signed(points: float | None) -> str:
    return "-" if points is None else f"{points:+z.1f}"


def _in_markdown(text: str) -> str:
    return re.sub(r"([\\|`*_\[\]~])", r"\\\1", escape(printable(text), quote=False))
