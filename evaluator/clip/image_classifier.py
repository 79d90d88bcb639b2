"""Classify images of any number with the zero-shot classifier of an ensemble."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch

from ..errors import DataError, UsageError
from ..spec import EvaluatorSpec, Report
from .in_process import build_encoder, image_encoder
from .models import load_model, parse_devices
from .zero_shot import SCALE, classifier


class ImageClassifier:
    """A model whose classes are the averaged text embeddings of an ensemble.

    Raises:
        ModelError: The model, its checkpoint or the device cannot be used.
        UsageError: A template cannot be read by this model.
    """

    def __init__(
        self, spec: EvaluatorSpec, class_names: Sequence[str], templates: Sequence[str], report: Report
    ) -> None:
        self._loaded = load_model(spec.model, spec.pretrained, parse_devices(spec.device)[0], report=report)
        encoder = build_encoder(spec, [self._loaded], class_names, report)
        for template in templates:
            if (rejection := encoder.check(template)) is not None:
                raise UsageError(f"{template!r} cannot be used with this model: {rejection.message}")
        with torch.inference_mode():
            self._classes = classifier(encoder.vectors(list(templates))).float()
        self._images = image_encoder(spec, self._loaded, report, lambda *_given: None)

    @property
    def weights(self) -> str:
        return self._loaded.weights

    def decide(
        self, paths: Iterable[Path], top: int
    ) -> Iterator[tuple[Path, list[int], list[float], DataError | None]]:
        """Yield each image's ``top`` labels, most likely first, with probabilities, or what is wrong with it.

        Probabilities are the softmax of the model's logits over all classes.
        """
        for images, features in self._images.batches(paths):
            rows = iter(zip(*self._best(features, top), strict=True)) if len(features) else iter(())
            for path, error in images:
                labels, probabilities = ([], []) if error is not None else next(rows)
                yield path, labels, probabilities, error

    def _best(self, features: torch.Tensor, top: int) -> tuple[list[list[int]], list[list[float]]]:
        with torch.inference_mode():
            logits = (SCALE * features.to(self._classes.device)) @ self._classes.T
            # Stable, so that equal logits give the class that the evaluator decides for.
            labels = torch.sort(logits, dim=1, descending=True, stable=True).indices[:, :top]
            scaled = logits * (self._loaded.logit_scale / SCALE)
            return labels.tolist(), scaled.softmax(dim=1).gather(1, labels).tolist()
