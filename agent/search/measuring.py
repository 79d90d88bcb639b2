"""Measure groups of templates in a thread, by majority vote if the evaluator predicts but cannot average.

If labels are level in a vote, the first one wins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from ...evaluator.errors import PromptclimbError
from ...evaluator.scoring import Evaluator, Predictions, Predictor, SplitScores, hits
from ...evaluator.threads import in_thread
from ..errors import EvaluationFailedError

T = TypeVar("T")


async def measured(work: Callable[[], T]) -> T:
    """Run the evaluator's work in a thread; any failure is a PromptclimbError."""
    try:
        return await in_thread(work)
    except PromptclimbError:
        raise
    except Exception as error:
        raise EvaluationFailedError(f"the evaluator failed at the end of the search: {error!r}") from error


def split_scores(
    evaluator: Evaluator, ensembles: Sequence[Sequence[str]], *, test: bool
) -> list[SplitScores | None]:
    """Score ensembles as ``Evaluator.examine`` does, by vote if it predicts but cannot average."""
    found = list(evaluator.examine(ensembles, test=test))
    if not isinstance(evaluator, Predictor):
        return found
    left = [
        place
        for place, one in enumerate(found)
        if len(ensembles[place]) > 1 and (one is None or one.train is None)
    ]
    asked = [ensembles[place] for place in left]
    shares = {
        split: shares_right(predict(evaluator, asked, split))
        for split in ("train", "val", "test")
        if left and evaluator.info.sizes.get(split, 0) and (test or split != "test")
    }
    for number, place in enumerate(left):
        train, val, of_test = (
            shares[split][number] if split in shares else None for split in ("train", "val", "test")
        )
        found[place] = None if train is None else SplitScores(train, val, of_test)
    return found


def predict(predictor: Predictor, ensembles: Sequence[Sequence[str]], split: str) -> Predictions:
    """Return the label that each ensemble gives each image, by vote if it cannot be averaged."""
    predictions = predictor.predict(ensembles, split=split)
    apart = [
        ensemble
        for ensemble, labels in zip(ensembles, predictions.predicted, strict=True)
        if labels is None and len(ensemble) > 1
    ]
    single = list(dict.fromkeys(template for ensemble in apart for template in ensemble))
    alone = predictor.predict([[one] for one in single], split=split).predicted if single else ()
    by_template = dict(zip(single, alone, strict=True))
    found: list[tuple[int, ...] | None] = []
    for ensemble, labels in zip(ensembles, predictions.predicted, strict=True):
        voted = _voted([by_template.get(one) for one in ensemble]) if labels is None else labels
        found.append(None if voted is None else tuple(voted))
    return Predictions(predictions.labels, tuple(found))


class Ballots:
    """The labels that candidates give the few-shot images, for counting votes among them."""

    def __init__(self, predictor: Predictor, candidates: Sequence[str], sizes: Mapping[str, int]) -> None:
        self._predictions = {
            split: predictor.predict([[one] for one in candidates], split=split)
            for split in ("train", "val")
            if sizes.get(split, 0)
        }
        self._place = {one: place for place, one in enumerate(candidates)}

    def count(self, ensembles: Sequence[Sequence[str]]) -> list[SplitScores | None]:
        """Score ensembles of candidates by vote; None for one with a candidate without predictions."""
        found: list[SplitScores | None] = []
        for ensemble in ensembles:
            shares = {split: self._share(one, ensemble) for split, one in self._predictions.items()}
            train = shares.get("train")
            found.append(None if train is None else SplitScores(train, shares.get("val"), None))
        return found

    def _share(self, predictions: Predictions, ensemble: Sequence[str]) -> float | None:
        voted = _voted([predictions.predicted[self._place[one]] for one in ensemble])
        return None if not voted else share_right(voted, predictions.labels)


def shares_right(predictions: Predictions) -> list[float | None]:
    """Return what share of the images each ensemble classifies correctly; None if it cannot be read."""
    return [
        None if not labels else share_right(labels, predictions.labels) for labels in predictions.predicted
    ]


def share_right(predicted: Sequence[int], labels: Sequence[int]) -> float:
    """Return the share of images whose predicted label is the true one."""
    return sum(hits(predicted, labels)) / len(labels)


def _voted(predicted: Sequence[Sequence[int] | None]) -> list[int] | None:
    there = [one for one in predicted if one is not None]
    if len(there) < len(predicted):
        return None
    # Counter lists level labels in order of first appearance.
    return [Counter(votes).most_common(1)[0][0] for votes in zip(*there, strict=True)]
