"""What a search gained, with intervals, and one sentence that says what is certain of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...evaluator.counts import counted, enumerated
from .intervals import Interval, Z, certain, paired, unpaired
from .plain_json import made

DEFAULT_TEMPLATE = "default template"
HAND_MADE = "hand-made"
BEST_HAND_MADE = "best hand-made"
BEST_STARTING = "best starting template"
ENSEMBLE = "ensemble"
_COMPARED = {name: f"the {name}" for name in (DEFAULT_TEMPLATE, BEST_HAND_MADE, BEST_STARTING)}
"""What ``best`` is compared with, and how it is called in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """One template, or several together, on the test images.

    Attributes:
        templates: Their texts.
        test: Share of the test images that are correctly classified; None where it was not measured.
        hits: Whether each test image is correctly classified; None where the black box does not tell.
        predicted: The label that each is taken for; None where the black box does not tell.
        labels: The true label of each; None where the black box does not tell.
    """

    templates: tuple[str, ...]
    test: float | None
    hits: Sequence[bool] | None = None
    predicted: Sequence[int] | None = None
    labels: Sequence[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """By how much one is better than another on the test images, in percentage points.

    Attributes:
        points: The difference that was seen.
        interval: Its 95 % interval.
        paired: Whether the interval is over pairs of decisions on the same images; else it takes the two
            accuracies for independent, and is wider than need be.
        images: Test images.
        better: Images that only the first classifies correctly; None where that is not told.
        worse: Images that only the second classifies correctly; None where that is not told.
    """

    points: float
    interval: Interval
    paired: bool
    images: int
    better: int | None = None
    worse: int | None = None

    @property
    def of_one(self) -> bool:
        """Whether both are the same template, so that there is nothing to estimate."""
        return self.interval == (0.0, 0.0)

    @property
    def surely(self) -> int:
        """1 where the first is better, -1 where it is worse, 0 where the interval leaves that open."""
        low, high = self.interval
        return (low > 0.0) - (high < 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What came of a search.

    Attributes:
        over: By how much ``best`` is better than each thing that it is compared with, by name.
        ensemble: By how much the ensemble is better than ``best``; None where it was not measured.
        verdict: One sentence.
    """

    over: Mapping[str, Difference]
    ensemble: Difference | None
    verdict: str

    @property
    def ensemble_is_worse(self) -> bool:
        """Whether the best template alone is to be used, because the ensemble is worse than it."""
        return self.ensemble is not None and self.ensemble.surely < 0

    @property
    def told(self) -> str:
        """The verdict for people, with what it rests on."""
        images = max((one.images for one in self.over.values()), default=0)
        return f"on test ({counted(images, 'image')}): {self.verdict}"

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Gain:
        """Return the gain that a JSON object holds."""
        over = {name: _difference(one) for name, one in found["over"].items()}
        ensemble = found.get("ensemble")
        return cls(
            over=over,
            ensemble=None if ensemble is None else _difference(ensemble),
            verdict=str(found["verdict"]),
        )


def gain_of(
    best: Examined, ensemble: Examined, baselines: Mapping[str, Examined], *, images: int
) -> Gain | None:
    """Return what a search gained; None where its test accuracies are not known, or are no shares.

    Args:
        best: The template that the search chose.
        ensemble: The templates that it chose together.
        baselines: What they are compared with, by name. All were chosen without the test images.
        images: Test images.
    """
    over = {
        name: seen
        for name, one in _compared(baselines).items()
        if (seen := _between(best, one, images)) is not None
    }
    if not over:
        return None
    together = _between(ensemble, best, images)
    return Gain(over=over, ensemble=together, verdict=_verdict(_named(over, baselines), together))


def _compared(baselines: Mapping[str, Examined]) -> dict[str, Examined]:
    found = {name: baselines[name] for name in _COMPARED if name in baselines}
    hand_made = baselines.get(HAND_MADE)
    # A single hand-made template is the best of its list.
    if BEST_HAND_MADE not in found and hand_made is not None and len(hand_made.templates) == 1:
        found[BEST_HAND_MADE] = hand_made
    return {name: found[name] for name in _COMPARED if name in found}


def _between(first: Examined, second: Examined, images: int) -> Difference | None:
    shares = [one.test for one in (first, second)]
    if images < 1 or any(share is None or not 0.0 <= share <= 1.0 for share in shares):
        return None
    if first.hits is not None and second.hits is not None and first.hits:
        pairs = list(zip(first.hits, second.hits, strict=True))
        better, worse = sum(one > other for one, other in pairs), sum(one < other for one, other in pairs)
        same = first.templates == second.templates
        interval = (0.0, 0.0) if same else paired(better, worse, len(pairs))
        points = (better - worse) / len(pairs)
        return difference(points, interval, paired=True, images=len(pairs), better=better, worse=worse)
    ours, theirs = (float(share) for share in shares if share is not None)
    if first.templates == second.templates:
        return difference(0.0, (0.0, 0.0), paired=True, images=images)
    return difference(ours - theirs, unpaired(ours, theirs, images), paired=False, images=images)


def difference(share: float, interval: Interval, **more: Any) -> Difference:
    """Return a difference in percentage points.

    Args:
        share: The difference, as a share of 1.
        interval: Its interval, likewise.
        more: The other members of ``Difference``.
    """
    low, high = (round(100 * edge, 4) for edge in interval)
    return Difference(points=round(100 * share, 4), interval=(low, high), **more)


def _named(over: Mapping[str, Difference], baselines: Mapping[str, Examined]) -> dict[str, Difference]:
    """Return differences by what they are over, as a sentence calls it; one template has one name."""
    compared = _compared(baselines)
    found = {_COMPARED[name]: one for name, one in over.items()}
    alike = {DEFAULT_TEMPLATE, BEST_HAND_MADE} <= over.keys()
    if alike and compared[DEFAULT_TEMPLATE].templates == compared[BEST_HAND_MADE].templates:
        del found[_COMPARED[BEST_HAND_MADE]]
        both = f"{_COMPARED[DEFAULT_TEMPLATE]}, which is {_COMPARED[BEST_HAND_MADE]} too"
        found = {both if name == _COMPARED[DEFAULT_TEMPLATE] else name: one for name, one in found.items()}
    return found


def _verdict(named: Mapping[str, Difference], ensemble: Difference | None) -> str:
    """Return one sentence: what is better or worse, what is the same, and what may be chance.

    "Better" and "worse" are said of what is certain alone.
    """
    alone = "the best alone"
    everything = dict(named) if ensemble is None else {**named, alone: ensemble}
    same = [name for name, one in named.items() if one.of_one]
    found = certain({name: _statistic(one) for name, one in everything.items() if name not in same})
    # What is told must hold by the interval that is told with it.
    claimed = {name for name in found if _leaves_none(everything[name].interval)}
    parts = [_told(one, name) for name, one in named.items() if name in claimed]
    parts += [_unsure(one, name) for name, one in named.items() if name not in claimed and name not in same]
    pick = _COMPARED[BEST_STARTING]
    if others := [name for name in same if name != pick]:
        parts.append(f"the same template as {enumerated(others)}")
    if pick in same:
        parts.append(f"the rounds brought nothing: the template is {pick}")
    if ensemble is not None and alone in claimed:
        parts.append(f"the ensemble {_told(ensemble, alone)}")
    if not all(one.paired for one in named.values()):
        parts.append("intervals are not paired, as the black box does not tell image by image")
    return "; ".join(parts)


def _leaves_none(interval: Interval) -> bool:
    low, high = interval
    return low > 0.0 or high < 0.0


def _statistic(one: Difference) -> float:
    """Return a difference in standard errors under the assumption that there is none."""
    if one.better is not None and one.worse is not None:
        return (one.better - one.worse) / math.sqrt(one.better + one.worse or 1)
    # Newcombe's interval is not symmetric: what counts is how far its edge towards 0 is.
    low, high = one.interval
    reach = one.points - low if one.points > 0.0 else high - one.points
    return Z * one.points / reach if reach > 0.0 else 0.0


def _told(one: Difference, name: str) -> str:
    low, high = one.interval
    size, word = abs(one.points), "better"
    if one.points < 0.0:
        low, high, word = -high, -low, "worse"
    return f"{size:.1f} points {word} than {name} ({low:.1f} to {high:.1f})"


def _unsure(one: Difference, name: str) -> str:
    low, high = one.interval
    if f"{one.points:.1f}".strip("-") == "0.0":
        return f"level with {name} ({low:+.1f} to {high:+.1f})"
    seen = f"{abs(one.points):.1f} points {'above' if one.points > 0.0 else 'below'} {name}"
    return f"{seen}, but that may be chance ({low:+.1f} to {high:+.1f})"


def _difference(found: Mapping[str, Any]) -> Difference:
    low, high = found["interval"]
    return made(Difference, {**found, "interval": (float(low), float(high))})
