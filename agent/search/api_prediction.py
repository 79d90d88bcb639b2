"""Classify folders of images with a model behind an API, as a run's best candidate does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ...evaluator.errors import DataError, UsageError
from ...evaluator.prediction import Decided, ImagePredictor
from ...evaluator.remote.evaluator import batched
from ...evaluator.remote.opening import open_unlabelled, unlabelled
from ...evaluator.scoring import UNREADABLE
from ...evaluator.spec import Report
from ..config.schema import ScoringConfig
from ..llm.scorer_endpoint import scorer_in_thread
from ..results.result import ScorerUsage

BATCH = 64
"""Images whose requests go out together; more would delay the first rows."""


class ApiFolderPredictor(ImagePredictor):
    """Classifies the images of folders with a model behind an API; labels on disk are not requested again.

    Args:
        config: The scorer, its limits and its price; data are not read.
        class_names: By label.
        templates: Templates that the scorer can average, or one template or instruction.
        labels: The file that keeps what the scorer answers.
        report: Called with lines about the endpoint, and folders that cannot be read.
        texts: Names as the scorer gets them, by label.

    Attributes:
        usage: What the scorer was asked for the last folder.
    """

    spec: ScoringConfig

    def __init__(
        self,
        config: ScoringConfig,
        class_names: Sequence[str],
        templates: Sequence[str],
        labels: Path,
        report: Report,
        *,
        texts: Sequence[str],
    ) -> None:
        super().__init__(report)
        if len(class_names) < 2:
            raise UsageError("at least two class names are needed to predict classes")
        self.spec, self.class_names, self.templates = config, tuple(class_names), tuple(templates)
        self.labels = labels
        self.usage = ScorerUsage()
        self._texts = tuple(texts)

    def decide(self, images: Iterable[Path], top: int) -> Iterator[Decided]:
        """Yield the decision on each image, in order; its endpoint is open meanwhile.

        Raises:
            UsageError: More than one class is asked for, or the scorer cannot average the templates.
        """
        if top != 1:
            raise UsageError("a model behind an API gives one class an image; leave --top out")
        with scorer_in_thread(self.spec, os.environ, report=self._report) as ask:
            if ask is None:
                raise UsageError("the scorer is not a model behind an API")
            evaluator = open_unlabelled(self.spec, self._texts, ask, self.labels)
            if not evaluator.measurable(self.templates):
                raise UsageError("this scorer classifies with one candidate at a time; leave --ensemble out")
            try:
                for paths in batched(images, BATCH):
                    complaints = evaluator.problem.pictures.complaints(paths)
                    readable = [path for path, bad in zip(paths, complaints, strict=True) if not bad]
                    (found,) = evaluator.decide([self.templates], [unlabelled(evaluator, readable)])
                    labels = dict(zip(readable, found[0].predicted.tolist(), strict=True))
                    for path, bad in zip(paths, complaints, strict=True):
                        yield _decided(path, bad, labels.get(path, UNREADABLE))
            finally:
                priced = self.spec.scorer_price is not None
                self.usage = ScorerUsage.of(ask.budget.spent, priced=priced)


def _decided(path: Path, bad: str, label: int) -> Decided:
    if bad:
        return path, (), (), DataError(bad)
    if label == UNREADABLE:
        return path, (), (), DataError(f"{path.name}: the answer names no class")
    return path, (label,), (), None
