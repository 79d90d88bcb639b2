"""Measure which prompts and class names work best for a CLIP on labelled images, and find better ones.

As a library::

    from promptclimb import SearchConfig, search

Names are loaded when they are first asked for, so that importing this package costs next to nothing.

In a checkout the rooms ``agent/``, ``evaluator/`` and ``prompts/`` lie beside this folder, installed they lie
in it; either way they are ``promptclimb.agent`` and so on, and no name of theirs shadows a user's own.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

_HERE = Path(__file__).resolve().parent
if not (_HERE / "agent").is_dir():
    __path__.append(str(_HERE.parent))

if TYPE_CHECKING:
    from .agent.api import (
        datasets,
        evaluate,
        load,
        load_data,
        predict,
        report,
        resume,
        resume_sync,
        search,
        search_sync,
    )
    from .agent.config.schema import SearchConfig
    from .agent.results.exports import export
    from .agent.results.result import SearchResult
    from .agent.search.measuring import Evaluation
    from .evaluator.classifier import Classifier
    from .evaluator.datasets.pictures import open_rgb
    from .evaluator.errors import PromptclimbError
    from .evaluator.prediction import PredictedImage
    from .evaluator.spec import EvaluatorSpec

_HOME = {
    "Classifier": ".evaluator.classifier",
    "Evaluation": ".agent.search.measuring",
    "EvaluatorSpec": ".evaluator.spec",
    "PredictedImage": ".evaluator.prediction",
    "PromptclimbError": ".evaluator.errors",
    "SearchConfig": ".agent.config.schema",
    "SearchResult": ".agent.results.result",
    "datasets": ".agent.api",
    "evaluate": ".agent.api",
    "export": ".agent.results.exports",
    "load": ".agent.api",
    "load_data": ".agent.api",
    "open_rgb": ".evaluator.datasets.pictures",
    "predict": ".agent.api",
    "report": ".agent.api",
    "resume": ".agent.api",
    "resume_sync": ".agent.api",
    "search": ".agent.api",
    "search_sync": ".agent.api",
}

__all__ = [
    "Classifier",
    "Evaluation",
    "EvaluatorSpec",
    "PredictedImage",
    "PromptclimbError",
    "SearchConfig",
    "SearchResult",
    "datasets",
    "evaluate",
    "export",
    "load",
    "load_data",
    "open_rgb",
    "predict",
    "report",
    "resume",
    "resume_sync",
    "search",
    "search_sync",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
