"""The picture of a study: differences with their intervals, and learning curves."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from ...evaluator.counts import counted, how_to_install
from ..text import printable
from .study import shots_label

_WIDTH, _LEAST_HEIGHT, _LINE, _GAP = 9.0, 3.2, 0.17, 0.2
"""Inches; the last two are per line of a label, and between labels."""
_LONGEST_LINE = 48
"""Characters; longer labels wrap, since a part that is cut off may be all that differs."""
_FONT = "DejaVu Sans"
"""Comes with matplotlib, so that the picture is the same everywhere."""
_DASHES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def is_drawable() -> str | None:
    """Return why no picture can be drawn; None where it can."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        return f"matplotlib is not installed; {how_to_install('study')} installs it"
    return None


def svg(document: Mapping[str, Any]) -> str | None:
    """Return the picture as SVG, the same for the same study; None if there is nothing to show."""
    shown = [one for one in document["differences"] if one["points"] is not None]
    groups = _grouped(document["curves"])
    if not shown and not groups:
        return None
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    labels = _difference_labels(shown)
    styles = _styles(document["curves"])
    beside = [*([labels] if shown else []), *([_wrapped(one["label"]) for one in group] for group in groups)]
    heights = [max(_LEAST_HEIGHT, 1.0 + _height(texts)) for texts in beside]
    # Names are text, never markup or formulas; and no date, so that the same study gives the same file.
    with rc_context(
        {"svg.hashsalt": "study", "text.parse_math": False, "svg.fonttype": "path", "font.family": _FONT}
    ):
        figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
        axes = list(figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
        if shown:
            _differences(axes.pop(0), shown, labels)
        for place, group in zip(axes, groups, strict=True):
            _curves(place, group, styles)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _differences(axes: Any, shown: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> None:
    places, below = [], 0.0
    for one, label in zip(reversed(shown), reversed(labels), strict=True):
        height = _height([label])
        places.append(below + height / 2)
        below += height
        filled = "#223355" if one["interval"] else "white"
        if one["interval"]:
            axes.plot(one["interval"], [places[-1]] * 2, color="#4477aa", linewidth=2, solid_capstyle="butt")
        point = ([one["points"]], [places[-1]], "o")
        axes.plot(*point, color="#223355", markerfacecolor=filled, markersize=5)
    axes.axvline(0, color="#888888", linewidth=0.8)
    axes.set_yticks(places, list(reversed(labels)), fontsize="small")
    axes.set_ylim(0, below)
    what = ", with 95 % interval" if any(one["interval"] for one in shown) else ""
    without = "" if all(one["interval"] for one in shown) else "; an open circle has no interval"
    axes.set_xlabel(f"difference on test, percentage points{what}{without}")
    _plain(axes)


def _grouped(curves: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Group the curves that can be compared: by model and number of shots."""
    groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for one in curves:
        groups.setdefault((one["model"], one["shots"]), []).append(one)
    return list(groups.values())


def _styles(curves: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return how each method is drawn, the same in every group; ten colours are not enough for many."""
    return {
        label: {
            "color": f"C{number % 10}",
            "linestyle": _DASHES[number // 10 % len(_DASHES)],
            "marker": _MARKERS[number // 10 % len(_MARKERS)],
        }
        for number, label in enumerate(dict.fromkeys(one["label"] for one in curves))
    }


def _curves(axes: Any, curves: Sequence[Mapping[str, Any]], styles: Mapping[str, Mapping[str, Any]]) -> None:
    ticks = sorted({point["templates"] for one in curves for point in one["points"]})
    drawn = []
    for one in curves:
        counts = [ticks.index(point["templates"]) for point in one["points"]]
        tests = [100 * point["test"] for point in one["points"]]
        drawn += axes.plot(counts, tests, markersize=3, **styles[one["label"]])
    axes.set_title(_wrapped(_heading(curves[0])), fontsize="medium")
    # Evenly spaced, as the numbers are requested: a scale would push the last ones together.
    axes.set_xticks(range(len(ticks)), [str(tick) for tick in ticks])
    axes.set_xlabel("templates scored")
    axes.set_ylabel("test accuracy of the pick, %")
    outside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    legend = axes.legend(drawn, ["."] * len(drawn), frameon=False, fontsize="small", **outside)
    # Not by the labels: one that begins with _ would be left out.
    for text, one in zip(legend.get_texts(), curves, strict=True):
        text.set_text(_wrapped(one["label"]))
    _plain(axes)


def _heading(curve: Mapping[str, Any]) -> str:
    heading = f"{curve['model']}, {shots_label(curve['shots'])}"
    if curve["runs"] == curve["of"]["runs"]:
        return heading
    sets = f"{curve['sets']} of {counted(curve['of']['sets'], 'data set')}"
    runs = f"{curve['runs']} of {counted(curve['of']['runs'], 'run')}"
    return f"{heading} ({sets}, {runs} of each method)"


def _difference_labels(shown: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the label of each difference, with model, shots and what was resampled where they differ."""
    several = len({(one["model"], one["shots"]) for one in shown}) > 1
    names = [(f"{one['first']} over {one['second']}", one["model"], one["shots"]) for one in shown]
    labels = []
    for one, (name, model, shots) in zip(shown, names, strict=True):
        again = names.count((name, model, shots)) > 1
        drawn = f" ({', '.join(one['resampled']) or 'nothing'} resampled)" if again else ""
        place = [f"{model}, {shots_label(shots)}"] if several else []
        labels.append("\n".join(map(_wrapped, [name + drawn, *place])))
    return labels


def _height(labels: Sequence[str]) -> float:
    """Return the height of stacked labels in inches."""
    return sum(_GAP + _LINE * len(one.splitlines()) for one in labels)


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(_written(text), _LONGEST_LINE))


def _written(text: str) -> str:
    """Write characters that the font or an SVG lacks as hexadecimal numbers."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont(_FONT)).get_charmap()
    return "".join(one if ord(one) in known else _numbered(one) for one in printable(text))


def _numbered(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode("ascii")


def _plain(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
