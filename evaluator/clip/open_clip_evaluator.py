"""The evaluator proper: a model, a few-shot data set, and templates to score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import EvaluatorError, TemplateRejectedError
from ..scoring import GREY_BOX, EvaluatorInfo, Objective, Score, SplitScores, Verdict
from .texts.replicas import Encoder
from .texts.text_encoder import TextStatistics
from .zero_shot import (
    Confusion,
    Labelled,
    agreement,
    class_mean,
    classifier,
    close_calls,
    confusions,
    correct,
    decide,
    grey_box,
    per_class,
)

# Templates whose vectors are held at once, counted in numbers of float32 (64 MiB).
_HELD = 16 * 2**20
# Cosines of two ways to compute the same thing in float32 differ by less than this.
ROUNDING = 2e-6


@dataclass(frozen=True, slots=True)
class Inspection:
    """One ensemble on one split, looked at closely.

    Attributes:
        accuracy: Share of images told right.
        class_mean: Mean of the classes' accuracies.
        per_class: Accuracy by class name; None where there are no images.
        confusions: The pairs of classes most often confused.
        agreement: Share of images decided as the plain template "a photo of a {}" decides them.
        close_calls: Images whose two best classes lie so close that rounding might turn the decision.
    """

    accuracy: float
    class_mean: float
    per_class: Mapping[str, float | None]
    confusions: tuple[Confusion, ...]
    agreement: float
    close_calls: int


class OpenClipEvaluator:
    """Scores templates by the accuracy of the zero-shot classifier that they make; see ``Evaluator``.

    Args:
        info: What is scored on.
        encoder: Templates to class vectors.
        class_names: By label.
        train: Training images.
        val: Validation images; empty where there are none.
        open_test: Gives the test images; called once, at the first need.
        objective: Decides whether scores carry grey-box values.
        logit_scale: The model's factor between cosine and logit.
    """

    def __init__(
        self,
        *,
        info: EvaluatorInfo,
        encoder: Encoder,
        class_names: Sequence[str],
        train: Labelled,
        val: Labelled,
        open_test: Callable[[], Labelled],
        objective: Objective = "accuracy",
        logit_scale: float = 100.0,
    ) -> None:
        self._info = info
        self._encoder = encoder
        self._names = tuple(class_names)
        self._splits = {"train": train, "val": val}
        self._open_test = open_test
        self._grey = objective in GREY_BOX
        self._logit_scale = logit_scale

    @property
    def info(self) -> EvaluatorInfo:
        """What this evaluator scores on."""
        return self._info

    def statistics(self) -> TextStatistics:
        """What the text encoder has done so far."""
        return self._encoder.statistics()

    def score(self, templates: Sequence[str]) -> list[Verdict]:
        """Scores templates on train and val; see ``Scorer``."""
        answers: list[Verdict | None] = [self._encoder.check(template) for template in templates]
        wanted = [index for index, answer in enumerate(answers) if answer is None]
        held = self._at_once()
        for start in range(0, len(wanted), held):
            part = wanted[start : start + held]
            for index, vectors in zip(part, self._encoder.vectors([templates[i] for i in part]), strict=True):
                answers[index] = self._score(classifier(vectors[None]))
        return [answer for answer in answers if answer is not None]

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores]:
        """Scores ensembles on every split, test included; see ``Evaluator``.

        Raises:
            TemplateRejectedError: A template cannot be read by this model.
            EvaluatorError: An ensemble is empty.
        """
        weights = [self._classifier(ensemble) for ensemble in ensembles]
        train = self._split("train")
        return [
            SplitScores(
                train=correct(decide(train, one), train) / len(train),
                val=_accuracy(one, self._split("val")),
                test=_accuracy(one, self._split("test")) if test else None,
            )
            for one in weights
        ]

    def inspect(self, ensemble: Sequence[str], *, split: str) -> Inspection:
        """One ensemble on ``train``, ``val`` or ``test`` (which opens it), with its classes and confusions.

        Raises:
            TemplateRejectedError: A template cannot be read by this model.
            EvaluatorError: The ensemble or the split is empty.
        """
        labelled = self._split(split)
        if not len(labelled):
            raise EvaluatorError(f"the split {split} has no images")
        weights = self._classifier(ensemble)
        decisions = decide(labelled, weights)
        plain = decide(labelled, self._classifier(["a photo of a {}"]))
        return Inspection(
            accuracy=correct(decisions, labelled) / len(labelled),
            class_mean=class_mean(decisions, labelled),
            per_class=dict(zip(self._names, per_class(decisions, labelled), strict=True)),
            confusions=tuple(confusions(decisions, labelled)),
            agreement=agreement(decisions, plain),
            close_calls=close_calls(labelled, weights, ROUNDING),
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names by label."""
        return self._names

    def classifier(self, ensemble: Sequence[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        """What an ensemble decides by: float32 [classes, dimensions], rows of length 1.

        Raises:
            TemplateRejectedError: A template cannot be read by this model.
            EvaluatorError: The ensemble is empty.
        """
        return self._classifier(ensemble).float().cpu().numpy()

    def decisions(self, template: str, *, split: str) -> Tensor:
        """The class that each image of a split is given: [n]."""
        return decide(self._split(split), self._classifier([template]))

    def _split(self, name: str) -> Labelled:
        if name == "test" and name not in self._splits:
            self._splits[name] = self._open_test()
        return self._splits[name]

    def _classifier(self, ensemble: Sequence[str]) -> Tensor:
        if not ensemble:
            raise EvaluatorError("an ensemble needs at least one template")
        for template in ensemble:
            if (rejection := self._encoder.check(template)) is not None:
                raise TemplateRejectedError(template, rejection.reason, rejection.message)
        held = self._at_once()
        parts = [self._encoder.vectors(ensemble[i : i + held]) for i in range(0, len(ensemble), held)]
        with torch.inference_mode():
            return classifier(torch.cat(parts))

    def _at_once(self) -> int:
        width = self._splits["train"].features.shape[1]
        return max(1, _HELD // (len(self._names) * width))

    def _score(self, weights: Tensor) -> Score:
        train, val = self._splits["train"], self._splits["val"]
        with torch.inference_mode():
            decided = decide(train, weights)
            hits = correct(decided, train)
            val_hits = correct(decide(val, weights), val) if len(val) else None
            grey = grey_box(train, weights, self._logit_scale) if self._grey else None
            mean = class_mean(decided, train)
        return Score(
            train=hits / len(train),
            val=None if val_hits is None else val_hits / len(val),
            correct=(hits, val_hits),
            class_mean=mean,
            logprob=None if grey is None else grey.logprob,
            margin=None if grey is None else grey.margin,
        )


def _accuracy(weights: Tensor, split: Labelled) -> float | None:
    if not len(split):
        return None
    with torch.inference_mode():
        return correct(decide(split, weights), split) / len(split)
