"""What ``--dry-run`` opens: data, model and black box; a few templates are scored, and nothing is paid.

What was opened before and is as it was is not opened again: all that is asked of it is known.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ...evaluator.open import opened_before
from ...evaluator.scoring import Evaluator, EvaluatorInfo
from ...evaluator.threads import in_thread
from ..config.schema import SearchConfig
from ..events import Bus, Noted
from ..search.inputs import read_pool, ready_evaluator
from ..stop import Stop
from .display import Display
from .interrupts import run_interruptible
from .output import console

WARMED, TIMED = 4, 32
"""Templates that are scored before the clock runs, and while it does."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What was found.

    Attributes:
        info: What is scored on; the scores of its test split stay sealed.
        seconds: What scoring a template takes, now or when all was opened last; None for a black box of the
            user's own, which is opened and scores nothing: what a score of it costs is not known.
    """

    info: EvaluatorInfo
    seconds: float | None


def rehearse(config: SearchConfig) -> Rehearsed:
    """Open what a search would open, all its images included, and see how fast it scores.

    Raises:
        UsageError: Something that was given cannot be used.
    """

    async def run(stop: Stop) -> Rehearsed:
        with Display(console()) as display, stop.watching():
            emit, lines = Bus(display), list[str]()
            known = await in_thread(lambda: opened_before(config, report=lines.append))
            for line in lines:
                emit(Noted(text=line))
            if known is not None:
                return Rehearsed(known.info, known.seconds)
            evaluator = await ready_evaluator(config, None, emit)
            if config.evaluator is not None:
                return Rehearsed(evaluator.info, None)
            pool = [template.text for template in read_pool(config)[: WARMED + TIMED]]
            seconds = await in_thread(lambda: _timed(evaluator, pool[:WARMED], pool[WARMED:] or pool))
            return Rehearsed(evaluator.info, seconds)

    return run_interruptible(run)


def _timed(evaluator: Evaluator, first: Sequence[str], templates: Sequence[str]) -> float:
    evaluator.score(first)
    began = time.perf_counter()
    evaluator.score(templates)
    return (time.perf_counter() - began) / len(templates)
