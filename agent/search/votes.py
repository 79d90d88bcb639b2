"""Ensembles of a black box that tells labels and cannot average: by vote, the earliest deciding a draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ...evaluator.scoring import Evaluator, Predictions, Predictor, SplitScores


def examine(
    evaluator: Evaluator, ensembles: Sequence[Sequence[str]], *, test: bool
) -> list[SplitScores | None]:
    """Score ensembles as the evaluator does, and by vote those that it cannot average but predicts.

    Args:
        evaluator: What scores.
        ensembles: See ``Evaluator.examine``.
        test: Whether to open the test split.
    """
    found = list(evaluator.examine(ensembles, test=test))
    if not isinstance(evaluator, Predictor):
        return found
    left = [
        place
        for place, one in enumerate(found)
        if len(ensembles[place]) > 1 and (one is None or one.train is None)
    ]
    shares: dict[str, list[float | None]] = {}
    for split in ("train", "val", "test") if left else ():
        if evaluator.info.sizes.get(split, 0) and (test or split != "test"):
            bits = hits(evaluator, [ensembles[place] for place in left], split)
            shares[split] = [None if not one else sum(one) / len(one) for one in bits]
    for number, place in enumerate(left):
        train, val, of_test = (
            shares[split][number] if split in shares else None for split in ("train", "val", "test")
        )
        found[place] = None if train is None else SplitScores(train, val, of_test)
    return found


class Ballots:
    """What candidates take the few-shot images for, so that any vote among them can be counted.

    Args:
        predictor: What tells it; each candidate is asked about once a split.
        candidates: Templates.
    """

    def __init__(self, predictor: Predictor, candidates: Sequence[str], sizes: Mapping[str, int]) -> None:
        self._told = {
            split: predictor.predict([[one] for one in candidates], split=split)
            for split in ("train", "val")
            if sizes.get(split, 0)
        }
        self._place = {one: place for place, one in enumerate(candidates)}

    def count(self, ensembles: Sequence[Sequence[str]]) -> list[SplitScores | None]:
        """Score ensembles of candidates by vote; None where a candidate has told nothing."""
        found: list[SplitScores | None] = []
        for ensemble in ensembles:
            shares = {split: self._share(told, ensemble) for split, told in self._told.items()}
            train = shares.get("train")
            found.append(None if train is None else SplitScores(train, shares.get("val"), None))
        return found

    def _share(self, told: Predictions, ensemble: Sequence[str]) -> float | None:
        decided = _voted([told.predicted[self._place[one]] for one in ensemble])
        return None if not decided else _share_right(decided, told.labels)


def hits(predictor: Predictor, ensembles: Sequence[Sequence[str]], split: str) -> list[list[bool] | None]:
    """Return whether each ensemble classifies each image correctly; None for what cannot be told."""
    told = decided(predictor, ensembles, split)
    return [correct(labels, told.labels) for labels in told.predicted]


def correct(predicted: Sequence[int] | None, labels: Sequence[int]) -> list[bool] | None:
    """Return whether each image is correctly classified; None where nothing is predicted."""
    if predicted is None:
        return None
    return [one == true for one, true in zip(predicted, labels, strict=True)]


def decided(predictor: Predictor, ensembles: Sequence[Sequence[str]], split: str) -> Predictions:
    """Return what each ensemble takes each image for, by vote where it cannot be averaged."""
    told = predictor.predict(ensembles, split=split)
    apart = [
        ensemble
        for ensemble, labels in zip(ensembles, told.predicted, strict=True)
        if labels is None and len(ensemble) > 1
    ]
    single = list(dict.fromkeys(template for ensemble in apart for template in ensemble))
    alone = predictor.predict([[one] for one in single], split=split).predicted if single else ()
    by_template = dict(zip(single, alone, strict=True))
    found: list[tuple[int, ...] | None] = []
    for ensemble, labels in zip(ensembles, told.predicted, strict=True):
        voted = _voted([by_template.get(one) for one in ensemble]) if labels is None else labels
        found.append(None if voted is None else tuple(voted))
    return Predictions(told.labels, tuple(found))


def _share_right(decided: Sequence[int], labels: Sequence[int]) -> float:
    return sum(one == true for one, true in zip(decided, labels, strict=True)) / len(labels)


def _voted(predicted: Sequence[Sequence[int] | None]) -> list[int] | None:
    """Return the label that most templates give each image; the first of those that are level."""
    there = [one for one in predicted if one is not None]
    if len(there) < len(predicted):
        return None
    # Counter lists what is level in the order in which it came.
    return [Counter(votes).most_common(1)[0][0] for votes in zip(*there, strict=True)]
