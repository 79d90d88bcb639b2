"""A black box without a model that says its predictions too, and can be named: ``MODULE:FACTORY``."""

from __future__ import annotations

import random
from collections.abc import Sequence

from promptclimb.evaluator.errors import TemplateRejectedError
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.scoring import Predictions, Rejection
from promptclimb.evaluator.spec import EvaluatorSpec

FACTORY = "tests.fakes.predicting_box:opened"


class PredictingBox(FakeEvaluator):
    """Takes as many images for what they are as its scores say."""

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        """Classify the images of a split."""
        size, classes = self.info.sizes[split], self.info.classes
        labels = [place * classes // size for place in range(size)]
        predicted = []
        for ensemble in ensembles:
            answer = self.score(ensemble)[0]
            if isinstance(answer, Rejection):
                raise TemplateRejectedError(ensemble[0], answer.reason, answer.message)
            right = set(random.Random(split).sample(range(size), self._correct(ensemble, split)))
            taken = [label if place in right else (label + 1) % classes for place, label in enumerate(labels)]
            predicted.append(tuple(taken))
        return Predictions(tuple(labels), tuple(predicted))


def opened(spec: EvaluatorSpec) -> PredictingBox:
    """Open it."""
    return PredictingBox(seed=spec.seed)
