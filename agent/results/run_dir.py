"""The files of a run directory: each written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..text import printable
from .result import Row, SearchResult

RESULT = "result.json"
LEADERBOARD = "leaderboard.csv"
TEMPLATES = "templates.json"
CONFIG = "config.toml"
EVENTS = "events.jsonl"
STORE = "store"

_FORMULA = ("=", "+", "-", "@")


def write_atomically(path: Path, text: str) -> None:
    """Writes a file so that a reader, or a crash, sees the old one or the new one and nothing between.

    Raises:
        OSError: It cannot be written; the old file is as it was.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def safe_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe goes before what could start one."""
    plain = printable(text)
    return f"'{plain}" if plain.lstrip().startswith(_FORMULA) else plain


def leaderboard_csv(rows: Iterable[Row]) -> str:
    """The leaderboard as CSV: the same rows give the same bytes on every machine."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["rank", "template", "train", "val", "climb", "reset", "iteration"])
    for row in rows:
        val = "" if row.val is None else f"{row.val:.6f}"
        place = (row.climb, row.reset, row.iteration)
        writer.writerow([row.rank, safe_cell(row.template), f"{row.train:.6f}", val, *place])
    return buffer.getvalue()


def templates_json(templates: Sequence[str]) -> str:
    """Templates as open_clip and CLIP_benchmark read them: a JSON list, each with its slot ``{}``."""
    return json.dumps(list(templates), indent=2, ensure_ascii=False) + "\n"


def write_result(run_dir: Path, result: SearchResult) -> None:
    """Writes leaderboard, templates and result; the result last, as the sign that the others are there.

    Raises:
        OSError: A file cannot be written.
    """
    write_atomically(run_dir / LEADERBOARD, leaderboard_csv(result.leaderboard))
    write_atomically(run_dir / TEMPLATES, templates_json(result.ensemble.templates))
    write_atomically(run_dir / RESULT, result.dumps())


def read_result(run_dir: Path) -> SearchResult:
    """The result that a run left.

    Raises:
        ValueError: It is not a result of this program.
        OSError: It cannot be read.
    """
    return SearchResult.from_json(json.loads((run_dir / RESULT).read_text("utf-8")))
