"""All that a study says, as one document, and its files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...evaluator.counts import counted
from ..results.run_dir import SUMMARY, write_atomically
from .accuracy_tables import curves, tables
from .comparing import differences
from .outcomes import Outcome, blocks_of, left_out, where, without_details
from .picture import is_drawable, svg
from .study_file import Study
from .study_forms import markdown, raw_csv
from .study_latex import latex
from .transfer import Carried, transfers

SCHEMA = 1
RAW, MARKDOWN, LATEX, PICTURE = "runs.csv", "tables.md", "tables.tex", "picture.svg"
FILES = (RAW, MARKDOWN, LATEX, PICTURE, SUMMARY)


def findings(study: Study, outcomes: Sequence[Outcome], carried: Carried, title: str) -> dict[str, Any]:
    """Return the study's document, as JSON values.

    Args:
        study: The file.
        outcomes: What came of each run.
        carried: What was scored on other models.
        title: What it is called where the file does not say.
    """
    blocks = blocks_of(outcomes)
    return {
        "schema": SCHEMA,
        "title": study.title or title,
        "tables": tables(study, blocks),
        "differences": differences(study, blocks),
        "curves": curves(study, blocks),
        "transfer": transfers(study, blocks, carried) if study.transfer else [],
        "left_out": left_out(outcomes),
        "without_details": without_details(outcomes),
        "notes": list(_unseen_points(study, outcomes)),
        "runs": [_run(one) for one in outcomes],
    }


def _unseen_points(study: Study, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield which points of learning curves finished runs reached, and were not looked at for."""
    # Of a run without decisions image by image nothing of its opening is known.
    known = [one for one in outcomes if any(figure.hits is not None for figure in one.figures.values())]
    searches = [one for one in known if one.counts and one.cell.white_box is None]
    lacking = {
        count: sum(count not in one.curve and count <= (one.spent.get("evaluated") or 0) for one in searches)
        for count in sorted(study.curve)
    }
    if points := [str(count) for count, runs in lacking.items() if runs]:
        yield (
            f"learning curves lack n = {', '.join(points)}: {counted(max(lacking.values()), 'finished run')} "
            "had no such look at the test images, which are opened once; a folder of its own "
            "(--suite-dir) makes the study anew"
        )


def _run(one: Outcome) -> dict[str, Any]:
    return {
        **where(one),
        "status": one.status,
        "counts": one.counts,
        "reason": one.reason,
        "template": one.template,
        "test": {name: figure.test for name, figure in one.figures.items()},
        **one.spent,
        "folder": one.cell.run_dir.name,
        "white_box": one.cell.white_box is not None,
    }


def write_findings(folder: Path, document: Mapping[str, Any], outcomes: Sequence[Outcome]) -> str | None:
    """Write the document, its tables in three forms, and its picture.

    Returns:
        Why there is no picture; None where there is one, or nothing to draw.

    Raises:
        OSError: A file cannot be written.
    """
    write_atomically(folder / RAW, raw_csv(outcomes))
    write_atomically(folder / MARKDOWN, markdown(document))
    write_atomically(folder / LATEX, latex(document))
    write_atomically(folder / SUMMARY, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    # Last: it takes longest, and an interruption is not to leave a summary that is older than its tables.
    why = is_drawable()
    if why is None and (drawn := svg(document)) is not None:
        write_atomically(folder / PICTURE, drawn)
    return why
