"""The chart of a run's course, as SVG: a step at each improvement of a restart.

Colours are CSS variables of the page, so one drawing serves light, dark and paper.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from ..results.history import Curve

MOST_CURVES = 8
"""Most restarts drawn: as many as there are distinguishable colours."""
WIDE, NARROW = (860, 360), (380, 330)
"""Pixels of the desktop and of the phone drawing."""
DASHES = ("7,4", "2,3", "10,3,2,3")
REST = 0.04
"""How far a score extends beyond the last round, so that one found there is visible."""
LEFT, RIGHT, TOP, BOTTOM = 62, 8, 10, 46
"""Pixels around the drawn scores, for the axes and their names."""
_LARGEST = 1e12
"""Beyond it the axis cannot be read."""


def course_chart(
    curves: Sequence[Curve], levels: Sequence[float], size: tuple[int, int], *, percent: bool = True
) -> str:
    """Return the chart as an ``<svg>`` element; empty if there is nothing to draw.

    ``curves`` hold scores after each round; each of the ``levels`` is a broken line. ``size`` is in pixels.
    """
    scores = [score for curve in curves for _, score in curve]
    if not scores or max(map(abs, [*scores, *levels])) > _LARGEST:
        return ""
    scale = 100.0 if percent else 1.0
    (width, height), last = size, max(done for curve in curves for done, _ in curve) or 1
    right, bottom, end = width - RIGHT, height - BOTTOM, last * (1 + REST)
    low, high = (scale * bound([*scores, *levels]) for bound in (min, max))
    margin = (high - low) / 20 or abs(low) / 10 or 1.0
    low, high = low - margin, high + margin

    def line(points: Iterable[tuple[float, float]], style: str) -> str:
        """Return a line through points, which are rounds done and a score."""
        places = (f"{x_of(done):.1f} {y_of(scale * score):.1f}" for done, score in points)
        return f'<path d="M{" L".join(places)}" style="{style}"/>'

    def x_of(done: float) -> float:
        return LEFT + (right - LEFT) * done / end

    def y_of(value: float) -> float:
        return bottom - (bottom - TOP) * (value - low) / (high - low)

    drawn = [
        f'<path class="guide" d="M{LEFT} {y_of(value):.1f}H{right}"/>'
        f'<text class="y" x="{LEFT - 6}" y="{y_of(value) + 4:.1f}">{value:z.4g}</text>'
        for value in _ticks(low, high)
    ]
    drawn += [
        f'<text x="{x_of(done):.1f}" y="{bottom + 18}">{done:.0f}</text>'
        for done in _ticks(0, last, least=1.0)
    ]
    drawn.append(f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>')
    middle, name = (TOP + bottom) / 2, "train accuracy, %" if percent else "train score"
    drawn.append(f'<text x="{(LEFT + right) / 2}" y="{height - 8}">rounds done</text>')
    drawn.append(f'<text transform="translate(14 {middle}) rotate(-90)">{name}</text>')
    for number, curve in enumerate(curves, start=1):
        drawn.append(line(_corners(curve, end), f"stroke:var(--line-{number})"))
    for number, (dashes, level) in enumerate(zip(DASHES, levels, strict=False), start=1):
        style = f"stroke:var(--level-{number});stroke-dasharray:{dashes}"
        drawn.append(line([(0, level), (end, level)], style))
    unit = "accuracy in percent" if percent else "score"
    label = f"Best training {unit} of each restart after each round"
    return (
        f'<svg class="chart" role="img" aria-label="{label}" viewBox="0 0 {width} {height}">'
        f"{''.join(drawn)}</svg>"
    )


def _corners(curve: Curve, end: float) -> list[tuple[float, float]]:
    """Return the corners of the steps: a score holds until the round that improves it."""
    corners = list[tuple[float, float]](curve[:1])
    for before, (done, value) in pairwise(curve):
        if value != before[1]:
            corners += [(done, corners[-1][1]), (done, value)]
    return [*corners, (end, corners[-1][1])]


def _ticks(low: float, high: float, *, least: float = 0.0) -> list[float]:
    """Return at most nine round numbers between two others, ``least`` apart or more."""
    power = math.floor(math.log10((high - low) / 8))
    steps = (step * 10.0**exponent for exponent in itertools.count(power) for step in (1, 2, 5))
    step = next(step for step in steps if step >= least and (high - low) / step <= 8)
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
