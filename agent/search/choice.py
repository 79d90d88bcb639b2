"""Choose the best template and the ensemble from what was scored; never by the test split.

Candidates are ordered by:

1. the objective on the pooled training and validation images. Where augmented copies were scored too
   (``accuracy`` and ``class_mean`` only), the mean of that and of the objective on the copies, which is less
   by chance. Each split counts by its number of images: for accuracy, logprob and margin this is the mean
   over all images. For class_mean it is the mean over all classes, if all classes have equally many images in
   a split, as in few-shot ones; otherwise the classes still count equally within each split;
2. the objective on train;
3. fewer words;
4. a hash of the seed and the text.

If the objective is missing on val for one of the candidates, val counts for none, and likewise the copies:
values on different images are not compared. Spellings of one candidate (equal keys) are one entry, the best
of them by this rule.

The ensemble is greedy forward selection with replacement (*Ensemble Selection from Libraries of Models*,
Caruana et al., ICML 2004). It begins with the first few of the order. As long as a candidate improves the
average on the training and validation images, the best such one joins; one that joins again weighs more. The
start keeps it from overfitting a single pick to few images; docs/method.md has figures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

from ...evaluator.errors import AskingEndedError, PromptclimbError
from ...evaluator.scoring import (
    COUNTED,
    HAND_MADE,
    Evaluator,
    EvaluatorInfo,
    Objective,
    Score,
    checked,
)
from ...evaluator.threads import in_thread
from ...prompts.kinds import CandidateError, PromptKind
from ..config.schema import SearchConfig
from ..methods.memory import Entry
from ..position import Position
from ..results.accuracies import BEST_HAND_MADE, BEST_STARTING
from ..results.details import BEST, ENSEMBLE
from ..results.notes import failure_note
from ..results.result import UNGROWN, Row
from .event_loop import call_evaluator

MOST_CANDIDATES = 20
"""The best of the ranking, from which one may join; each costs one averaged classifier per round."""
FIRST_IN_ENSEMBLE, MOST_IN_ENSEMBLE = 3, 8
"""Templates that an ensemble starts with, and maximum."""


def pooled(score: Score, sizes: Mapping[str, int], objective: Objective = "accuracy") -> float:
    """Return the objective on the images of train and val taken together; on train if it has no val."""
    train, val = score.value(objective), score.val_value(objective)
    n_train, n_val = sizes.get("train", 0), sizes.get("val", 0)
    if not n_val or not n_train or val is None:
        return train
    # Rounded, so that equal counts are equal numbers whichever way they were divided.
    return round((train * n_train + val * n_val) / (n_train + n_val), 9)


def ranking(
    scored: Iterable[Entry],
    *,
    sizes: Mapping[str, int],
    objective: Objective = "accuracy",
    seed: int = 0,
) -> list[Entry]:
    """Return all candidates ordered by the rule, best first, one entry per candidate.

    Those that a race dropped come last, by their estimates.

    The order of ``scored`` does not matter; ``seed`` decides ties; ``sizes`` are the images in train and val.
    """
    entries = list(scored)
    whole = [entry.score for entry in entries if entry.score.whole]
    pools = all(score.val_value(objective) is not None for score in whole)
    counts_copies = objective in COUNTED and all(score.copies is not None for score in whole)

    def few_shot(entry: Entry) -> float:
        on_images = pooled(entry.score, sizes, objective) if pools else entry.value
        on_copies = entry.score.copies if counts_copies else None
        # Rounded as in ``pooled``.
        return on_images if on_copies is None else round((on_images + on_copies) / 2, 9)

    def rank(entry: Entry) -> tuple[bool, float, float, int, str, Position]:
        dropped = not entry.score.whole
        value = entry.value if dropped else few_shot(entry)
        tie_break = hashlib.sha256(f"{seed}\0{entry.text}".encode()).hexdigest()
        return (dropped, -value, -entry.value, len(entry.text.split()), tie_break, entry.position)

    # Many restarts find the same candidates. Sorting holds the interpreter, so merge them first.
    best: dict[str, tuple[tuple[bool, float, float, int, str, Position], Entry]] = {}
    for entry in entries:
        entry_rank = rank(entry)
        held = best.get(entry.key)
        if held is None or entry_rank < held[0]:
            best[entry.key] = entry_rank, entry
    return [entry for _, entry in sorted(best.values(), key=itemgetter(0))]


async def grow_ensemble(evaluator: Evaluator, ranked: Sequence[str], *, start: int) -> tuple[str, ...]:
    """Return the templates of an ensemble, the best of the ranking first.

    It begins with the first ``start`` of ``ranked``; an ensemble of one, or one that cannot be measured, is
    not grown.
    """
    chosen, sizes = tuple(ranked[:start]), evaluator.info.sizes
    if len(chosen) < 2:
        return chosen

    async def values(ensembles: Sequence[tuple[str, ...]]) -> list[tuple[float, float] | None]:
        """Return what compares ensembles: their pooled shares, then those on train."""
        measured = await call_evaluator(lambda: evaluator.examine(ensembles, test=False))
        return [
            None
            if scores is None or scores.train is None
            else (pooled(Score(train=scores.train, val=scores.val), sizes), scores.train)
            for scores in measured
        ]

    (value,) = await values([chosen])
    if value is None:
        return chosen
    while len(chosen) < MOST_IN_ENSEMBLE:
        larger = [(*chosen, template) for template in ranked[:MOST_CANDIDATES]]
        # Of equal ones the first, which is higher in the ranking.
        measured = [
            (larger_value, -index)
            for index, larger_value in enumerate(await values(larger))
            if larger_value is not None
        ]
        if not measured or max(measured)[0] <= value:
            break
        value, index = max(measured)
        chosen = larger[-index]
    return chosen


def _first(config: SearchConfig) -> int:
    """Return how many templates an ensemble starts with; 1 where the scorer cannot average them."""
    return FIRST_IN_ENSEMBLE if config.kind.averaged and config.scorer != "zero-shot" else 1


def candidates_at_most(config: SearchConfig, info: EvaluatorInfo) -> int:
    """Return how many candidates the final evaluation needs at most."""
    ensemble = MOST_IN_ENSEMBLE if _first(config) > 1 else 1
    baselines = {template for group in info.baselines.values() for template in group}
    return ensemble + len(baselines) + 1 + config.kind.renames_classes


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The choice of a search, made before the test split is opened.

    Attributes:
        rows: The leaderboard, best first.
        groups: What is to be evaluated, by name: texts of the scorer that are averaged.
        texts: What the result shows for a text of the scorer, if that is another text.
        scores: By text of the scorer, as the search has them.
        texts_scored: How many texts were scored.
        notes: Has a note if the ensemble could not be grown, and is only the first few of the ranking.
    """

    best: Entry
    rows: tuple[Row, ...]
    groups: Mapping[str, tuple[str, ...]]
    texts: Mapping[str, str]
    scores: Mapping[str, Score]
    texts_scored: int
    notes: Mapping[str, str]


