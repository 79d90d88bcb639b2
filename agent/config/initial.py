"""How many templates a restart scores that nobody asked for: initial ones, and those beside a request."""

from __future__ import annotations

from pathlib import Path

from ...evaluator.scoring import EvaluatorInfo
from .fields import FEW_INITIAL, MANY_INITIAL, MOST_FROM_FILE

_TEXTS = 25_000
"""Texts that the initial templates of a restart may make together: a template makes one for each class."""
MOST_ASIDE, LEAST_ASIDE = 25, 5
"""Templates that may be scored beside a request: so many, or none where so few would be too dear."""
_TEXTS_ASIDE = 1_000


def most_initial(initial: int | Path | None, *, from_grammar: bool) -> int:
    """Return how many initial templates a restart has at most, whatever it is scored on.

    Args:
        initial: What is said of them: a number, or a file of templates.
        from_grammar: Whether they are drawn from the grammar.
    """
    if isinstance(initial, Path):
        return MOST_FROM_FILE
    if initial is not None:
        return initial
    # The captions are few, and what they offer is found by few.
    return MANY_INITIAL if from_grammar else FEW_INITIAL


def usual_initial(info: EvaluatorInfo, most: int) -> int:
    """Return how many initial templates a restart has where nothing is said of them.

    A score costs no request. Where it costs little else, three times as many initial templates are worth
    more than most requests (docs/method.md).

    Args:
        info: What they are scored on.
        most: How many there are at most.
    """
    number = min(max(_TEXTS // max(info.classes, 1), FEW_INITIAL), most)
    return number if info.cheap else FEW_INITIAL


def most_aside(info: EvaluatorInfo) -> int:
    """Return how many templates may be scored beside a request; 0 where a score costs anything.

    Args:
        info: What is scored on.
    """
    number = min(_TEXTS_ASIDE // max(info.classes, 1), MOST_ASIDE)
    return number if info.cheap and number >= LEAST_ASIDE else 0
