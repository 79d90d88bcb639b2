"""What people use without a search, and what the labelled images say of it and of searched texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean, stdev

from ...evaluator.datasets.hand_made import simple_imagenet_templates
from ...evaluator.errors import AskingEndedError, TemplateRejectedError
from ...evaluator.scoring import (
    BARE_NAME,
    BASELINE_DEFAULT,
    HAND_MADE,
    OPENAI_7,
    OPENAI_80,
    Evaluator,
    EvaluatorInfo,
    FeatureEvaluator,
    ImageEvidence,
    Objective,
    Predictor,
    Score,
    SplitScores,
    hits,
)
from ...prompts.kinds import PromptKind
from ..results.result import are_shares
from .event_loop import call_evaluator

_ROUNDING = 1e-9


def pooled(score: Score, sizes: Mapping[str, int], objective: Objective = "accuracy") -> float:
    """Return the objective on the images of train and val taken together; on train if it has no val."""
    train, val = score.value(objective), score.val_value(objective)
    n_train, n_val = sizes.get("train", 0), sizes.get("val", 0)
    if not n_val or not n_train or val is None:
        return train
    # Rounded, so that equal counts are equal numbers whichever way they were divided.
    return round((train * n_train + val * n_val) / (n_train + n_val), 9)


def baselines_of(info: EvaluatorInfo) -> dict[str, tuple[str, ...]]:
    """Return the hand-made texts that are evaluated beside the result, by name."""
    return {name: tuple(templates) for name, templates in info.baselines.items() if templates}


def labelled_images(info: EvaluatorInfo) -> int:
    """Return the number of training and validation images."""
    return info.sizes.get("train", 0) + info.sizes.get("val", 0)


def ways_of(info: EvaluatorInfo, kind: PromptKind) -> dict[str, tuple[str, ...]]:
    """Return what people use without a search: the baselines, OpenAI's seven best, the bare name first."""
    ways = baselines_of(info)
    if not kind.averaged:
        return ways or {BASELINE_DEFAULT: (kind.default,)}
    seven = {OPENAI_7: simple_imagenet_templates()} if OPENAI_80 in ways else {}
    ways = {BARE_NAME: ("{}",), BASELINE_DEFAULT: (kind.default,), **seven, **ways}
    if ways.get(HAND_MADE) == ways.get(OPENAI_7):
        ways.pop(HAND_MADE, None)  # ImageNet's are the seven
    return ways


def best_way(evidence: Mapping[str, ImageEvidence | float], images: int) -> str | None:
    """Return the way that is best on the labelled images if it beats the plain text, else that.

    That is the bare class name, or the default where that is not measured. None without evidence of either.
    """
    plain = next((name for name in (BARE_NAME, BASELINE_DEFAULT) if name in evidence), None)
    if plain is None:
        return None
    ahead = [name for name in evidence if beats(evidence[name], evidence[plain], images)]

    def rank(name: str) -> tuple[float, float]:
        value = evidence[name]
        return (sum(value.right), sum(value.logprob)) if isinstance(value, ImageEvidence) else (value, 0.0)

    return max(ahead, key=rank, default=plain)


async def judge(
    evaluator: Evaluator,
    groups: Mapping[str, tuple[str, ...]],
    scores: Mapping[str, Score],
    *,
    final: bool,
) -> dict[str, ImageEvidence | float]:
    """Return what the labelled images say of groups of texts, of those of which they say something.

    Without features it is whether each image is right, and without predictions the accuracy. ``scores`` are
    known ones of single texts.
    """
    if not groups:
        return {}
    info, texts = evaluator.info, list(groups.values())
    group_scores: Sequence[Score | SplitScores | None]
    try:
        if isinstance(evaluator, FeatureEvaluator):
            classifiers = [await call_evaluator(partial(evaluator.classifier, group)) for group in texts]
            judged = await call_evaluator(partial(evaluator.evidence, classifiers))
            return dict(zip(groups, judged, strict=True))
        if isinstance(evaluator, Predictor) and labelled_images(info):
            decided = zip(groups, await _decided(evaluator, texts, info), strict=True)
            return {name: each for name, each in decided if each is not None}
        group_scores = await call_evaluator(lambda: evaluator.examine(texts, test=False))
    except AskingEndedError:
        if final:
            raise
        group_scores = [scores.get(group[0]) if len(group) == 1 else None for group in texts]
    except TemplateRejectedError as error:
        # A published list may have a text that is too long for the model.
        readable = {name: group for name, group in groups.items() if error.template not in group}
        if not 0 < len(readable) < len(groups):
            raise
        return await judge(evaluator, readable, scores, final=final)
    return {
        name: pooled(Score(train=each.train, val=each.val), info.sizes)
        for name, each in zip(groups, group_scores, strict=True)
        if each is not None and each.train is not None
    }


async def _decided(
    predictor: Predictor, groups: Sequence[tuple[str, ...]], info: EvaluatorInfo
) -> list[ImageEvidence | None]:
    """Return whether each labelled image is right with groups of texts; None if they cannot be averaged."""
    right: list[list[float] | None] = [[] for _ in groups]
    for split in ("train", "val"):
        if info.sizes.get(split, 0):
            answers = await call_evaluator(partial(predictor.predict, groups, split=split))
            right = [
                None if shares is None or labels is None else [*shares, *hits(labels, answers.labels)]
                for shares, labels in zip(right, answers.predicted, strict=True)
            ]
    return [None if shares is None else ImageEvidence(tuple(shares), ()) for shares in right]


def beats(first: ImageEvidence | float, second: ImageEvidence | float, images: int) -> bool:
    """Return whether the labelled images say that a classifier is better than another one.

    By accuracy and log-probability, each by more than one standard error; by accuracy alone by two.
    Accuracies without decisions count as those of different images; other numbers are compared as they are.
    """
    if not isinstance(first, ImageEvidence) or not isinstance(second, ImageEvidence):
        assert isinstance(first, float), "both are judged in one way"
        assert isinstance(second, float), "both are judged in one way"
        is_share = images > 0 and are_shares((first, second))
        variance = (first * (1 - first) + second * (1 - second)) / images if is_share else 0.0
        return first - second > 2 * math.sqrt(variance) + _ROUNDING
    gains = [ours - theirs for ours, theirs in zip(first.right, second.right, strict=True)]
    errors = 1 if first.logprob else 2
    if sum(gains) <= errors * math.sqrt(sum(gain * gain for gain in gains)) + _ROUNDING:
        return False
    if not first.logprob:
        return True
    nats = [ours - theirs for ours, theirs in zip(first.logprob, second.logprob, strict=True)]
    return len(nats) > 1 and fmean(nats) > stdev(nats) / math.sqrt(len(nats)) + _ROUNDING


def halves_errors(first: ImageEvidence | float, second: ImageEvidence | float) -> bool:
    """Return whether a classifier makes less than half of another one's errors on the labelled images."""
    if not isinstance(first, ImageEvidence) or not isinstance(second, ImageEvidence):
        return False
    errors, others = (len(each.right) - sum(each.right) for each in (first, second))
    return 2 * errors < others - _ROUNDING