async def choose(config: SearchConfig, evaluator: Evaluator, scored: Sequence[Entry]) -> Choice:
    """Choose by the selection rule; the test split stays closed."""
    rank_by_rule = partial(ranking, sizes=evaluator.info.sizes, objective=config.objective, seed=config.seed)

    def rank_all() -> tuple[list[Entry], tuple[Row, ...], int]:
        order = rank_by_rule(scored)
        rows = tuple(row_of(rank, entry) for rank, entry in enumerate(order, start=1))
        return order, rows, len({entry.text for entry in scored})

    # Ordering the templates of many restarts takes seconds.
    order, rows, texts_scored = await in_thread(rank_all)
    kind = config.kind
    if not order:
        raise PromptclimbError(
            f"the search was stopped before the first {kind.words.noun} was scored; resume it with more"
        )
    scored_as = [entry.scored_as for entry in order if entry.score.whole]
    size, notes = _first(config), dict[str, str]()
    try:
        ensemble = await grow_ensemble(evaluator, scored_as, start=size)
    except Exception as error:  # noqa: BLE001 - noted in the result
        ensemble, notes[UNGROWN] = tuple(scored_as[:size]), failure_note(UNGROWN, error, size)
    baselines = {name: tuple(templates) for name, templates in evaluator.info.baselines.items() if templates}
    hand_made = await _hand_made(config, evaluator)
    if hand_made:
        baselines[BEST_HAND_MADE] = (rank_by_rule(hand_made)[0].scored_as,)
    starting = [entry for entry in scored if entry.position.initial]
    baselines[BEST_STARTING] = ((await in_thread(lambda: rank_by_rule(starting)))[0].scored_as,)
    shown = {text: _shown(kind, text) for templates in baselines.values() for text in templates}
    return Choice(
        best=order[0],
        rows=rows,
        groups={BEST: (order[0].scored_as,), ENSEMBLE: ensemble, **baselines},
        texts=shown | {entry.scored_as: entry.text for entry in reversed(order)},
        scores={entry.scored_as: entry.score for entry in (*hand_made, *reversed(order))},
        texts_scored=texts_scored,
        notes=notes,
    )


def row_of(rank: int, entry: Entry) -> Row:
    """Return a scored template as a line of the leaderboard."""
    return Row(
        rank=rank,
        template=entry.text,
        train=entry.score.train,
        val=entry.score.val,
        restart=entry.position.restart,
        conversation=entry.position.conversation,
        round=entry.position.round,
        source=entry.source,
        copies=entry.score.copies,
        images=entry.score.images,
        estimate=entry.score.estimate,
        unanswered=entry.score.unanswered,
    )


def _shown(kind: PromptKind, text: str) -> str:
    """Return a scorer's text as the result lists candidates, such as an instruction on one line."""
    try:
        candidate = kind.parse_scored(text)
    except CandidateError:
        return text
    return candidate.text if candidate.scored_as == text else text


async def _hand_made(config: SearchConfig, evaluator: Evaluator) -> list[Entry]:
    """Score hand-made templates, if there are several; their best one is a separate baseline."""
    templates, kind = list(evaluator.info.baselines.get(HAND_MADE, ())), config.kind
    if len(templates) < 2:
        return []
    try:
        verdicts = map(checked, await call_evaluator(lambda: evaluator.score(templates)))
    except AskingEndedError:
        return []  # a limit was reached before they were scored
    return [
        Entry(
            candidate=kind.parse_scored(template),
            score=verdict,
            value=verdict.value(config.objective),
            position=Position(0),
        )
        for template, verdict in zip(templates, verdicts, strict=True)
        if isinstance(verdict, Score)
    ]
