"""The chart of a run's course, as SVG: a step at each improvement of a restart.

Pygal needs no script. Colours are CSS variables of the page, so one drawing serves light, dark and paper.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.scoring import BASELINE_DEFAULT, HAND_MADE
from ..results.gain import BEST_HAND_MADE
from .figures import chosen_by_more, score_text
from .run_view import Curve, RunView

MOST_CURVES = 8
"""Most restarts drawn: as many as there are distinguishable colours."""
MOST_NAMED = 4
"""Most restarts on one line that the legend names; more are counted."""
WIDE, NARROW = (860, 360), (380, 330)
"""Pixels of the desktop and of the phone drawing."""
DASHES = ("7,4", "2,3", "10,3,2,3")
REST = 0.04
"""How far a score extends beyond the last round, so that one found there is visible."""
_LEVELS = (BASELINE_DEFAULT, BEST_HAND_MADE, HAND_MADE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
DRAWN_KEPT = 64
"""Drawings kept: the page of a run is written again at each resume and at each look at a live one."""
_LARGEST = 1e12
"""Beyond it pygal's own sums go wrong."""


def course_figure(view: RunView) -> dict[str, Any]:
    """Return the desktop and phone drawings as markup (empty without data), and their legend."""
    from markupsafe import Markup

    curves, levels, percent = view.course.curves, _levels(view), view.percent
    shown = shown_curves(curves)

    def text(value: float) -> str:
        return score_text(value, percent=percent, unit=" %")

    key = [
        (named(restarts), text(curve[-1][1]), f"line-{place}", "none")
        for place, (restarts, curve) in enumerate(shown.items(), start=1)
    ]
    key += [
        (name, text(value), f"level-{place}", dashes)
        for place, (dashes, (name, value)) in enumerate(zip(DASHES, levels.items(), strict=False), start=1)
    ]
    return {
        "wide": Markup(course_chart(curves, levels, WIDE, "course-wide", percent=percent)),
        "narrow": Markup(course_chart(curves, levels, NARROW, "course-narrow", percent=percent)),
        "key": key,
        "about": _about(view, sum(map(len, shown))),
        "skipped": [
            f"{counted(count, 'round')} skipped: {why}" for why, count in view.course.skipped.items()
        ],
    }


def _levels(view: RunView) -> dict[str, float]:
    if view.result is None:
        default = view.progress.default
        return {} if default is None else {BASELINE_DEFAULT: default}
    found = {name: view.result.baselines.get(name) for name in _LEVELS}
    known = {name: one.train for name, one in found.items() if one is not None and one.train is not None}
    if BEST_HAND_MADE in known:
        known.pop(HAND_MADE, None)
    return known


def _about(view: RunView, shown: int) -> str:
    about = "The best training score of each restart after each round; at 0, of its starting templates."
    if view.result is None or chosen_by_more(view.rows):
        about += (
            " The final choice counts validation images and augmented copies too, where there are any, and "
            "may fall on another template."
        )
    if shown < len(view.course.curves):
        about += f" The {shown} of {len(view.course.curves)} restarts that ended highest are drawn."
    if view.course.estimated:
        about += (
            " Read from the leaderboard, as the log is not complete: a template that several restarts found "
            "is drawn for the first of them alone."
        )
    return about


def course_chart(
    curves: Mapping[int, Curve],
    levels: Mapping[str, float],
    size: tuple[int, int],
    name: str,
    *,
    percent: bool = True,
) -> str:
    """Return the chart as an ``<svg>`` element; empty if there is nothing to draw.

    ``curves`` hold each restart's best score after each round; each of the ``levels`` is a broken line.
    ``size`` is in pixels; ``name`` must be an id that is unique on the page.
    """
    shown = shown_curves(curves)
    values = [value for curve in shown.values() for _, value in curve]
    if not values or max(map(abs, values)) > _LARGEST:
        return ""
    return _drawn(tuple(shown.items()), tuple(levels.items()), size, name, percent=percent)


@lru_cache(maxsize=DRAWN_KEPT)
def _drawn(
    shown: tuple[tuple[tuple[int, ...], Curve], ...],
    levels: tuple[tuple[str, float], ...],
    size: tuple[int, int],
    name: str,
    *,
    percent: bool,
) -> str:
    scale = 100.0 if percent else 1.0
    last = max((done for _, curve in shown for done, _ in curve), default=0) or 1
    chart = _empty(size, len(shown), len(levels), last, percent=percent)
    chart.uuid = name
    for restarts, curve in shown:
        chart.add(named(restarts), [(done, scale * value) for done, value in _corners(curve, last)])
    for dashes, (level, value) in zip(DASHES, levels, strict=False):
        line = [(0, scale * value), (last + REST * last, scale * value)]
        chart.add(level, line, stroke_style={"dasharray": dashes, "width": 2})
    chart.add_xml_filter(_without_scripts)
    drawn = _COMMENT.sub("", chart.render(is_unicode=True))
    unit = "accuracy in percent" if percent else "score"
    label = f'role="img" aria-label="Best training {unit} of each restart after each round"'
    return drawn.replace("<svg ", f"<svg {label} ", 1)


def shown_curves(curves: Mapping[int, Curve]) -> dict[tuple[int, ...], Curve]:
    """Return the highest curves, by the restarts that share each: equal curves would hide each other."""
    alike = dict[Curve, list[int]]()
    for restart in sorted(curves):
        if curves[restart]:
            alike.setdefault(_rises(curves[restart]), []).append(restart)
    best = sorted(alike.items(), key=lambda one: (-one[0][-1][1], one[1]))[:MOST_CURVES]
    return {
        tuple(same): max((curves[restart] for restart in same), key=lambda curve: curve[-1][0])
        for same in sorted(same for _, same in best)
    }


def named(restarts: Sequence[int]) -> str:
    """Return the name of a line: ``restart 2``, ``restarts 1, 2 and 5``, or how many there are."""
    if len(restarts) > MOST_NAMED:
        return f"{len(restarts)} restarts"
    *others, last = map(str, restarts)
    return f"restarts {', '.join(others)} and {last}" if others else f"restart {last}"


def _rises(curve: Curve) -> Curve:
    """Return the points at which a curve rises, with the first."""
    return (*curve[:1], *(later for before, later in pairwise(curve) if later[1] != before[1]))


def _corners(curve: Curve, last: int) -> list[tuple[float, float]]:
    """Return the corners of the steps: a score holds until the round that improves it."""
    corners = list[tuple[float, float]](curve[:1])
    for done, value in _rises(curve)[1:]:
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
    distance = next(distance for distance in _nice() if last / distance <= 8)
    chart.x_labels = range(0, last + 1, distance)
    chart.x_value_formatter = lambda value: f"{value:.0f}"
    return chart


def _nice() -> Iterable[int]:
    size = 1
    while True:
        yield from (size, 2 * size, 5 * size)
        size *= 10
