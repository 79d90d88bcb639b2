"""Plain on the few shots, before the restarts begin, so that whoever watches sees what is gained over it.

The template takes part in no restart: neither a ranking nor a request knows of it.
"""

from __future__ import annotations

from ...evaluator.scoring import EvaluatorInfo, Score
from ..errors import EvaluationFailedError
from ..events import DefaultTemplateScored, Listener
from ..results.gain import DEFAULT_TEMPLATE
from .scorebook import Scorebook


async def score_plain(scorebook: Scorebook, info: EvaluatorInfo, emit: Listener) -> None:
    """Score the default template, if the scorer has one, and emit its score; once a run, resumes included.

    Args:
        scorebook: Where its score is kept, and looked up by a session that goes on.
        info: What it is compared with, by name.
        emit: Hears of it.
    """
    templates = info.baselines.get(DEFAULT_TEMPLATE, ())
    if len(templates) != 1:
        return  # several together are measured at the end alone
    try:
        verdict = await scorebook.score(templates[0])
    except EvaluationFailedError:
        return  # what is broken fails on the initial templates too, and there it ends the search
    if isinstance(verdict, Score):
        emit(DefaultTemplateScored(template=templates[0], train=verdict.train, val=verdict.val))
