"""A dot plot of what a search returns and its rivals, with intervals, from rows of ``returned.py``.

python benchmarks/dot_plot.py docs/results/returned.jsonl docs/images/returned.svg

Each column is a model and a number of shots; each dot the mean difference to the bare class name ``{}`` over
sets, in points, with its 95 % interval. A rival is compared on the sets and seeds that it was run on; of its
two starts, ``{}`` and the texts, the better one is shown.
"""

from __future__ import annotations

import argparse
import html
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import OverSets, better_starts, over_sets, read_rows
from benchmarks.results_page import LEFT_OUT, row_name

Differences: TypeAlias = Mapping[str, OverSets]
"""By name of a classifier."""
BARE_NAME = "bare class name"
OURS = {"recommended": "promptclimb recommends"}
COLOURS = {True: "#c2410c", False: "#334155"}
LABELS, WIDTH, LINE, TOP = 340, 980, 22, 48
GAP = 20
"""Between the ends of a column and its axis: room for the figures at the ticks."""
EDGES = (-30.0, 60.0)
"""Most and least points that are shown; an interval beyond is cut."""


def differences(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], Differences]:
    """Return the mean difference of each name to ``{}``, by model and shots."""
    columns: dict[tuple[str, int], Differences] = {}
    for model, shots in sorted({(row["model"], row["shots"]) for row in rows}):
        own = [row for row in rows if (row["model"], row["shots"]) == (model, shots)]
        bare = {(row["set"], row["seed"]): row["test"][BARE_NAME] for row in own if BARE_NAME in row["test"]}
        by_name: dict[str, dict[str, list[float]]] = {}
        for row in own:
            for name, accuracy in row["test"].items():
                if name != BARE_NAME and (place := (row["set"], row["seed"])) in bare:
                    gains = by_name.setdefault(name, {}).setdefault(row["set"], [])
                    gains.append(100 * (accuracy - bare[place]))
        columns[model, shots] = {
            name: over_sets(gains, f"{name} {model} {shots}") for name, gains in by_name.items()
        }
    return columns


def dot_plot(columns: Mapping[tuple[str, int], Differences]) -> str:
    """Return the plot as SVG, best name of the last column first."""
    last = list(columns.values())[-1]
    means: dict[str, list[float]] = {}
    for name, gap in (item for column in columns.values() for item in column.items()):
        means.setdefault(name, []).append(gap.mean)
    shown = better_starts({name: statistics.fmean(gaps) for name, gaps in means.items()})
    names = sorted(set(shown) - set(LEFT_OUT), key=lambda name: _rank(last, name))
    ends = [
        edge
        for column in columns.values()
        for name in names
        if name in column
        for edge in column[name].interval
    ]
    low, high = max(EDGES[0], min([*ends, 0.0]) - 2), min(EDGES[1], max([*ends, 0.0]) + 2)
    width, height = (WIDTH - LABELS) / len(columns), TOP + LINE * len(names) + 30
    shapes = [f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>']
    for row, name in enumerate(names):
        words = OURS.get(name) or row_name(name).replace("*", "")
        shapes.append(_text(LABELS - 10, TOP + LINE * row + 4, words, "end", name in OURS))
    for number, ((model, shots), column) in enumerate(columns.items()):
        left = LABELS + number * width

        def across(points: float, left: float = left) -> float:
            share = (min(max(points, low), high) - low) / (high - low)
            return left + GAP + share * (width - 2 * GAP)

        title = f"{model}, {shots} shot{'s' * (shots != 1)}: points over {{}}"
        shapes.append(_text(left + width / 2, 18, title, "middle", bold=True))
        for tick in range(-30, 61, 10):
            if low <= tick <= high:
                line = "#0f172a" if tick == 0 else "#e2e8f0"
                shapes.append(_line(across(tick), TOP - 14, across(tick), height - 26, line))
                words = "{}" if tick == 0 else f"{tick:+d}"
                shapes.append(_text(across(tick), height - 10, words, "middle", bold=tick == 0))
        for row, name in enumerate(names):
            if (gap := column.get(name)) is not None:
                colour, y = COLOURS[name in OURS], TOP + LINE * row
                shapes.append(_line(across(gap.interval[0]), y, across(gap.interval[1]), y, colour, 2))
                shapes.append(f'<circle cx="{across(gap.mean):.1f}" cy="{y}" r="4" fill="{colour}"/>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">'
    return "\n".join([head, *shapes, "</svg>", ""])


def _rank(column: Differences, name: str) -> tuple[float, str]:
    gap = column.get(name)
    return (float("inf") if gap is None else -gap.mean, name)


def _text(x: float, y: float, words: str, anchor: str, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="13" fill="#0f172a"{weight}>{html.escape(words)}</text>'


def _line(x: float, y: float, to_x: float, to_y: float, colour: str, width: int = 1) -> str:
    ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'


def main() -> None:
    """Draw the plot of a file of rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=Path, metavar="ROWS.jsonl")
    parser.add_argument("plot", type=Path, metavar="PLOT.svg")
    options = parser.parse_args()
    options.plot.write_text(dot_plot(differences(read_rows(options.rows))), "utf-8")


if __name__ == "__main__":
    main()
