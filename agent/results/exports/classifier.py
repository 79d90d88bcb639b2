"""The zero-shot classifier itself: one row of weights a class, as safetensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ....evaluator.errors import UsageError
from ....evaluator.open import open_evaluator
from ...config.schema import SearchConfig

if TYPE_CHECKING:
    import numpy as np

TENSOR = "classifier"


@runtime_checkable
class HasClassifier(Protocol):
    """An evaluator whose decisions are products with one vector a class."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names by label."""

    def classifier(self, ensemble: Sequence[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        """Return the vectors of an ensemble: float32 [classes, dimensions], rows of length 1."""


def classifier_file(config: SearchConfig, templates: Sequence[str]) -> bytes:
    """Return a safetensors file with ``classifier``, float32 [classes, dimensions], every row of length 1.

    An image belongs to the class whose row has the largest product with its normalised embedding. The
    metadata say of which classes, templates, model and data: ``classes`` and ``templates`` are JSON lists.

    Args:
        config: How the run was made: its model and data are opened anew.
        templates: Those whose text embeddings are averaged.

    Raises:
        UsageError: Data or model cannot be opened, or the evaluator has no such vectors.
        OSError: The file cannot be written.
    """
    from safetensors.numpy import save

    evaluator = open_evaluator(config)
    if not isinstance(evaluator, HasClassifier):
        raise UsageError("this evaluator decides without class vectors, so there is no classifier to export")
    metadata = {
        "classes": json.dumps(list(evaluator.class_names), ensure_ascii=False),
        "templates": json.dumps(list(templates), ensure_ascii=False),
        "model": evaluator.info.model,
        "pretrained": str(evaluator.info.pretrained),
        "fingerprint": evaluator.info.fingerprint,
        "dataset": evaluator.info.dataset,
    }
    return save({TENSOR: evaluator.classifier(templates)}, metadata=metadata)
