"""Opens the trackers that a run's config names."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence

from ..event import Listener
from ..known_trackers import TRACKERS, place_of
from .aside import Aside, Hearer
from .tracker import Figures, Tracked

SPANS = "otel"
"""The one that takes events as they are; the others take figures."""


def trackers_of(
    chosen: Sequence[str] | None, run: Tracked, *, emit: Listener, scrub: Callable[[str], str]
) -> list[Aside]:
    """Return a sink for each tracker, to be opened; each loads what it needs in its own thread.

    Args:
        chosen: As ``parse_track`` returns them.
        run: What is tracked.
        emit: Hears of one that fails at the end.
        scrub: Takes secrets out of what their errors say.
    """
    return [Aside(one.partition(":")[0], _maker(one, run), emit=emit, scrub=scrub) for one in chosen or ()]


def _maker(chosen: str, run: Tracked) -> Callable[[], Hearer]:
    name, place = chosen.partition(":")[0], place_of(chosen)
    module, kind = TRACKERS[name].sink

    def make() -> Hearer:
        made = getattr(importlib.import_module(f".{module}", __package__), kind)(run, place)
        return made if name == SPANS else Figures(made, run)

    return make
