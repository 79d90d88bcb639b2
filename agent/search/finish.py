"""The end of a search: selection, then the test split once, then the result."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ...evaluator.errors import PromptclimbError
from ...evaluator.scoring import Evaluator, EvaluatorInfo, Score, checked
from ...evaluator.threads import in_thread
from ...prompts.template import Template
from ..config.schema import SearchConfig
from ..methods.memory import Entry
from ..position import Position
from ..rates import PICODOLLARS
from ..results.details import BEST, ENSEMBLE, Details, Pick
from ..results.gain import BEST_HAND_MADE, BEST_STARTING, HAND_MADE, Examined, gain_of
from ..results.result import (
    UNOPENED,
    Best,
    Dataset,
    Ensemble,
    Gain,
    Inspected,
    Llm,
    Model,
    Row,
    SearchResult,
    Sizes,
    Usage,
    Versions,
)
from ..store import Store
from ..versions import program_version, running_version
from .choice import select
from .early_picks import early_picks, picks_of
from .keepsakes import details_of, row_of
from .last_look import Group, compared, ensemble_of, examined, inspected, measured, openings
from .record import RestartRecord
from .restart_notes import notes_on_restarts


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a search has done when its restarts have ended.

    Attributes:
        records: What each restart did.
        stop_reason: What stopped it; None when it went to its end.
        limits: The limits that stopped it, as ``BudgetSpentError`` calls them.
        budget: What is left of each limit that was set.
        notes: Facts that belong beside the figures.
        given: What came from Python in place of what the config names; see ``agent.search.given``.
    """

    records: Sequence[RestartRecord]
    stop_reason: str | None = None
    limits: tuple[str, ...] = ()
    budget: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)

    @property
    def scored(self) -> list[Entry]:
        """Every template that was scored, by whichever restart."""
        return [entry for record in self.records for entry in record.scored]


@dataclass(frozen=True, slots=True)
class _Choice:
    """What is chosen by what a search may see.

    Attributes:
        ranked: All templates, best first.
        rows: The same as lines of the leaderboard.
        evaluated: How many texts were scored.
        ensemble: Those that are averaged.
        baselines: What they are compared with, by name.
        notes: Why something was chosen with less care.
    """

    ranked: list[Entry]
    rows: tuple[Row, ...]
    evaluated: int
    ensemble: Group
    baselines: Mapping[str, Group]
    notes: Mapping[str, str]


async def finish(
    config: SearchConfig,
    evaluator: Evaluator,
    store: Store,
    ended: Ended,
    keep_details: Callable[[Details], None] = lambda _details: None,
    curve: Sequence[int] = (),
) -> SearchResult:
    """Choose, open the test split if the search went to its end, and build the result.

    A search that was stopped goes on some day, so its test split stays sealed. That of a finished one is
    opened once; if that fails, the result has no test accuracies and a note that says why.

    Args:
        config: What was searched.
        evaluator: What scored.
        store: The run on disk: what it used, and how often its test split was opened.
        ended: What the restarts did.
        keep_details: Given what the page shows beyond the result.
        curve: Numbers of templates after which the choice of that moment is looked at too in that opening;
            nothing of it goes back into a choice.

    Raises:
        PromptclimbError: Nothing was scored, so there is nothing to choose from; or the evaluator fails.
        StoreError: The opening of the test split cannot be written down; it stays sealed.
    """
    choice = await _choose(config, evaluator, ended)
    opens = ended.stop_reason is None and evaluator.info.sizes.get("test", 0) > 0
    groups = [_single(choice.ranked[0]), choice.ensemble, *choice.baselines.values()]
    early = await in_thread(lambda: early_picks(ended.scored, curve, partial(_ranked, config, evaluator)))
    found, notes = await examined(evaluator, store, [*groups, *map(_single, early.values())], test=opens)
    found, of_early = found[: len(groups)], found[len(groups) :]
    look: Inspected | None = None
    gain: Gain | None = None
    examined_on_test: dict[str, Examined] = {}
    picks: tuple[Pick, ...] = ()
    if opens and UNOPENED not in notes:
        look, more = await inspected(evaluator, choice.ranked[0].scored_as)
        (best, ensemble, *others), further = await compared(evaluator, groups, found)
        named = dict(zip(choice.baselines, others, strict=True))
        gain = gain_of(best, ensemble, named, images=evaluator.info.sizes["test"])
        notes |= more | further
        examined_on_test = {BEST: best, ENSEMBLE: ensemble, **named}
        picks = picks_of(early, of_early)
    notes |= notes_on_restarts(ended.records)
    result = _result(config, evaluator.info, store, ended, choice, found, notes)
    details = await details_of(evaluator, examined_on_test, choice.ranked[0], ended.records)
    keep_details(replace(details, curve=picks))
    return replace(result, inspection=look, gain=gain)


async def _choose(config: SearchConfig, evaluator: Evaluator, ended: Ended) -> _Choice:
    scored = ended.scored
    # Hashing and ordering all that many restarts have found takes seconds.
    ranked = await in_thread(lambda: _ranked(config, evaluator, scored))
    if not ranked:
        raise PromptclimbError(
            "the search was stopped before the first template was scored; resume it with more"
        )
    texts = {entry.scored_as: entry.text for entry in reversed(ranked)}
    together, notes = await ensemble_of(
        evaluator, [entry.scored_as for entry in ranked], config.ensemble_size
    )
    shown = tuple(texts[template] for template in together)
    ensemble = Group(together, ranked[0].score if len(together) == 1 else None, shown)
    baselines = await _baselines(config, evaluator, scored)
    rows = await in_thread(lambda: tuple(row_of(place, one) for place, one in enumerate(ranked, start=1)))
    # Could be told from the records where it is shown, but of a crowd that holds the loop for 50 ms.
    evaluated = await in_thread(lambda: len({entry.text for entry in scored}))
    return _Choice(ranked, rows, evaluated, ensemble, baselines, notes)


