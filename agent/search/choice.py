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

With ``prefer_readable``, the first candidate that a person or the LLM wrote (a starting one or a proposal)
comes before all others if it is at most ``READABLE_MARGIN`` standard errors lower by 1 than the best one,
which a method put together from words (``ranked``).

The ensemble is greedy forward selection with replacement (*Ensemble Selection from Libraries of Models*,
Caruana et al., ICML 2004). It begins with the first few of the order. As long as a candidate improves the
average on the training and validation images, the best such one joins; one that joins again weighs more. The
start keeps it from overfitting a single pick to few images; docs/method.md has figures. If labels are voted
on, candidates join in pairs, since one vote rarely turns a decision.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from operator import itemgetter

from ...evaluator.errors import AskingEndedError, PromptclimbError
from ...evaluator.scoring import (
    COUNTED,
    HAND_MADE,
    Evaluator,
    EvaluatorInfo,
    Objective,
    Predictor,
    Score,
    SplitScores,
    checked,
)
from ...evaluator.threads import in_thread
from ...prompts.kinds import CandidateError, PromptKind, kind_named
from ..config.schema import SearchConfig
from ..methods.memory import Entry
from ..position import INITIAL, LLM, Position
from ..results.gain import BEST_HAND_MADE, BEST_STARTING
from ..results.result import PREFERRED, UNGROWN, Row
from .measuring import Ballots, call_evaluator

MOST_CANDIDATES = 20
"""The best of the ranking, from which one may join; each costs one averaged classifier per round."""
MOST_VOTERS = 10
"""The same where two join: each pair of them is counted."""
MOST_IN_ENSEMBLE = 8
"""Maximum templates in an ensemble, unless more are requested."""
READABLE_MARGIN = 0.25
"""Standard errors that a written candidate may be below the best one; benchmarks/readable.py measured it."""

Measure = Callable[[Sequence[tuple[str, ...]]], Awaitable[Sequence[SplitScores | None]]]
"""Scores ensembles on train and val; None for what cannot be measured."""


def pooled(score: Score, sizes: Mapping[str, int], objective: Objective = "accuracy") -> float:
    """Return the objective on the images of train and val taken together; on train if it has no val."""
    train, val = score.value(objective), score.val_value(objective)
    n_train, n_val = sizes.get("train", 0), sizes.get("val", 0)
    if not n_val or not n_train or val is None:
        return train
    # Rounded, so that equal counts are equal numbers whichever way they were divided.
    return round((train * n_train + val * n_val) / (n_train + n_val), 9)


def ranking(
    found: Iterable[Entry],
    *,
    sizes: Mapping[str, int],
    objective: Objective = "accuracy",
    seed: int = 0,
) -> list[Entry]:
    """Return all candidates ordered by the rule, best first, one entry per candidate.

    Those that a race dropped come last, by their estimates.

    The order of ``found`` does not matter; ``seed`` decides ties; ``sizes`` are the images in train and val.
    """
    entries = list(found)
    few_shot, _ = few_shot_value(entries, sizes=sizes, objective=objective)

    def rank(entry: Entry) -> tuple[bool, float, float, int, str]:
        dropped = not entry.score.whole
        first = entry.value if dropped else few_shot(entry)
        tie_break = hashlib.sha256(f"{seed}\0{entry.text}".encode()).hexdigest()
        return (dropped, -first, -entry.value, len(entry.text.split()), tie_break)

    # Many restarts find the same candidates. Sorting holds the interpreter, so merge them first.
    best: dict[str, tuple[tuple[bool, float, float, int, str, Position], Entry]] = {}
    for entry in entries:
        place = (*rank(entry), entry.position)
        held = best.get(entry.key)
        if held is None or place < held[0]:
            best[entry.key] = place, entry
    return [entry for _, entry in sorted(best.values(), key=itemgetter(0))]


