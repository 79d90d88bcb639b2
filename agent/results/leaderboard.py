"""The leaderboard and the templates of a run, as the texts of their files, and by what they are in order."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence

from ...evaluator.counts import enumerated
from ..text import printable
from .result import Row

_FORMULA = ("=", "+", "-", "@")


def safe_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: what could start one gets an apostrophe."""
    plain = printable(text)
    return f"'{plain}" if plain.lstrip().startswith(_FORMULA) else plain


def chosen_by_more(rows: Iterable[Row]) -> bool:
    """Return whether more than the training images counts in the choice at the end."""
    return any(row.val is not None or row.views is not None for row in rows)


def about_order(rows: Sequence[Row], *, chosen: bool) -> str:
    """Return in a sentence by what rows are in their order.

    Args:
        rows: The leaderboard, or what was scored so far.
        chosen: Whether the search has chosen, so that it is the leaderboard.
    """
    if not chosen:
        return "Best first by training score so far; validation images and altered views count at the end."
    if not chosen_by_more(rows):
        return "Best first, in the order of the choice at the end: by training score."
    val, views = (any(getattr(row, name) is not None for row in rows) for name in ("val", "views"))
    others = [name for name, there in (("validation images", val), ("altered views", views)) if there]
    return (
        f"Best first, in the order of the choice at the end, which counts {enumerated(others)} too: "
        "another template may have the best training score."
    )


def leaderboard_csv(rows: Iterable[Row]) -> str:
    """Return the leaderboard as CSV: the same rows give the same bytes on every machine."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        ["rank", "template", "train", "val", "restart", "conversation", "round", "source", "views"]
    )
    for row in rows:
        val, views = ("" if value is None else f"{value:.6f}" for value in (row.val, row.views))
        place = (row.restart, row.conversation, row.round, safe_cell(row.source or ""))
        writer.writerow([row.rank, safe_cell(row.template), f"{row.train:.6f}", val, *place, views])
    return buffer.getvalue()


def templates_json(templates: Sequence[str]) -> str:
    """Return templates as open_clip and CLIP_benchmark read them: a JSON list, each with its slot ``{}``."""
    return json.dumps(list(templates), indent=2, ensure_ascii=False) + "\n"
