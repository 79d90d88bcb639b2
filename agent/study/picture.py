"""One picture of a study: the differences with their intervals, and the learning curves."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.extras import how_to_install
from .study_forms import is_partial

_WIDTH, _LEAST_HEIGHT, _LINE = 9.0, 3.2, 0.4
"""Inches, and inches for each difference."""
_MOST_LABEL = 48


def is_drawable() -> str | None:
    """Return why no picture can be drawn; None where one can."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        return f"matplotlib is not here; {how_to_install('study')} brings it"
    return None


def svg(document: Mapping[str, Any]) -> str | None:
    """Return the picture as SVG, the same for the same study; None where there is nothing to show."""
    shown = [one for one in document["differences"] if one["points"] is not None]
    curves = document["curves"]
    if not shown and not curves:
        return None
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    height = max(_LEAST_HEIGHT, 1.2 + _LINE * len(shown)) if shown else 0
    groups = _grouped(curves)
    heights = [*([height] if shown else []), *[_LEAST_HEIGHT] * len(groups)]
    # Names are text, never markup or formulas; and no date, so that the same study gives the same file.
    with rc_context({"svg.hashsalt": "study", "text.parse_math": False, "svg.fonttype": "path"}):
        figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
        axes = list(figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
        if shown:
            _differences(axes.pop(0), shown)
        for place, group in zip(axes, groups, strict=True):
            _curves(place, group)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _differences(axes: Any, shown: Sequence[Mapping[str, Any]]) -> None:
    several = len({(one["model"], one["shots"]) for one in shown}) > 1
    for place, one in enumerate(reversed(shown)):
        low, high = one["interval"] or (one["points"], one["points"])
        axes.plot([low, high], [place, place], color="#4477aa", linewidth=2, solid_capstyle="butt")
        axes.plot([one["points"]], [place], "o", color="#223355", markersize=5)
    axes.axvline(0, color="#888888", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [_label(one, several) for one in reversed(shown)], fontsize="small")
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlabel("difference on test, percentage points, with 95 % interval")
    _plain(axes)


def _grouped(curves: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Return curves by model and number of shots: what may be compared stands together."""
    groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for one in curves:
        groups.setdefault((one["model"], one["shots"]), []).append(one)
    return list(groups.values())


def _curves(axes: Any, curves: Sequence[Mapping[str, Any]]) -> None:
    ticks = sorted({point["templates"] for one in curves for point in one["points"]})
    for one in curves:
        counts = [ticks.index(point["templates"]) for point in one["points"]]
        tests = [100 * point["test"] for point in one["points"]]
        axes.plot(counts, tests, marker="o", markersize=3, label=_cut(one["label"]))
    axes.set_title(_heading(curves[0]), fontsize="medium")
    # Evenly spaced, as the numbers are asked for: a scale would push the last ones together.
    axes.set_xticks(range(len(ticks)), [str(tick) for tick in ticks])
    axes.set_xlabel("templates scored")
    axes.set_ylabel("test accuracy of the pick, %")
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    _plain(axes)


def _heading(curve: Mapping[str, Any]) -> str:
    heading = f"{curve['model']}, {counted(curve['shots'], 'shot')}"
    if not is_partial(curve):
        return heading
    sets, runs = (
        f"{curve[name]} of {counted(curve['of'][name], what)}"
        for name, what in (("sets", "data set"), ("runs", "run"))
    )
    return f"{heading} ({sets}, {runs} of each method)"


def _label(one: Mapping[str, Any], several: bool) -> str:
    name = f"{one['first']} over {one['second']}"
    return f"{_cut(name)}\n{one['model']}, {counted(one['shots'], 'shot')}" if several else _cut(name)


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_LABEL else f"{text[: _MOST_LABEL - 1]}…"


def _plain(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
