"""Choose the best template and the forms of the result from what was scored; never by the test split.

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

The averaged texts come from greedy forward selection with replacement (*Ensemble Selection from Libraries of
Models*, Caruana et al., ICML 2004). It begins with the first few of the order. As long as a candidate
improves the average on the training and validation images, the best such one joins; one that joins again
weighs more. The start keeps it from overfitting a single pick to few images.

The result is a classifier in up to three forms: the best template, the texts, and the texts with the labelled
images. The texts are the averaged ones if the labelled images say that they are better than the best way
without a search; else they are that. What a scorer with features learns from the labelled images starts
midway between the two, and stays near. New class names that an LLM read as a whole take the place of both.
Those that were chosen one by one, on the same images, serve the texts alone: beside the images they bring
nothing, and with few of them they harm. The form to use is decided here, before the test split is opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING

from ...evaluator.classifier import Classifier
from ...evaluator.errors import AskingEndedError, PromptclimbError, reason_of
from ...evaluator.head import Head
from ...evaluator.scoring import (
    BARE_NAME,
    COUNTED,
    HAND_MADE,
    Evaluator,
    EvaluatorInfo,
    FeatureEvaluator,
    Form,
    LearnedClassifier,
    Objective,
    Score,
    checked,
)
from ...evaluator.threads import in_thread
from ...prompts.kinds import CandidateError, PromptKind
from ..config.schema import SearchConfig
from ..methods.memory import Entry
from ..position import Position
from ..results.accuracies import BEST, BEST_HAND_MADE, BEST_STARTING, TEXTS
from ..results.result import FORM_CHOSEN_BY, UNLEARNED, Row
from .event_loop import call_evaluator
from .evidence import (
    baselines_of,
    beats,
    best_way,
    halves_errors,
    judge,
    labelled_images,
    pooled,
    ways_of,
)
from .journal import NamedTemplate

if TYPE_CHECKING:
    from ...evaluator.head import ClassVectors

MOST_CANDIDATES = 20
"""The best of the ranking, from which one may join; each costs one averaged classifier per round."""
FIRST_AVERAGED, MOST_AVERAGED = 3, 8
"""Templates that an average starts with, and maximum."""


def ranking(
    scored: Iterable[Entry],
    *,
    sizes: Mapping[str, int],
    objective: Objective = "accuracy",
    seed: int = 0,
) -> list[Entry]:
    """Return all candidates ordered by the rule, best first, one entry per candidate; see ``ranked``."""
    return [entry for _, entry in ranked(scored, sizes=sizes, objective=objective, seed=seed)]


def ranked(
    scored: Iterable[Entry],
    *,
    sizes: Mapping[str, int],
    objective: Objective = "accuracy",
    seed: int = 0,
) -> list[tuple[float, Entry]]:
    """Return all candidates ordered by the rule with the number that decides, one entry per candidate.

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
    return [(-order[1], entry) for order, entry in sorted(best.values(), key=itemgetter(0))]


async def grow(evaluator: Evaluator, in_order: Sequence[str], *, start: int) -> tuple[str, ...]:
    """Return the templates to average, the best of the ranking first.

    It begins with the first ``start`` of ``in_order``; one alone, or an average that cannot be measured,
    is not grown.
    """
    chosen, sizes = tuple(in_order[:start]), evaluator.info.sizes
    if len(chosen) < 2:
        return chosen

    async def values(averages: Sequence[tuple[str, ...]]) -> list[tuple[float, float] | None]:
        """Return what compares averages: their pooled shares, then those on train."""
        measured = await call_evaluator(lambda: evaluator.examine(averages, test=False))
        return [
            None
            if scores is None or scores.train is None
            else (pooled(Score(train=scores.train, val=scores.val), sizes), scores.train)
            for scores in measured
        ]

    (value,) = await values([chosen])
    if value is None:
        return chosen
    while len(chosen) < MOST_AVERAGED:
        larger = [(*chosen, template) for template in in_order[:MOST_CANDIDATES]]
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
    """Return how many templates an average starts with; 1 where the scorer cannot average them."""
    return FIRST_AVERAGED if config.kind.averaged and config.scorer != "zero-shot" else 1


