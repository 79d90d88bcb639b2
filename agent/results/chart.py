"""A line chart as SVG: how far each restart was after each iteration."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from .figures import score_text
from .result import Row

WIDTH, HEIGHT = 780, 284
LEFT, RIGHT, TOP, BOTTOM = 48, 28, 12, 58
LEGEND_STEP = 60
MAX_LINES = 12
NOTHING_YET = -math.inf
_COLOURS = ("#3366cc", "#dc3912", "#ff9900", "#109618", "#990099", "#0099c6", "#dd4477", "#66aa00")


def curves(rows: Sequence[Row]) -> dict[int, list[float]]:
    """Return the best training score of each restart after each iteration, initial templates first.

    It is minus infinity where a restart has none yet.

    A template that several restarts came upon stands in the leaderboard with the first of them only, so the
    curve of a later one may lie too low; its end is what that restart found by itself.
    """
    iterations = max((row.iteration for row in rows), default=0)
    found: dict[int, dict[int, float]] = {}
    for row in rows:
        step = 0 if not row.reset else (row.reset - 1) * iterations + row.iteration
        steps = found.setdefault(row.climb, {})
        steps[step] = max(steps.get(step, NOTHING_YET), row.train)
    last = max((step for steps in found.values() for step in steps), default=0)
    return {
        restart: list(itertools.accumulate((steps.get(step, NOTHING_YET) for step in range(last + 1)), max))
        for restart, steps in sorted(found.items())
    }


def progress_chart(rows: Sequence[Row], *, percent: bool = True) -> str:
    """Return the chart as an ``<svg>`` element, with a legend; at most twelve restarts are drawn.

    Args:
        rows: The leaderboard.
        percent: Whether scores are accuracies, to be shown in percent.
    """
    lines = dict(list(curves(rows).items())[:MAX_LINES])
    values = [value for line in lines.values() for value in line if value > NOTHING_YET]
    if not values:
        return "<p>Nothing was scored.</p>"
    low, high = min(values), max(values)
    span = (high / 2 - low / 2) or 0.005
    unit = " %" if percent else ""
    steps = max(len(line) for line in lines.values()) - 1 or 1

    def x(step: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / steps

    def y(value: float) -> float:
        # Halved, for numbers whose difference is none that a float can hold.
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value / 2 - low / 2) / span)

    drawn = []
    for place, (restart, line) in enumerate(lines.items()):
        points = [f"{x(step):.1f},{y(value):.1f}" for step, value in enumerate(line) if value > NOTHING_YET]
        title = f"restart {restart}: {score_text(line[-1], percent=percent)}{unit}"
        drawn.append(_polyline(points, title, _colour(place)))
    for value in (low, low / 2 + high / 2, high):
        text = score_text(value, percent=percent)
        drawn.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{text}</text>')
    drawn += [
        f'<text x="{x(step):.1f}" y="{HEIGHT - 36}" text-anchor="middle">iteration {step}</text>'
        for step in sorted({0, steps // 2, steps})
    ]
    drawn += [_legend(place, restart) for place, restart in enumerate(lines)]
    what = "accuracy" if percent else "score"
    size = f"0 0 {WIDTH} {HEIGHT}"
    return f'<svg viewBox="{size}" role="img" aria-label="{what} by iteration">{"".join(drawn)}</svg>'


def _polyline(points: Sequence[str], title: str, colour: str) -> str:
    line = f'<polyline fill="none" stroke-width="2" stroke="{colour}" points="{" ".join(points)}">'
    return f"{line}<title>{title}</title></polyline>"


def _legend(place: int, restart: int) -> str:
    x, y = LEFT + LEGEND_STEP * place, HEIGHT - 6
    mark = f'<polyline stroke-width="3" stroke="{_colour(place)}" points="{x},{y - 4} {x + 9},{y - 4}"/>'
    return f'{mark}<text x="{x + 12}" y="{y}">restart {restart}</text>'


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]