def few_shot_value(
    entries: Sequence[Entry], *, sizes: Mapping[str, int], objective: Objective
) -> tuple[Callable[[Entry], float], int]:
    """Return what the rule compares first of a whole entry among these, and on how many images."""
    whole = [entry.score for entry in entries if entry.score.whole]
    pools = all(score.val_value(objective) is not None for score in whole)
    views = objective in COUNTED and all(score.views is not None for score in whole)

    def value(entry: Entry) -> float:
        found = pooled(entry.score, sizes, objective) if pools else entry.value
        copies = entry.score.views
        # Rounded as in ``pooled``.
        return found if copies is None or not views else round((found + copies) / 2, 9)

    return value, sizes.get("train", 0) + (sizes.get("val", 0) if pools else 0)


def within_margin(value: float, best: float, images: int, margin: float = READABLE_MARGIN) -> bool:
    """Return whether a share of the images is at most ``margin`` standard errors below the best one.

    False without images, or for a value that is no share, as of a custom scorer. For ``class_mean`` the
    error is that of the accuracy, which is at least as large with equally many images per class.
    """
    if not images or not 0 <= value <= best <= 1:
        return False
    return value >= best - margin * math.sqrt(best * (1 - best) / images) - 1e-9


@dataclass(frozen=True, slots=True)
class Ranked:
    """Candidates in the order of the choice; ``note`` says why the first one was preferred."""

    order: Sequence[Entry]
    note: str = ""

    @property
    def best(self) -> Entry:
        return self.order[0]


def ranked(config: SearchConfig, info: EvaluatorInfo, scored: Sequence[Entry]) -> Ranked:
    """Return the order of the choice: that of the rule, a preferred candidate first."""
    order = ranking(scored, sizes=info.sizes, objective=config.objective, seed=config.seed)
    applies = config.objective in COUNTED and kind_named(config.search_for).prefers_written
    if not config.prefer_readable or not applies or not order:
        return Ranked(order)
    # One that another restart put together may be one restart's own.
    written: dict[str, str] = {}
    for entry in scored:
        if entry.source in (INITIAL, LLM):
            written.setdefault(entry.key, entry.source)
    best = order[0]
    first = next((entry for entry in order if entry.key in written and entry.score.whole), None)
    if first is None or first is best:
        return Ranked(order)
    few_shot, images = few_shot_value(scored, sizes=info.sizes, objective=config.objective)
    if not within_margin(few_shot(first), few_shot(best), images):
        return Ranked(order)
    note = _preference(best, first.text, few_shot(best) - few_shot(first), by=written[first.key])
    if config.searches_names:
        note = f"with the original class names, {note}"
    return Ranked([first, *(entry for entry in order if entry is not first)], note)


def _preference(best: Entry, preferred: str, lead: float, *, by: str) -> str:
    """Return in words why the best one by the rule is not chosen; ``by`` is the other one's source."""
    points = f"{100 * lead:.1f} points" if lead >= 0.0005 else "less than 0.1 points"
    higher = f"{points} higher on the few-shot images, which is within chance" if lead else "as high"
    why = "the LLM wrote it" if by == LLM else "it is a starting template"
    return (
        f'"{best.text}", made by {best.source}, scored {higher}; "{preferred}" was preferred because {why} '
        "(--no-prefer-readable)"
    )


async def grow_ensemble(
    ranked: Sequence[str], measure: Measure, *, start: int, sizes: Mapping[str, int], in_pairs: bool = False
) -> tuple[str, ...] | None:
    """Return the templates of an ensemble, the best of the ranking first; None if none can be measured.

    It begins with the first ``start`` of ``ranked``; an ensemble of one is not grown. With ``in_pairs``, two
    templates join at a time. ``sizes`` are the images in train and val.
    """
    joining: list[tuple[str, ...]] = [(one,) for one in ranked[:MOST_CANDIDATES]]
    if in_pairs:
        joining = list(combinations_with_replacement(ranked[:MOST_VOTERS], 2))
    chosen = tuple(ranked[:start])
    if len(chosen) < 2:
        return chosen
    (now,) = _keys(await measure([chosen]), sizes)
    if now is None:
        return None
    while len(chosen) + len(joining[0]) <= MOST_IN_ENSEMBLE:
        larger = [(*chosen, *more) for more in joining]
        keys = _keys(await measure(larger), sizes)
        found = [(key, -place) for place, key in enumerate(keys) if key is not None]
        if not found or max(found)[0] <= now:
            break
        now, place = max(found)
        chosen = larger[-place]
    return chosen


