"""Upper bounds on the requests, tokens and dollars of a scorer behind an API; asks nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...evaluator.errors import AskingEndedError, ConfigError
from ...evaluator.remote.asking import ApiAnswer, ApiRequest, KeepsForTest
from ...evaluator.scoring import Evaluator
from ..config.schema import SearchConfig
from ..llm.budget import Limits, ScorerBudget
from ..llm.scorer_calls import why_refused, with_margin
from ..prices import PICODOLLARS
from ..search.scorer_needs import Need, ScorerNeeds
from .estimate import CandidatesAtMost, Estimate


class NothingAsked:
    """An ``ApiAsk`` of a dry run."""

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
        """Keep nothing."""


def scorer_estimate(
    config: SearchConfig, evaluator: Evaluator, candidates: CandidatesAtMost, llm: Estimate
) -> Estimate | None:
    """Return the most that a scorer behind an API takes without limits, and what the limits allow.

    None for any other scorer, and without test images to judge by. ``llm`` is the most that the LLM takes
    without limits. The parts of the search are ``start`` (the default template and the starting candidates),
    ``round`` (one of ``rounds``), ``names``, ``comparison`` (hand-made candidates on few-shot images) and
    ``final`` (on test images); each has ``labels`` (images classified), ``calls``, ``tokens`` and
    ``cost_usd`` (None: unknown), as the whole has. ``rounds_allowed`` are those for which the limits have
    room in any case, None without limits; ``refused`` says why they have none for the start.
    """
    if not isinstance(evaluator, KeepsForTest) or not evaluator.info.sizes.get("test"):
        return None
    needs = ScorerNeeds(config, evaluator.info, evaluator, candidates.pool)
    rounds = candidates.rounds
    total = needs.start.plus(needs.round, rounds).plus(needs.on_all_images(candidates.free))
    total = total.plus(needs.names).plus(needs.comparison).plus(needs.final)
    budget = ScorerBudget(Limits(calls=config.max_scorer_calls, cost_usd=config.max_cost), clock=lambda: 0.0)
    kept = with_margin(needs.final.spent)
    parts = {name: _plain(config, getattr(needs, name)) for name in _PARTS}
    return {
        **_plain(config, total),
        "parts": parts,
        "rounds": rounds,
        "races": needs.races,
        "rounds_allowed": _rounds_allowed(config, needs, rounds, llm),
        "refused": why_refused(budget, kept, needs.start.spent),
    }


_PARTS = ("start", "round", "names", "comparison", "final")


def _plain(config: SearchConfig, need: Need) -> Estimate:
    dollars = need.spent.estimated_picodollars / PICODOLLARS
    return {
        "labels": need.labels,
        "calls": need.spent.calls,
        "tokens": need.spent.estimated_tokens,
        "cost_usd": None if config.scorer_price is None else round(dollars, 6),
    }


def _rounds_allowed(config: SearchConfig, needs: ScorerNeeds, rounds: int, llm: Estimate) -> int | None:
    """Return for how many rounds the limits have room after the start, whatever they turn out to take."""
    first, each = with_margin(needs.final.spent).plus(needs.start.spent), needs.round.spent
    found: list[float] = []
    if config.max_scorer_calls is not None and each.calls:
        found.append((config.max_scorer_calls - first.calls) / each.calls)
    if config.max_cost is not None and llm["cost_usd"] is not None:
        of_llm = llm["cost_usd"] / max(rounds, 1)
        of_round = each.estimated_picodollars / PICODOLLARS + of_llm
        left = config.max_cost - first.estimated_picodollars / PICODOLLARS
        found.append(left / of_round if of_round else rounds)
    return max(0, int(min([rounds, *found]))) if found else None
