"""What selection would have chosen had a search ended earlier: the points of a learning curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..climb.scored import Scored
from ..results.gain import Examined
from ..results.opened import Opened, Pick, Seen, digits
from ..results.result import Ensemble


@dataclass(frozen=True, slots=True)
class Keep:
    """What is to be kept of the opening of a test split.

    Attributes:
        after: Numbers of templates after which the choice of that moment is looked at too.
        take: Told what was seen.
    """

    after: tuple[int, ...]
    take: Callable[[Opened], None]


def early_picks(
    scored: Sequence[Scored], after: Sequence[int], choose: Callable[[Sequence[Scored]], Sequence[Scored]]
) -> dict[int, Scored]:
    """Return what would have been chosen after so many templates, for each number that was reached.

    Restarts climb side by side, so they are taken in turn: all initial templates first, then the first
    iteration of each restart, and so on. A template that came up twice counts once.

    Args:
        scored: Every template that was scored.
        after: Numbers of templates.
        choose: The selection rule: templates in its order, best first.
    """
    in_turn = sorted(scored, key=lambda one: (one.position.reset, one.position.iteration, one.position.climb))
    known: dict[str, Scored] = {}
    for one in in_turn:
        known.setdefault(one.key, one)
    first = list(known.values())
    return {count: choose(first[:count])[0] for count in sorted(set(after)) if 0 < count <= len(first)}


def kept(
    best: Examined,
    ensemble: Examined,
    baselines: Mapping[str, Examined],
    picks: Mapping[int, Scored],
    found: Sequence[Ensemble],
) -> Opened:
    """Return what the test split said.

    Args:
        best: The template that was chosen.
        ensemble: Those that were chosen together.
        baselines: What they are compared with.
        picks: What would have been chosen earlier, by how many templates there were.
        found: The accuracies of those, in their order.
    """
    return Opened(
        best=_seen(best),
        ensemble=_seen(ensemble),
        baselines={name: _seen(one) for name, one in baselines.items()},
        curve=tuple(
            Pick(after=after, template=one.text, test=measured.test)
            for (after, one), measured in zip(picks.items(), found, strict=True)
        ),
    )


def _seen(one: Examined) -> Seen:
    return Seen(templates=one.templates, test=one.test, hits=digits(one.hits))
