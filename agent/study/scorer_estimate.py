"""Upper bounds on the requests, tokens and dollars of a scorer behind an API; asks nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from ...evaluator.errors import AskingEndedError, ConfigError
from ...evaluator.remote.asking import ApiAnswer, ApiRequest, KeepsForTest
from ...evaluator.scoring import Evaluator
from ..config.schema import SearchConfig
from ..llm.budget import Limits, ScorerBudget
from ..llm.cost import Spent, cost_at_most
from ..llm.scorer_calls import GIVE_MORE, with_margin
from ..prices import PICODOLLARS, TokenUsage
from ..search.choice import candidates_at_most


class NothingAsked:
    """An ``ApiAsk`` of a dry run: it remembers what is to be kept for the final evaluation."""

    def __init__(self) -> None:
        self.kept: list[TokenUsage] = []

    def __call__(self, requests: Iterable[ApiRequest]) -> Iterator[tuple[int, ApiAnswer]]:
        """Raise AskingEndedError at the first request."""
        for _request in requests:
            why = ConfigError(
                "a dry run asks the scorer nothing, and this one must be asked for the form of its requests: "
                "give --scorer-dialect"
            )
            raise AskingEndedError(str(why)) from why
        yield from ()

    def keep_for_test(self, requests: Iterable[ApiRequest]) -> None:
        """Remember the most tokens of each request."""
        self.kept = [TokenUsage(one.prompt_tokens, one.answer_tokens) for one in requests]


def scorer_estimate(
    config: SearchConfig, evaluator: Evaluator, asked: NothingAsked, evaluations: int
) -> dict[str, Any] | None:
    """Return the most that a scorer behind an API takes within its limits; None for any other scorer.

    ``labels`` are images classified, ``calls``, ``tokens`` and ``cost_usd`` (None: unknown) those of search
    and final evaluation, of which the latter takes ``test_calls``; ``refused`` says why the limits have no
    room for it. None too if there are no test images to
    judge by.
    """
    sizes = evaluator.info.sizes
    if not isinstance(evaluator, KeepsForTest) or not sizes.get("test"):
        return None

    def taken(candidates: int) -> tuple[int, int, float]:
        evaluator.keep_for_test(candidates)
        money = sum(cost_at_most(one, config.scorer_price) for one in asked.kept)
        return len(asked.kept), sum(one.total for one in asked.kept), money / PICODOLLARS

    tested = candidates_at_most(config, evaluator.info)
    images = sizes.get("train", 0) + sizes.get("val", 0)
    share = images / sizes["test"]
    fixed, one, test = taken(0), taken(1), taken(tested)
    # Embeddings take each image once, and each candidate's texts; other requests are of one image each.
    times = evaluations * (1.0 if fixed[0] else share)
    of_search = [f * share + (o - f) * times for f, o in zip(fixed, one, strict=True)]
    calls, tokens, dollars = (a + b for a, b in zip(of_search, test, strict=True))
    most, limit = config.max_scorer_calls, config.max_cost
    limits = Limits(calls=most, cost_usd=limit)
    kept = Spent(calls=test[0], estimated_picodollars=math.ceil(test[2] * PICODOLLARS))
    lack = ScorerBudget(limits, clock=lambda: 0.0).lacks_room(with_margin(kept))
    cost = dollars if limit is None else min(dollars, limit)
    return {
        "labels": evaluations * images + tested * sizes["test"],
        "calls": math.ceil(calls) if most is None else min(math.ceil(calls), most),
        "test_calls": test[0],
        "tokens": math.ceil(tokens),
        "cost_usd": None if config.scorer_price is None else round(cost, 6),
        "refused": None if lack is None else f"{lack}. {GIVE_MORE}",
    }
