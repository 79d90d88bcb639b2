"""The zero-shot classifier itself: one row of weights a class, as safetensors."""

from __future__ import annotations

import json
import os
from pathlib import Path

from agent.config import SearchConfig
from agent.opening import spec_of
from agent.result import SearchResult
from evaluator.build import open_evaluator

TENSOR = "classifier"


def write_classifier(target: Path, result: SearchResult, config: SearchConfig) -> None:
    """Writes ``classifier``, float32 [classes, dimensions], every row of length 1.

    An image belongs to the class whose row has the largest product with its normalised embedding. The metadata
    say of which classes, templates, model and data: ``classes`` and ``templates`` are JSON lists.

    Args:
        target: The file to write, whole or not at all.
        result: What the run found; the templates of its ensemble are averaged.
        config: How the run was made: it is opened anew.

    Raises:
        InputError: Data or model cannot be opened.
        OSError: The file cannot be written.
    """
    from safetensors.numpy import save

    evaluator = open_evaluator(spec_of(config))
    rows = evaluator.classifier(result.ensemble.templates)
    metadata = {
        "classes": json.dumps(list(evaluator.classes), ensure_ascii=False),
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
