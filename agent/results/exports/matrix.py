"""The zero-shot classifier itself: one row of weights a class, as safetensors."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from ....evaluator.open import open_evaluator
from ...config.schema import SearchConfig
from ...errors import UsageError
from ..result import SearchResult

TENSOR = "classifier"


@runtime_checkable
class HasClassifier(Protocol):
    """An evaluator whose decisions are products with one vector a class."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names by label."""

    def classifier(self, ensemble: Sequence[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        """The vectors of an ensemble: float32 [classes, dimensions], rows of length 1."""


def write_classifier(target: Path, result: SearchResult, config: SearchConfig) -> None:
    """Writes ``classifier``, float32 [classes, dimensions], every row of length 1.

    An image belongs to the class whose row has the largest product with its normalised embedding. The
    metadata say of which classes, templates, model and data: ``classes`` and ``templates`` are JSON lists.

    Args:
        target: The file to write, whole or not at all.
        result: What the run found; the templates of its ensemble are averaged.
        config: How the run was made: it is opened anew.

    Raises:
        UsageError: Data or model cannot be opened, or the evaluator has no such vectors.
        OSError: The file cannot be written.
    """
    from safetensors.numpy import save

    evaluator = open_evaluator(config)
    if not isinstance(evaluator, HasClassifier):
        raise UsageError("this evaluator decides without class vectors, so there is no classifier to export")
    rows = evaluator.classifier(result.ensemble.templates)
    metadata = {
        "classes": json.dumps(list(evaluator.class_names), ensure_ascii=False),
        "templates": json.dumps(list(result.ensemble.templates), ensure_ascii=False),
        "model": evaluator.info.model,
        "pretrained": str(evaluator.info.pretrained),
        "fingerprint": evaluator.info.fingerprint,
        "dataset": evaluator.info.dataset,
    }
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.write_bytes(save({TENSOR: rows}, metadata=metadata))
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
