"""Plain on the few shots, before the climbs begin, so that whoever watches sees what is gained over it.

The template takes part in no climb: neither a ranking nor a request knows of it.
"""

from __future__ import annotations

from ...evaluator.scoring import EvaluatorInfo, Score
from ..errors import EvaluationFailedError
from ..events.event import Listener
from ..events.searching import PlainScored
from ..results.gain import PLAIN
from .scorebook import Scorebook


async def score_plain(scorebook: Scorebook, info: EvaluatorInfo, tell: Listener) -> None:
    """Score the plain template, where a black box has one, and tell of it; once for a run, resumes included.

    Args:
        scorebook: Where its score is kept, and looked up by a session that goes on.
        info: What it is compared with, by name.
        tell: Hears of it.
    """
    templates = info.baselines.get(PLAIN, ())
    if len(templates) != 1:
        return  # several together are measured at the end alone
    try:
        verdict = await scorebook.score(templates[0])
    except EvaluationFailedError:
        return  # what is broken fails on the initial templates too, and there it ends the search
    if isinstance(verdict, Score):
        tell(PlainScored(template=templates[0], train=verdict.train, val=verdict.val))
