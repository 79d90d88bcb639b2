"""How many initial templates a climb has, where nobody says it."""

from __future__ import annotations

from pathlib import Path

from ...evaluator.scoring import EvaluatorInfo
from .fields import FEW_INITIAL, MANY_INITIAL, MOST_FROM_FILE
from .schema import SearchConfig

_TEXTS = 25_000
"""Texts that the initial templates of a climb may make together: a template makes one for each class."""


def most_initial(config: SearchConfig) -> int:
    """Return how many initial templates a climb has at most, whatever it is scored on."""
    if isinstance(config.initial, Path):
        return MOST_FROM_FILE
    if config.initial is not None:
        return config.initial
    # The captions are few, and what they offer is found by few.
    return MANY_INITIAL if config.draws_from_grammar else FEW_INITIAL


def as_opened(config: SearchConfig, info: EvaluatorInfo) -> SearchConfig:
    """Return a config with the numbers that depend on what it is scored on: shots, views, initial templates.

    A score costs no request. Where it costs little else, three times as many initial templates are worth
    more than most requests (docs/method.md).

    Args:
        config: What is searched.
        info: What it is scored on.
    """
    config = config.as_opened(info)
    if config.initial is not None:
        return config
    number = min(max(_TEXTS // max(info.classes, 1), FEW_INITIAL), most_initial(config))
    return config.model_copy(update={"initial": number if info.cheap else FEW_INITIAL})
