"""What was gained, line by line: the best template beside all that it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .figures import about_test, has_accuracies
from .gain import Difference
from .guessing import by_guessing, by_most_frequent
from .result import Best, Ensemble, SearchResult


class Told(NamedTuple):
    """A difference in words: ``+6.4 points``, its interval, and the images that decide it."""

    points: str
    interval: str
    apart: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A line of the comparison; scores as in the result."""

    name: str
    templates: tuple[str, ...]
    train: float | None
    val: float | None
    test: float | None
    chosen: bool = False
    gain: Told | None = None


def compared_rows(result: SearchResult) -> list[Compared]:
    """Return the lines of the comparison: the best template, the ensemble, then the baselines."""
    over: Mapping[str, Difference] = result.gain.over if result.gain else {}
    best = _line("best found", (result.best.template,), result.best, chosen=True)
    together = None if result.gain is None else result.gain.ensemble
    ensemble = _line(
        "ensemble", result.ensemble.templates, result.ensemble, gain=together and told(_turned(together))
    )
    others = [
        _line(name, one.templates, one, gain=told(over[name]) if name in over else None)
        for name, one in result.baselines.items()
    ]
    # What there is an interval for comes first.
    return [best, ensemble, *sorted(others, key=lambda row: row.gain is None)]


def _line(name: str, templates: Sequence[str], one: Best | Ensemble, **more: Any) -> Compared:
    return Compared(
        name=name, templates=tuple(templates), train=one.train, val=one.val, test=one.test, **more
    )


def _turned(one: Difference) -> Difference:
    """Return by how much the second is better than the first."""
    low, high = one.interval
    return Difference(
        points=-one.points, interval=(-high, -low), paired=one.paired, images=one.images, better=one.worse,
        worse=one.better,
    )  # fmt: skip


def told(one: Difference) -> Told:
    """Return a difference in words."""
    if one.of_one:
        return Told("the same template", "", "")
    low, high = one.interval
    apart = "" if one.better is None or one.worse is None else f"{one.better:,} right, {one.worse:,} broken"
    return Told(f"{one.points + 0.0:+.1f}", f"{low + 0.0:+.1f} to {high + 0.0:+.1f}", apart)


def about_scores(result: SearchResult) -> str:
    """Return what the figures mean, and what became of the test split."""
    if not has_accuracies(result):
        return f"Scores as the black box gives them; higher is better. {about_test(result)}"
    said = "Accuracies in %. "
    if (share := by_guessing(result)) is not None:
        said += f"Guessing among {result.dataset.classes} classes comes to {100 * share:.1f}"
        most = by_most_frequent(result)
        said += ". " if most is None else f", always naming the most frequent one to {100 * most:.1f}. "
    if result.gain is not None:
        said += (
            "Differences are in percentage points on test, each with its 95 % interval; below it, how many "
            "images the best template alone gets right, and how many it alone gets wrong. "
        )
        if not all(one.paired for one in result.gain.over.values()):
            said += "The intervals are not paired, as the black box does not tell image by image. "
    return said + about_test(result)
