"""What is kept as lines of JSON: finished cells in the folder that ``--keep`` names, and how one is added."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers import tables
from benchmarks.peers.job import Job

ROWS_KEPT = "rows.jsonl"
CELL, PLAYED = (
    {"key", "row", "data", "seed"},
    {"test", "images", "right", "version", "ended", "wall_s", *tables.FIGURES},
)
"""What the tables read of any cell, and besides of one that was played to its end."""


def add_line(file: Path, value: Any) -> None:
    """Add a value; its line is begun anew, since the last one may have been cut short by a kill.

    Raises:
        OSError: It cannot be written.
    """
    with file.open("a", encoding="utf-8") as lines:
        lines.write(f"\n{json.dumps(value)}\n")


def lines_of(file: Path | None) -> list[dict[str, Any]]:
    """Return the values of a file of rows; none if there is no file."""
    lines = file.read_text("utf-8").splitlines() if file is not None and file.is_file() else []
    return [json.loads(line) for line in lines if line]


def kept(folder: Path) -> dict[str, dict[str, Any]]:
    """Return finished cells by key; a line that was cut short by a kill, or damaged, is skipped."""
    file = folder / ROWS_KEPT
    found = {}
    # By line feeds alone: an error may hold other ends of a line.
    for line in file.read_bytes().split(b"\n") if file.exists() else []:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and row.keys() >= (CELL if "error" in row else CELL | PLAYED):
            found[row["key"]] = row
    return found


def whole(asked: Sequence[Job], found: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of those sets and seeds that every row has been played on."""
    missing = {(job.data, job.seed) for job in asked if job.key not in found}
    return [found[job.key] for job in asked if (job.data, job.seed) not in missing]