def _result(
    config: SearchConfig,
    info: EvaluatorInfo,
    store: Store,
    ended: Ended,
    choice: _Choice,
    found: Sequence[Ensemble],
    notes: Mapping[str, str],
) -> SearchResult:
    best, ensemble, *baselines = found
    named = zip(choice.baselines, baselines, strict=True)
    device = info.notes.get("device")
    return SearchResult(
        status="finished" if ended.stop_reason is None else "stopped",
        stop_reason=ended.stop_reason,
        limits=ended.limits,
        dataset=_dataset(info),
        model=Model(name=info.model, pretrained=info.pretrained),
        llm=_llm(config, ended),
        method=config.method,
        prompts=config.prompts,
        objective=config.objective,
        best=_best(choice.ranked[0], best),
        ensemble=ensemble,
        baselines={name: one for name, one in named if one.train is not None},
        leaderboard=choice.rows,
        usage=_usage(config, store, ended.records),
        evaluated=choice.evaluated,
        rejected=_rejected(ended.records),
        wall_s=round(store.usage.active_s, 3),
        skipped=sum(record.skipped for record in ended.records),
        budget=ended.budget,
        notes={**info.notes, **ended.notes, **choice.notes, **notes},
        versions=_versions(),
        started=store.manifest.get("started"),
        device=None if device is None else str(device),
        test_opened=openings(store),
    )


def _ranked(config: SearchConfig, evaluator: Evaluator, scored: Sequence[Entry]) -> list[Entry]:
    sizes = evaluator.info.sizes
    return select(scored, sizes=sizes, objective=config.objective, seed=config.seed)


def _single(entry: Entry) -> Group:
    return Group((entry.scored_as,), entry.score, (entry.text,))


async def _baselines(config: SearchConfig, evaluator: Evaluator, scored: Sequence[Entry]) -> dict[str, Group]:
    """Return what a result is compared with: hand-made templates, the best of them, the pool's pick."""
    found = {name: Group(tuple(templates)) for name, templates in evaluator.info.baselines.items()}
    if (one := await _best_hand_made(config, evaluator)) is not None:
        found[BEST_HAND_MADE] = _single(one)
    initial = [one for one in scored if one.position.initial]
    found[BEST_STARTING] = _single((await in_thread(lambda: _ranked(config, evaluator, initial)))[0])
    return {name: group for name, group in found.items() if group.templates}


async def _best_hand_made(config: SearchConfig, evaluator: Evaluator) -> Entry | None:
    """Return the one of several hand-made templates that the selection rule puts first."""
    templates = list(evaluator.info.baselines.get(HAND_MADE, ()))
    if len(templates) < 2:
        return None
    answers = await measured(lambda: [checked(verdict) for verdict in evaluator.score(templates)])
    scored = [
        Entry(
            candidate=Template.parse(template, max_words=None),
            score=answer,
            value=answer.value(config.objective),
            position=Position(0),
        )
        for template, answer in zip(templates, answers, strict=True)
        if isinstance(answer, Score)
    ]
    return next(iter(_ranked(config, evaluator, scored)), None)


def _best(entry: Entry, found: Ensemble) -> Best:
    # Of a single template it is known at least by what it was chosen.
    train = entry.score.train if found.train is None else found.train
    return Best(template=entry.text, train=train, val=found.val, test=found.test)


def _dataset(info: EvaluatorInfo) -> Dataset:
    sizes = {split: int(info.sizes.get(split, 0)) for split in ("train", "val", "test")}
    return Dataset(
        name=info.dataset, classes=info.classes, shots=info.shots, seed=info.seed, sizes=Sizes(**sizes)
    )


def _llm(config: SearchConfig, ended: Ended) -> Llm:
    if not config.needs_llm:
        return Llm(model=None, base_url=None)
    # An object from Python answers in this process, whatever address the config would have asked.
    return Llm(model=config.llm, base_url=None if "chat" in ended.given else config.shown_url)


def _versions() -> Versions:
    return Versions(
        program=program_version(),
        python=platform.python_version(),
        torch=running_version("torch", module="torch"),
        open_clip=running_version("open_clip_torch", module="open_clip"),
    )


def _rejected(records: Sequence[RestartRecord]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for record in records:
        total.update(record.rejected)
    return dict(sorted(total.items()))


def _usage(config: SearchConfig, store: Store, records: Sequence[RestartRecord]) -> Usage:
    spent = store.usage
    free = not config.needs_llm or config.is_local
    known = free or config.priced or 0 < spent.calls == spent.told_calls
    return Usage(
        calls=spent.calls,
        failed_calls=spent.failed_calls,
        retries=spent.retries,
        replayed=sum(record.replayed for record in records),
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
        cost_usd=_dollars(spent.picodollars) if known else None,
        estimated_tokens=spent.doubtful_tokens,
        estimated_usd=_dollars(spent.doubtful_picodollars) if free or config.priced else None,
        cached_tokens=spent.cached_tokens,
        cache_written_tokens=spent.cache_written_tokens,
        reasoning_tokens=spent.reasoning_tokens,
        reported_usd=_dollars(spent.told_picodollars) if spent.told_calls else None,
    )


def _dollars(picodollars: int) -> float:
    return round(picodollars / PICODOLLARS, 9)
