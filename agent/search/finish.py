"""The end of a search: selection, then the test split once, then the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from ...evaluator.scoring import Evaluator, Score, SplitScores, checked, parse_objective
from ...prompts.template import Template
from ..climb.record import ClimbRecord
from ..climb.scored import Scored
from ..climb.selection import select
from ..config.schema import LOCAL_LLM, SearchConfig
from ..errors import EvaluationFailedError, PromptclimbError, TemplateRejectedError
from ..llm.budget import Usage as Spent
from ..position import Position
from ..results.result import Best, Ensemble, Row, SearchResult, Status, Usage
from ..threads import in_thread

T = TypeVar("T")

INITIAL_POOL = "initial pool"
HAND_MADE = "hand-made"
BEST_HAND_MADE = "best hand-made"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What a search has done when its climbs have ended.

    Attributes:
        status: Whether it went to its end.
        stop_reason: What stopped it; None when it went to its end.
        records: What each climb did.
        spent: What the run used, all its stretches together.
        budget: What is left of each limit that was set.
        notes: Facts that belong beside the figures.
    """

    status: Status
    stop_reason: str | None
    records: Sequence[ClimbRecord]
    spent: Spent
    budget: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


async def finish(config: SearchConfig, evaluator: Evaluator, stretch: Stretch) -> SearchResult:
    """Chooses, opens the test split, and builds the result.

    Raises:
        PromptclimbError: Nothing was scored, so there is nothing to choose from.
    """
    scored = [entry for record in stretch.records for entry in record.scored]
    ranked = _ranked(config, evaluator, scored)
    if not ranked:
        raise PromptclimbError(
            "the search was stopped before the first template was scored; resume it with more"
        )
    initial = _ranked(config, evaluator, [entry for entry in scored if entry.position.initial])
    ensemble = [entry.text for entry in ranked[: config.ensemble_size]]
    hand_made = {name: list(templates) for name, templates in evaluator.info.baselines.items()}
    baselines = {**hand_made, **await _best_hand_made(config, evaluator), INITIAL_POOL: [initial[0].text]}
    found = await _examine(evaluator, [[ranked[0].text], ensemble, *baselines.values()])
    best, together = found[0], found[1]
    if best is None or together is None:
        raise PromptclimbError("the evaluator rejects on test what it scored on train")
    return SearchResult(
        status=stretch.status,
        stop_reason=stretch.stop_reason,
        dataset=_dataset(evaluator),
        model={"name": evaluator.info.model, "pretrained": evaluator.info.pretrained},
        llm={"model": config.llm if config.needs_llm else None, "base_url": config.shown_url},
        method=config.method,
        objective=config.objective,
        best=Best(template=ranked[0].text, **asdict(best)),
        ensemble=Ensemble(templates=tuple(ensemble), **asdict(together)),
        baselines={
            name: {"templates": templates, **asdict(scores)}
            for (name, templates), scores in zip(baselines.items(), found[2:], strict=True)
            if scores is not None
        },
        leaderboard=tuple(_row(place, entry) for place, entry in enumerate(ranked, start=1)),
        usage=_usage(config, stretch),
        evaluated=len({entry.text for entry in scored}),
        rejected=_rejected(stretch.records),
        skipped=sum(record.skipped for record in stretch.records),
        wall_s=round(stretch.spent.active_s, 3),
        budget=stretch.budget,
        notes={**evaluator.info.notes, **stretch.notes},
    )


def _ranked(config: SearchConfig, evaluator: Evaluator, scored: Sequence[Scored]) -> list[Scored]:
    sizes = evaluator.info.sizes
    return select(scored, sizes=sizes, objective=config.objective, seed=config.seed)


async def _best_hand_made(config: SearchConfig, evaluator: Evaluator) -> dict[str, list[str]]:
    """Of several hand-made templates, the one that the selection rule puts first."""
    templates = list(evaluator.info.baselines.get(HAND_MADE, ()))
    if len(templates) < 2:
        return {}
    answers = await _measured(lambda: [checked(verdict) for verdict in evaluator.score(templates)])
    scored = [
        Scored(
            template=Template.parse(template, max_words=None),
            score=answer,
            value=answer.value(parse_objective(config.objective)),
            position=Position(0),
        )
        for template, answer in zip(templates, answers, strict=True)
        if isinstance(answer, Score)
    ]
    ranked = _ranked(config, evaluator, scored)
    return {BEST_HAND_MADE: [ranked[0].text]} if ranked else {}


async def _examine(evaluator: Evaluator, ensembles: Sequence[Sequence[str]]) -> list[SplitScores | None]:
    """Scores of ensembles on all splits; None for a baseline that this model cannot read."""
    usable = [ensemble for ensemble in ensembles if ensemble]
    try:
        return list(await _measured(lambda: evaluator.examine(usable)))
    except TemplateRejectedError as error:
        # Only a hand-made template can be new to the evaluator here, and one too long must not cost the
        # result.
        rest = [ensemble if error.template not in ensemble else () for ensemble in ensembles]
        if sum(map(bool, rest)) == len(usable):
            raise
        found = iter(await _examine(evaluator, [ensemble for ensemble in rest if ensemble]))
        return [next(found) if ensemble else None for ensemble in rest]


async def _measured(work: Callable[[], T]) -> T:
    """Let the evaluator work in a thread; whatever it raises comes out as an error of ours."""
    try:
        return await in_thread(work)
    except PromptclimbError:
        raise
    except Exception as error:
        raise EvaluationFailedError(f"the evaluator failed at the end of the search: {error!r}") from error


def _dataset(evaluator: Evaluator) -> dict[str, Any]:
    info = evaluator.info
    return {
        "name": info.dataset,
        "classes": info.classes,
        "shots": info.shots,
        "seed": info.seed,
        "sizes": {split: int(info.sizes.get(split, 0)) for split in ("train", "val", "test")},
    }


def _row(rank: int, entry: Scored) -> Row:
    return Row(
        rank=rank,
        template=entry.text,
        train=entry.score.train,
        val=entry.score.val,
        climb=entry.position.climb,
        reset=entry.position.reset,
        iteration=entry.position.iteration,
    )


def _rejected(records: Sequence[ClimbRecord]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for record in records:
        total.update(record.rejected)
    return dict(sorted(total.items()))


def _usage(config: SearchConfig, stretch: Stretch) -> Usage:
    free = not config.needs_llm or config.llm == LOCAL_LLM
    spent = stretch.spent
    return Usage(
        calls=spent.calls,
        failed_calls=spent.failed_calls,
        retries=spent.retries,
        replayed=sum(record.replayed for record in stretch.records),
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
        cost_usd=0.0 if free else round(spent.cost_usd, 9) if config.priced else None,
    )
