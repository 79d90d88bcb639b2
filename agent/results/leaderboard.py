"""The leaderboard and the templates of a run, as the texts of their files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence

from ..text import printable
from .result import Row

_FORMULA = ("=", "+", "-", "@")


def safe_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: what could start one gets an apostrophe."""
    plain = printable(text)
    return f"'{plain}" if plain.lstrip().startswith(_FORMULA) else plain


def leaderboard_csv(rows: Iterable[Row]) -> str:
    """Return the leaderboard as CSV: the same rows give the same bytes on every machine."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["rank", "template", "train", "val", "climb", "reset", "iteration", "source", "views"])
    for row in rows:
        val, views = ("" if value is None else f"{value:.6f}" for value in (row.val, row.views))
        place = (row.climb, row.reset, row.iteration, safe_cell(row.source or ""))
        writer.writerow([row.rank, safe_cell(row.template), f"{row.train:.6f}", val, *place, views])
    return buffer.getvalue()


def templates_json(templates: Sequence[str]) -> str:
    """Return templates as open_clip and CLIP_benchmark read them: a JSON list, each with its slot ``{}``."""
    return json.dumps(list(templates), indent=2, ensure_ascii=False) + "\n"
