"""The course of a run as SVG: a step for each time that a restart found something better.

Drawn by pygal, which is small, pure Python and needs no script: the page stays one file of some hundred kB
(Vega-Lite or Plotly would bring megabytes of JavaScript, matplotlib fixed colours). Its colours are variables
of the page's style, so one drawing serves light, dark and paper.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from .course import Curve

MOST_CURVES = 8
"""Restarts that are drawn: as many as there are colours that can be told apart."""
MOST_NAMED = 4
"""Restarts on one line that are named in the legend; more are counted."""
WIDE, NARROW = (860, 360), (380, 330)
"""Pixels of the drawing for a desk and of that for a telephone."""
DASHES = ("7,4", "2,3", "10,3,2,3")
"""How levels are broken, in their order; so many are drawn."""
REST = 0.04
"""How far a score is drawn beyond the last round, so that one found there is seen."""
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LARGEST = 1e12
"""Beyond it a drawing library's own sums go wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What is drawn.

    Attributes:
        curves: By restart, its best score after each round.
        levels: Scores to compare with, by name: each a broken line.
        percent: Whether scores are accuracies, to be shown in percent.
    """

    curves: Mapping[int, Curve]
    levels: Mapping[str, float]
    percent: bool = True


def course_chart(drawing: Drawing, size: tuple[int, int], name: str) -> str:
    """Return the chart as an ``<svg>`` element; empty where there is nothing to draw.

    Args:
        drawing: What is drawn.
        size: Its width and height in pixels.
        name: An id of its own on the page.
    """
    curves = shown_curves(drawing.curves)
    values = [value for curve in curves.values() for _, value in curve]
    if not values or max(map(abs, values)) > _LARGEST:
        return ""
    scale = 100.0 if drawing.percent else 1.0
    last = max((step for curve in curves.values() for step, _ in curve), default=0) or 1
    chart = _empty(size, drawing, last)
    chart.uuid = name
    for restarts, curve in curves.items():
        chart.add(named(restarts), [(step, scale * value) for step, value in _steps(curve, last)])
    for dashes, (level, value) in zip(DASHES, drawing.levels.items(), strict=False):
        line = [(0, scale * value), (last + REST * last, scale * value)]
        chart.add(level, line, stroke_style={"dasharray": dashes, "width": 2})
    chart.add_xml_filter(_without_scripts)
    drawn = _COMMENT.sub("", chart.render(is_unicode=True))
    unit = "accuracy in percent" if drawing.percent else "score"
    label = f'role="img" aria-label="Best training {unit} of each restart after each round"'
    return drawn.replace("<svg ", f"<svg {label} ", 1)


def shown_curves(curves: Mapping[int, Curve]) -> dict[tuple[int, ...], Curve]:
    """Return the curves that are drawn, by the restarts whose course they are.

    Restarts that went alike are one line, since each would hide the one before; where there are many lines,
    those that end highest are drawn.
    """
    alike = dict[Curve, list[int]]()
    for restart in sorted(curves):
        if curves[restart]:
            alike.setdefault(_bettered(curves[restart]), []).append(restart)
    best = sorted(alike.items(), key=lambda one: (-one[0][-1][1], one[1]))[:MOST_CURVES]
    return {
        tuple(same): max((curves[restart] for restart in same), key=lambda curve: curve[-1][0])
        for same in sorted(same for _, same in best)
    }


@cache
def _pygal() -> Any:
    """Return the library; imported when the first chart is drawn, as a search needs it at its end alone."""
    import pygal
    import pygal.style

    # It finds its plugins, of which there are none, by an import hook of a form that Python has given up.
    sys.meta_path[:] = [hook for hook in sys.meta_path if type(hook).__module__ != "pygal"]
    return pygal


def _without_scripts(root: Any) -> Any:
    """Return the drawing without what only scripts would use: a page that is sent on has none."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == "script" or "overlay" in str(child.get("class")):
                parent.remove(child)
    return root


def _empty(size: tuple[int, int], drawing: Drawing, last: int) -> Any:
    width, height = size
    colours = [f"var(--line-{number})" for number in range(1, len(shown_curves(drawing.curves)) + 1)]
    colours += [f"var(--level-{number})" for number in range(1, len(drawing.levels) + 1)]
    style = _pygal().style.Style(
        **dict.fromkeys(("background", "plot_background"), "transparent"),
        **dict.fromkeys(("foreground", "foreground_strong"), "var(--ink)"),
        foreground_subtle="var(--rule)",
        opacity="1",
        opacity_hover="1",
        transition="0s",
        colors=tuple(colours),
        font_family="inherit",
        **dict.fromkeys(("label_font_size", "major_label_font_size", "title_font_size"), 13),
    )
    chart = _pygal().XY(
        style=style,
        width=width,
        height=height,
        js=(),
        show_dots=False,
        dots_size=0,
        show_x_guides=False,
        show_legend=False,  # the page has one, of words and not of drawn text
        show_y_guides=True,
        min_scale=4,
        max_scale=9,
        xrange=(0, last + REST * last),
        x_title="rounds done",
        y_title="train accuracy, %" if drawing.percent else "train score",
        stroke_style={"width": 2.5, "linejoin": "round"},
        disable_xml_declaration=True,
        margin=6,
        value_formatter=lambda value: f"{value:.6g}",
    )
    chart.x_labels = _ticks(last)
    chart.x_value_formatter = lambda value: f"{value:.0f}"
    return chart


def _ticks(last: int) -> Sequence[int]:
    step = next(step for step in _nice() if last / step <= 8)
    return range(0, last + 1, step)


def _nice() -> Iterable[int]:
    size = 1
    while True:
        yield from (size, 2 * size, 5 * size)
        size *= 10


def named(restarts: Sequence[int]) -> str:
    """Return how a line is called: ``restart 2``, ``restarts 1, 2 and 5``, or how many there are."""
    if len(restarts) > MOST_NAMED:
        return f"{len(restarts)} restarts"
    *others, last = map(str, restarts)
    return f"restarts {', '.join(others)} and {last}" if others else f"restart {last}"


def _bettered(curve: Curve) -> Curve:
    """Return the points at which a curve rises, the first one included."""
    return (*curve[:1], *(later for before, later in pairwise(curve) if later[1] != before[1]))


def _steps(curve: Curve, last: int) -> list[tuple[float, float]]:
    """Return corners: a score holds until the round that betters it."""
    corners = list[tuple[float, float]](curve[:1])
    for step, value in _bettered(curve)[1:]:
        corners += [(step, corners[-1][1]), (step, value)]
    return [*corners, (curve[-1][0] + REST * last, corners[-1][1])]