def candidates_at_most(config: SearchConfig, info: EvaluatorInfo) -> int:
    """Return how many candidates the final evaluation needs at most."""
    averaged = MOST_AVERAGED if _first(config) > 1 else 1
    baselines = {template for group in info.baselines.values() for template in group}
    return averaged + len(baselines) + 1 + config.kind.renames_classes


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The choice of a search, made before the test split is opened.

    Attributes:
        best: None if nothing was scored, as there are no labelled images.
        rows: The leaderboard, best first.
        groups: What is to be evaluated, by name: texts of the scorer that are averaged.
        ways: What people use without a search, by name; empty without labelled images to choose by.
        texts: What the result shows for a text of the scorer, if that is another text.
        averaged: The texts of the scorer that do best together; one text where it cannot average.
        scores: By text of the scorer, as the search has them.
        texts_scored: How many texts were scored.
    """

    best: Entry | None = None
    rows: tuple[Row, ...] = ()
    groups: Mapping[str, tuple[str, ...]]
    averaged: tuple[str, ...]
    ways: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, Score] = field(default_factory=dict)
    texts_scored: int = 0


def unchecked_choice(info: EvaluatorInfo, template: str) -> Choice:
    """Return a template for names that no labelled image has checked, beside the hand-made ones."""
    return Choice(groups={BEST: (template,), **baselines_of(info)}, averaged=(template,))


async def choose(config: SearchConfig, evaluator: Evaluator, scored: Sequence[Entry]) -> Choice:
    """Choose by the selection rule; the test split stays closed."""
    rank_by_rule = partial(ranked, sizes=evaluator.info.sizes, objective=config.objective, seed=config.seed)

    def rank_all() -> tuple[list[Entry], tuple[Row, ...], int]:
        in_order = rank_by_rule(scored)
        is_shown = config.objective != "accuracy"  # else it is known from the accuracies
        rows = tuple(
            row_of(rank, entry, value if is_shown else None)
            for rank, (value, entry) in enumerate(in_order, start=1)
        )
        return [entry for _, entry in in_order], rows, len({entry.text for entry in scored})

    # Ordering the templates of many restarts takes seconds.
    order, rows, texts_scored = await in_thread(rank_all)
    kind = config.kind
    if not order:
        raise PromptclimbError(
            f"the search was stopped before the first {kind.words.noun} was scored; resume it with a higher "
            "limit or more time, or once the endpoint answers"
        )
    scored_as = [entry.scored_as for entry in order if entry.score.whole]
    ways, asked_texts = dict[str, tuple[str, ...]](), set(chain(*evaluator.info.baselines.values()))
    if labelled_images(evaluator.info):
        # A model behind an API is asked for nothing but the baselines.
        ways = {
            name: texts
            for name, texts in ways_of(evaluator.info, kind).items()
            if not evaluator.info.paid or asked_texts.issuperset(texts)
        }
    baselines = baselines_of(evaluator.info)
    if BARE_NAME in ways:
        baselines.setdefault(BARE_NAME, ways[BARE_NAME])
    hand_made = await _hand_made(config, evaluator)
    if hand_made:
        baselines[BEST_HAND_MADE] = (rank_by_rule(hand_made)[0][1].scored_as,)
    elif len(baselines.get(HAND_MADE, ())) == 1:  # the best of its list
        baselines[BEST_HAND_MADE] = baselines.pop(HAND_MADE)
    starting = [entry for entry in scored if entry.position.initial]
    baselines[BEST_STARTING] = ((await in_thread(lambda: rank_by_rule(starting)))[0][1].scored_as,)
    shown = {text: _shown(kind, text) for text in chain(*baselines.values(), *ways.values())}
    return Choice(
        best=order[0],
        rows=rows,
        groups={BEST: (order[0].scored_as,), **baselines},
        averaged=await grow(evaluator, scored_as, start=_first(config)),
        ways=ways,
        texts=shown | {entry.scored_as: entry.text for entry in reversed(order)},
        scores={entry.scored_as: entry.score for entry in (*hand_made, *reversed(order))},
        texts_scored=texts_scored,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BestWay:
    """What is best without a search, as ``evaluate`` recommends it.

    Attributes:
        name: The way's name; see ``ways_of``.
        texts: As the scorer gets them.
        learned: Learnt from the labelled images; None if the texts are better alone, or without features.
    """

    name: str
    texts: tuple[str, ...]
    learned: LearnedClassifier | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTexts:
    """Averaged templates, as the scorer gets them, with the names of the classes in their slots.

    Attributes:
        renaming: New names by label.
    """

    templates: tuple[str, ...]
    renaming: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """The forms of the result, decided before the test split is opened.

    Attributes:
        texts: The texts alone.
        learned: Learnt from the labelled images; None without features or images.
        learned_near: The texts that this stays near.
        midway: Learning started midway between these and the best without a search.
        recommended: The form to use.
        classifier: The recommended form as class vectors; None without features.
        without_search: What they are compared with; None without labelled images.
        notes: On what the choice looked at, and if nothing could be learned.
    """

    texts: NamedTexts
    learned: LearnedClassifier | None = None
    learned_near: NamedTexts
    midway: bool = False
    recommended: Form
    classifier: Classifier | None = None
    without_search: BestWay | None
    notes: Mapping[str, str]


async def choose_forms(
    evaluator: Evaluator, choice: Choice, names: NamedTemplate | None, *, final: bool
) -> Forms:
    """Choose the texts, learn from the labelled images, and choose the form to use and the best way without.

    ``names`` are the accepted class names with their template, which are the texts then. Unless it is
    ``final``, a scorer that cannot be asked any more leaves the choice to what is known.
    """
    notes = dict[str, str]()
    named = None if names is None else NamedTexts(templates=(names.template,), renaming=names.renaming)
    images = labelled_images(evaluator.info)
    learns = isinstance(evaluator, FeatureEvaluator) and images > 0
    near_names = named if names is not None and (names.read or not learns) else None
    groups = {TEXTS: choice.averaged, **choice.groups}
    compared = () if near_names else (TEXTS, BEST)
    judging = {**{name: groups[name] for name in compared}, **choice.ways}
    evidence = await judge(evaluator, judging, choice.scores, final=final)
    way = best_way({name: evidence[name] for name in choice.ways if name in evidence}, images)
    searched = TEXTS if TEXTS in evidence else BEST
    templates, starts_alone = groups[searched], near_names is not None
    if near_names is None and way is not None and searched in evidence:
        starts_alone = halves_errors(evidence[searched], evidence[way])
        if not beats(evidence[searched], evidence[way], images):
            templates = choice.ways[way]
    learned_near = near_names or NamedTexts(templates=templates)
    texts = named or learned_near
    forms = Forms(
        texts=texts,
        learned_near=learned_near,
        recommended="template" if named or texts.templates == choice.groups[BEST] else "texts",
        without_search=None if way is None else BestWay(name=way, texts=choice.ways[way]),
        notes=notes,
    )
    if not isinstance(evaluator, FeatureEvaluator):
        return forms
    if evidence and names is None:
        notes[FORM_CHOSEN_BY] = (
            "accuracy and log-probabilities of the labelled images, compared after the search"
        )
    try:
        return await _with_features(evaluator, forms, starts_alone=starts_alone)
    except Exception as error:
        if final and isinstance(error, AskingEndedError):
            raise
        cause = reason_of(error).encode("utf-8", "backslashreplace").decode("utf-8")  # it must be storable
        notes[UNLEARNED] = f"nothing was learned from the labelled images: {cause}"
        return forms


async def _with_features(features: FeatureEvaluator, forms: Forms, *, starts_alone: bool) -> Forms:
    """Return the forms with what is learned from the labelled images, if any, and the classifier to use.

    Learning starts from its texts alone, or midway between them and the best without a search.
    """
    if labelled_images(features.info):
        forms = await _learned(features, forms, starts_alone=starts_alone)
    learned, used = forms.learned, forms.texts
    if learned is not None and learned.strength is not None:
        forms, used = replace(forms, recommended="with_images"), forms.learned_near
        head, scale, images = learned.head, learned.scale, learned.images
    else:
        head, scale, images = Head(await _vectors(features, used)), features.logit_scale, 0
    class_names = features.info.class_names
    classifier = Classifier.of(
        features,  # it knows now how the scorer was asked
        head,
        scale=scale,
        form=forms.recommended,
        images=images,
        templates=used.templates,
        names_in_texts=tuple(used.renaming.get(label, name) for label, name in enumerate(class_names)),
    )
    return replace(forms, classifier=classifier)


async def _learned(features: FeatureEvaluator, forms: Forms, *, starts_alone: bool) -> Forms:
    """Learn from the labelled images for the forms, and for the best without a search."""

    async def learn(start: ClassVectors) -> LearnedClassifier:
        return await call_evaluator(partial(features.learn, start))

    way, near = forms.without_search, forms.learned_near
    vectors, midway = await _vectors(features, near), False
    if way is None or near == NamedTexts(templates=way.texts):
        learned = by_way = await learn(vectors)
    else:
        plain, midway = await _vectors(features, NamedTexts(templates=way.texts)), not starts_alone
        by_way, learned = await learn(plain), await learn(_midway(vectors, plain) if midway else vectors)
    if learned.strength is None and (midway or near != forms.texts):
        # The texts stay as they are.
        near, midway = forms.texts, False
        learned = await learn(await _vectors(features, near))
    if way is not None and by_way.strength is not None:
        way = replace(way, learned=by_way)
    return replace(forms, learned=learned, learned_near=near, midway=midway, without_search=way)


async def _vectors(features: FeatureEvaluator, texts: NamedTexts) -> ClassVectors:
    return await call_evaluator(partial(features.classifier, texts.templates, texts.renaming))


def _midway(searched: ClassVectors, plain: ClassVectors) -> ClassVectors:
    """Return what learning starts from: between searched templates and the best without a search.

    The searched ones were chosen by the images that are learned from, and would be held to too firmly. Where
    they make less than half as many errors, that is no luck, and the others would only draw away from them.
    """
    import numpy as np  # takes longer to import than everything that help pages need

    total = searched + plain
    lengths: ClassVectors = np.linalg.norm(total, axis=1, keepdims=True)
    return total / lengths


def row_of(rank: int, entry: Entry, objective: float | None) -> Row:
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
        objective=objective,
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
    templates = list(evaluator.info.baselines.get(HAND_MADE, ()))
    if len(templates) < 2:
        return []
    try:
        verdicts = map(checked, await call_evaluator(lambda: evaluator.score(templates)))
    except AskingEndedError:
        return []  # a limit was reached before they were scored
    return [
        entry_of(template, verdict, config)
        for template, verdict in zip(templates, verdicts, strict=True)
        if isinstance(verdict, Score)
    ]


def entry_of(template: str, score: Score, config: SearchConfig, restart: int = 0) -> Entry:
    """Return a text that no method proposed, as the scorer got it, with its score."""
    return Entry(
        candidate=config.kind.parse_scored(template),
        score=score,
        value=score.value(config.objective),
        position=Position(restart),
    )
