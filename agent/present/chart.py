"""The chart of a run's course, as SVG: a step at each improvement of a restart.

Pygal needs no script. Colours are CSS variables of the page, so one drawing serves light, dark and paper.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Any

from ..results.history import Curve

MOST_CURVES = 8
"""Most restarts drawn: as many as there are distinguishable colours."""
WIDE, NARROW = (860, 360), (380, 330)
"""Pixels of the desktop and of the phone drawing."""
DASHES = ("7,4", "2,3", "10,3,2,3")
REST = 0.04
"""How far a score extends beyond the last round, so that one found there is visible."""
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LARGEST = 1e12
"""Beyond it pygal's own sums go wrong."""


def course_chart(
    curves: Mapping[str, Curve],
    levels: Mapping[str, float],
    size: tuple[int, int],
    name: str,
    *,
    percent: bool = True,
) -> str:
    """Return the chart as an ``<svg>`` element; empty if there is nothing to draw.

    ``curves`` hold scores after each round; each of the ``levels`` is a broken line. ``size`` is in pixels;
    ``name`` must be an id that is unique on the page.
    """
    values = [value for curve in curves.values() for _, value in curve]
    if not values or max(map(abs, [*values, *levels.values()])) > _LARGEST:
        return ""
    scale = 100.0 if percent else 1.0
    last = max(done for curve in curves.values() for done, _ in curve) or 1
    chart = _empty(size, len(curves), len(levels), last, percent=percent)
    chart.uuid = name
    for line_name, curve in curves.items():
        chart.add(line_name, [(done, scale * value) for done, value in _corners(curve, last)])
    for dashes, (level, value) in zip(DASHES, levels.items(), strict=False):
        line = [(0, scale * value), (last + REST * last, scale * value)]
        chart.add(level, line, stroke_style={"dasharray": dashes, "width": 2})
    chart.add_xml_filter(_without_scripts)
    drawn = _COMMENT.sub("", chart.render(is_unicode=True))
    unit = "accuracy in percent" if percent else "score"
    label = f"Best training {unit} of each restart after each round"
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _corners(curve: Curve, last: int) -> list[tuple[float, float]]:
    """Return the corners of the steps: a score holds until the round that improves it."""
    corners = list[tuple[float, float]](curve[:1])
    for before, (done, value) in pairwise(curve):
        if value != before[1]:
            corners += [(done, corners[-1][1]), (done, value)]
    return [*corners, (curve[-1][0] + REST * last, corners[-1][1])]


@cache
def _pygal() -> Any:
    """Return the library, imported when first needed: a search needs it only at its end."""
    import pygal
    import pygal.style

    # It finds plugins by an import hook of a form that Python has deprecated.
    sys.meta_path[:] = [hook for hook in sys.meta_path if type(hook).__module__ != "pygal"]
    return pygal


def _without_scripts(root: Any) -> Any:
    """Remove what only scripts would use."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == "script" or "overlay" in str(child.get("class")):
                parent.remove(child)
    return root


def _empty(size: tuple[int, int], curves: int, levels: int, last: int, *, percent: bool) -> Any:
    width, height = size
    colours = [f"var(--line-{number})" for number in range(1, curves + 1)]
    colours += [f"var(--level-{number})" for number in range(1, levels + 1)]
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
        y_title="train accuracy, %" if percent else "train score",
        stroke_style={"width": 2.5, "linejoin": "round"},
        disable_xml_declaration=True,
        margin=6,
        value_formatter=lambda value: f"{value:.4g}",
    )
    steps = (step * 10**power for power in itertools.count() for step in (1, 2, 5))
    distance = next(step for step in steps if last / step <= 8)
    chart.x_labels = range(0, last + 1, distance)
    chart.x_value_formatter = lambda value: f"{value:.0f}"
    return chart
