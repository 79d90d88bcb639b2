"""Parts of tables that the page of a run is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from .figures import score_text
from .gain import Difference, Gain, shown_name

_NUMBERS = frozenset({"train", "val", "test", "rank", "images", "points", "interval", "first", "second"})
ABOUT_GAIN = (
    "Differences on test in percentage points, with 95 % intervals; then, of the images on which two decide "
    "differently, how many the first alone gets right, and how many the second."
)


def pairs(found: Mapping[str, str]) -> str:
    """Return a table of names and texts."""
    body = "".join(f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in found.items())
    return f"<table>{body}</table>"


def head(*names: str) -> str:
    """Return the head of a table."""
    cells = "".join(
        f'<th class="n">{escape(name)}</th>' if name in _NUMBERS else f"<th>{escape(name)}</th>"
        for name in names
    )
    return f"<thead><tr>{cells}</tr></thead>"


def number_cells(values: Iterable[float | None], *, percent: bool = True) -> str:
    """Return scores as cells of a row."""
    return "".join(f'<td class="n">{score_text(value, percent=percent)}</td>' for value in values)


def gain_table(gain: Gain | None) -> list[str]:
    """Return the verdict, and each difference with its interval; nothing where there is no gain to tell."""
    if gain is None:
        return []
    rows = [(f"best found over {shown_name(name)}", one) for name, one in gain.over.items()]
    rows += [("ensemble over best found", gain.ensemble)] if gain.ensemble is not None else []
    body = "".join(f"<tr><td>{escape(name)}</td>{_difference(one)}</tr>" for name, one in rows)
    table = f"<table>{head('', 'points', 'interval', 'first', 'second')}{body}</table>"
    return [f"<p><b>{escape(gain.told)}</b></p>", table, f"<p>{ABOUT_GAIN}</p>"]


def _difference(one: Difference) -> str:
    if one.of_one:
        return '<td colspan="4">the same template</td>'
    low, high = one.interval
    apart = ["-" if count is None else f"{count:,}" for count in (one.better, one.worse)]
    cells = [f"{one.points:+.1f}", f"{low:+.1f} to {high:+.1f}", *apart]
    return "".join(f'<td class="n">{cell}</td>' for cell in cells)
