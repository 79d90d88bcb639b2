"""What came of the runs of a study: one that fails is a run that stopped, and the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...evaluator.errors import PromptclimbError
from ..search.suite import as_it_is
from ..search.unfinished import INTERRUPTED, Found, NotRun, Stopped, ends_all, stopped_by
from ..stop import Stop
from .grid import StudyCell
from .outcomes import Outcome, outcome_of
from .white_box_runs import fitted, was_fitted


@dataclass(frozen=True, slots=True)
class Made:
    """What came of one run.

    Attributes:
        outcome: As the tables take it.
        result: The result of a search, or what there is in place of one; None of what was fitted.
    """

    outcome: Outcome
    result: Found | None = None


async def fit(cell: StudyCell, stop: Stop) -> Made:
    """Fit a reference, or read what was found before; where it cannot be fitted, the other runs go on.

    Raises:
        UsageError: Its folder holds one with other settings, or something else.
        PromptclimbError: A signal.
    """
    try:
        return Made(await fitted(cell, stop))
    except (PromptclimbError, RuntimeError, ValueError, MemoryError) as error:
        # What torch and scikit-learn raise, such as for want of memory, is as much this run's own.
        if ends_all(error):
            raise
        return _without(cell, stopped_by(error))


def as_they_are(cells: Sequence[StudyCell]) -> Iterator[Made]:
    """Yield what there is of runs that are known to be this study's; nothing is gone on with.

    Raises:
        UsageError: A reference that was fitted is not of this study.
    """
    for one in cells:
        if one.white_box is None:
            found = as_it_is(one.cell, INTERRUPTED)
            yield Made(outcome_of(one, found), found)
        elif was_fitted(one):
            yield Made(asyncio.run(fitted(one, Stop())))
        else:
            yield _without(one, NotRun(INTERRUPTED))


def _without(cell: StudyCell, found: NotRun | Stopped) -> Made:
    return Made(outcome_of(cell, found), found)
