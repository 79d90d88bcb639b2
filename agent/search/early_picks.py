"""What selection would have chosen had a search ended earlier: the points of a learning curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..methods.memory import Entry
from ..results.details import Pick
from ..results.result import Ensemble


def early_picks(
    scored: Sequence[Entry],
    after: Sequence[int],
    choose: Callable[[Sequence[Entry]], Sequence[Entry]],
) -> dict[int, Entry]:
    """Return what would have been chosen after so many templates, for each number that was reached.

    Restarts restart side by side, so they are taken in turn: all initial templates first, then the first
    round of each restart, and so on. A template that came up twice counts once.

    Args:
        scored: Every template that was scored.
        after: Numbers of templates.
        choose: The selection rule: templates in its order, best first.
    """
    if not after:
        return {}
    in_turn = sorted(
        scored, key=lambda one: (one.position.conversation, one.position.round, one.position.restart)
    )
    known: dict[str, Entry] = {}
    for one in in_turn:
        known.setdefault(one.key, one)
    first = list(known.values())
    return {count: choose(first[:count])[0] for count in sorted(set(after)) if 0 < count <= len(first)}


def picks_of(early: Mapping[int, Entry], found: Sequence[Ensemble]) -> tuple[Pick, ...]:
    """Return what would have been chosen earlier with what the test split said of it.

    Args:
        early: As ``early_picks`` returns it.
        found: The accuracies, in the same order.
    """
    return tuple(
        Pick(after=after, template=one.text, test=measured.test)
        for (after, one), measured in zip(early.items(), found, strict=True)
    )
