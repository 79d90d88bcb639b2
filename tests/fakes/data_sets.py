"""Data sets read as a test would say it: the specification's fields by name."""

from __future__ import annotations

from typing import Any

from promptclimb.evaluator.datasets.loading import load_data
from promptclimb.evaluator.datasets.values import FewShotData
from promptclimb.evaluator.spec import EvaluatorSpec


def load(data: str, **more: Any) -> FewShotData:
    """The few-shot problem of a data set."""
    return load_data(EvaluatorSpec(data=data, **more))