def _keys(found: Sequence[SplitScores | None], sizes: Mapping[str, int]) -> list[tuple[float, float] | None]:
    """Return the keys that compare ensembles: their pooled shares, then those on train."""
    return [
        None
        if one is None or one.train is None
        else (pooled(Score(train=one.train, val=one.val), sizes), one.train)
        for one in found
    ]


def candidates_at_most(config: SearchConfig, info: EvaluatorInfo, curve: int = 0) -> int:
    """Return how many candidates the final evaluation needs at most, with points of a learning curve."""
    alone = config.ensemble_size == 1 or not kind_named(config.search_for).averaged
    ensemble = 1 if alone else max(config.ensemble_size, MOST_IN_ENSEMBLE)
    baselines = {template for group in info.baselines.values() for template in group}
    return ensemble + len(baselines) + 1 + curve + config.searches_names


@dataclass(frozen=True, slots=True)
class ChosenGroup:
    """Candidates that are measured together.

    Attributes:
        known: The score of a single one, if the search has it.
        shown: Their texts as the result lists them; empty if the same as ``templates``.
    """

    templates: tuple[str, ...]
    known: Score | None = None
    shown: tuple[str, ...] = ()

    @classmethod
    def of(cls, entry: Entry) -> ChosenGroup:
        return cls((entry.scored_as,), entry.score, (entry.text,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The choice of a search, made before the test split is opened.

    Attributes:
        rows: The leaderboard, best first.
        evaluated: How many texts were scored.
        curve: The choice after that many templates: points of a learning curve.
    """

    best: Entry
    ensemble: ChosenGroup
    baselines: Mapping[str, ChosenGroup]
    rows: tuple[Row, ...]
    evaluated: int
    notes: Mapping[str, str]
    curve: Mapping[int, Entry]


async def choose(
    config: SearchConfig, evaluator: Evaluator, scored: Sequence[Entry], curve: Sequence[int] = ()
) -> Choice:
    """Choose by the selection rule, also at each point of a learning curve; the test split stays closed."""

    def ranking_of(some: Sequence[Entry]) -> Ranked:
        return ranked(config, evaluator.info, some)

    def rank_all() -> tuple[Ranked, tuple[Row, ...], int, dict[int, Entry]]:
        found = ranking_of(scored)
        rows = tuple(row_of(place, one) for place, one in enumerate(found.order, start=1))
        picks = {count: ranking_of(first).best for count, first in first_templates(scored, curve).items()}
        chosen_after = {count: pick for count, pick in picks.items() if pick.score.whole}
        return found, rows, len({entry.text for entry in scored}), chosen_after

    # Ordering the templates of many restarts takes seconds.
    found, rows, evaluated, chosen_after = await in_thread(rank_all)
    order, kind = found.order, kind_named(config.search_for)
    if not order:
        raise PromptclimbError(
            f"the search was stopped before the first {kind.words.noun} was scored; resume it with more"
        )
    scored_as = [entry.scored_as for entry in order if entry.score.whole]
    size = config.ensemble_size if kind.averaged else 1
    together, notes = await choose_ensemble(evaluator, scored_as, size)
    if found.note:
        notes[PREFERRED] = found.note
    texts = {entry.scored_as: entry.text for entry in reversed(order)}
    baselines = {
        name: ChosenGroup(tuple(templates), shown=tuple(_shown(kind, one) for one in templates))
        for name, templates in evaluator.info.baselines.items()
    }
    if hand_made := await _hand_made(config, evaluator):
        baselines[BEST_HAND_MADE] = ChosenGroup.of(ranking_of(hand_made).best)
    starting = [one for one in scored if one.position.initial]
    baselines[BEST_STARTING] = ChosenGroup.of((await in_thread(lambda: ranking_of(starting))).best)
    return Choice(
        best=found.best,
        ensemble=ChosenGroup(
            together,
            order[0].score if len(together) == 1 else None,
            tuple(texts[template] for template in together),
        ),
        baselines={name: group for name, group in baselines.items() if group.templates},
        rows=rows,
        evaluated=evaluated,
        notes=notes,
        curve=chosen_after,
    )


async def choose_ensemble(
    evaluator: Evaluator, ranked: Sequence[str], size: int
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the templates to average, ``size`` or more, and a note if that failed."""
    sizes = evaluator.info.sizes

    async def averaged(ensembles: Sequence[tuple[str, ...]]) -> Sequence[SplitScores | None]:
        return await call_evaluator(lambda: evaluator.examine(ensembles, test=False))

    async def voted(ensembles: Sequence[tuple[str, ...]]) -> Sequence[SplitScores | None]:
        return ballots.scores(ensembles)

    try:
        found = await grow_ensemble(ranked, averaged, start=size, sizes=sizes)
        if found is None and isinstance(evaluator, Predictor):
            voters = ranked[: max(MOST_VOTERS, size)]
            splits = [split for split in ("train", "val") if sizes.get(split, 0)]
            ballots = await call_evaluator(lambda: Ballots(evaluator, voters, splits))
            found = await grow_ensemble(ranked, voted, start=size, sizes=sizes, in_pairs=True)
        return found or tuple(ranked[:size]), {}
    except Exception as error:  # noqa: BLE001 - noted in the result
        return tuple(ranked[:size]), {
            UNGROWN: f"the ensemble is the first {size} of the ranking: {message_of(error)}"
        }


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
        views=entry.score.views,
        images=entry.score.images,
        estimate=entry.score.estimate,
    )


def _shown(kind: PromptKind, text: str) -> str:
    """Return a scorer's text as the result lists candidates, such as an instruction on one line."""
    try:
        candidate = kind.parse_scored(text)
    except CandidateError:
        return text
    return candidate.text if candidate.scored_as == text else text


def first_templates(scored: Sequence[Entry], counts: Sequence[int]) -> dict[int, Sequence[Entry]]:
    """Return the first n distinct templates for each n reached, in order of rounds across restarts."""
    if not counts:
        return {}
    known: dict[str, Entry] = {}
    for one in sorted(
        scored, key=lambda one: (one.position.conversation, one.position.round, one.position.restart)
    ):
        known.setdefault(one.key, one)
    in_turn = list(known.values())
    return {count: in_turn[:count] for count in sorted(set(counts)) if 0 < count <= len(in_turn)}


async def _hand_made(config: SearchConfig, evaluator: Evaluator) -> list[Entry]:
    """Score hand-made templates, if there are several; their best one is a separate baseline."""
    templates, kind = list(evaluator.info.baselines.get(HAND_MADE, ())), kind_named(config.search_for)
    if len(templates) < 2:
        return []
    try:
        answers = await call_evaluator(lambda: [checked(verdict) for verdict in evaluator.score(templates)])
    except AskingEndedError:
        return []  # a limit was reached before they were scored
    return [
        Entry(
            candidate=kind.parse_scored(template),
            score=answer,
            value=answer.value(config.objective),
            position=Position(0),
        )
        for template, answer in zip(templates, answers, strict=True)
        if isinstance(answer, Score)
    ]


def message_of(error: Exception) -> str:
    """Return the message of an error, in characters that can be stored."""
    message = str(error) or type(error).__name__
    return message.encode("utf-8", "backslashreplace").decode("utf-8")
