"""Measure groups of templates in a thread, by majority vote if the evaluator predicts but cannot average.

If labels are level in a vote, the first one wins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from typing import TypeVar

from ...evaluator.errors import PromptclimbError
from ...evaluator.scoring import Evaluator, Predictions, Predictor, SplitScores, hits
from ...evaluator.threads import in_thread
from ..errors import EvaluationFailedError

T = TypeVar("T")


async def call_evaluator(work: Callable[[], T]) -> T:
    """Run the evaluator's work in a thread; any failure is a PromptclimbError."""
    try:
        return await in_thread(work)
    except PromptclimbError:
        raise
    except Exception as error:
        raise EvaluationFailedError(f"the evaluator failed at the end of the search: {error!r}") from error


def group_scores(
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
        split: shares_right(predicted_labels(evaluator, asked, split))
        for split in ("train", "val", "test")
        if left and evaluator.info.sizes.get(split, 0) and (test or split != "test")
    }
    for number, place in enumerate(left):
        train, val, of_test = (
            shares[split][number] if split in shares else None for split in ("train", "val", "test")
        )
        found[place] = None if train is None else SplitScores(train, val, of_test)
    return found


def predicted_labels(predictor: Predictor, ensembles: Sequence[Sequence[str]], split: str) -> Predictions:
    """Return the label that each ensemble gives each image, by vote if it cannot be averaged."""
    found = predictor.predict(ensembles, split=split)
    votes = [
        labels is None and len(ensemble) > 1
        for ensemble, labels in zip(ensembles, found.predicted, strict=True)
    ]
    if not any(votes):
        return found
    ballots = Ballots(predictor, [one for some in compress(ensembles, votes) for one in some], [split])
    predicted = (
        ballots.vote(ensemble, split) if vote else labels
        for ensemble, labels, vote in zip(ensembles, found.predicted, votes, strict=True)
    )
    return Predictions(found.labels, tuple(predicted))


class Ballots:
    """The labels that candidates give the images of some splits, for majority votes among them."""

    def __init__(self, predictor: Predictor, candidates: Iterable[str], splits: Iterable[str]) -> None:
        self._place = {one: place for place, one in enumerate(dict.fromkeys(candidates))}
        single = [[one] for one in self._place]
        self._predictions = {split: predictor.predict(single, split=split) for split in splits}

    def vote(self, ensemble: Sequence[str], split: str) -> tuple[int, ...] | None:
        """Return the label that an ensemble gives each image; None if a candidate has no predictions."""
        predicted = self._predictions[split].predicted
        labels = [of_one for one in ensemble if (of_one := predicted[self._place[one]]) is not None]
        if len(labels) < len(ensemble):
            return None
        # Counter lists level labels in order of first appearance.
        return tuple(Counter(votes).most_common(1)[0][0] for votes in zip(*labels, strict=True))

    def scores(self, ensembles: Sequence[Sequence[str]]) -> list[SplitScores | None]:
        """Score ensembles of candidates by vote; None for one with a candidate without predictions."""
        found: list[SplitScores | None] = []
        for ensemble in ensembles:
            shares = {
                split: share_right(voted, one.labels)
                for split, one in self._predictions.items()
                if (voted := self.vote(ensemble, split))
            }
            train = shares.get("train")
            found.append(None if train is None else SplitScores(train, shares.get("val"), None))
        return found


def shares_right(predictions: Predictions) -> list[float | None]:
    """Return what share of the images each ensemble classifies correctly; None if it cannot be read."""
    return [
        None if not labels else share_right(labels, predictions.labels) for labels in predictions.predicted
    ]


def share_right(predicted: Sequence[int], labels: Sequence[int]) -> float:
    """Return the share of images whose predicted label is the true one."""
    return sum(hits(predicted, labels)) / len(labels)
