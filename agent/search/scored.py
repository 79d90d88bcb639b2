"""A template with its score: what a restart remembers, a selection orders and a result lists."""

from __future__ import annotations

from dataclasses import dataclass

from ...evaluator.scoring import Score
from ...prompts.template import Template
from ..position import INITIAL, Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A template that was scored.

    Attributes:
        template: The template.
        score: What the evaluator said.
        value: The objective's value of that score: what is maximised, higher is better.
        position: Where it first came up.
        source: Who made it: ``INITIAL``, ``LLM``, or the way that asks none, such as ``combine``.
    """

    template: Template
    score: Score
    value: float
    position: Position
    source: str = INITIAL

    @property
    def text(self) -> str:
        """The template's text."""
        return self.template.text

    @property
    def key(self) -> str:
        """The template's normal form."""
        return self.template.key
