"""What an evaluator may tell besides scores: which class it takes an image for. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Predictions:
    """What ensembles take the images of one split for.

    Attributes:
        labels: The true class of each image, in the order of the split.
        predicted: For each ensemble the class that it takes each image for, in the same order; None for an
            ensemble that this black box cannot ask, such as several templates where nothing can be averaged.
    """

    labels: tuple[int, ...]
    predicted: tuple[tuple[int, ...] | None, ...]


@runtime_checkable
class Predictor(Protocol):
    """What an evaluator may do besides: tell its predictions. That is still a black box: no logits."""

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        """Classify the images of ``train``, ``val`` or ``test``, which opens it.

        Args:
            ensembles: As in ``Evaluator.examine``.
            split: Which images.

        Raises:
            TemplateRejectedError: A template cannot be scored by this model.
            EvaluatorError: An ensemble is empty.
        """
        ...
