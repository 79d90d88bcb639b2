"""OPRO (arXiv 2309.03409): what was tried, with its scores, the best last."""

from __future__ import annotations

from typing import ClassVar, Literal

from ....prompts.conversation import Message, request_opro
from .base import View, shown


class Trajectory:
    """Shows the best k with their scores in ascending order, anew in each turn."""

    name: ClassVar[str] = "opro"
    uses_llm: ClassVar[Literal[True]] = True
    converses: ClassVar[bool] = False

    def opening(self, view: View) -> list[Message]:
        """The trajectory, and a request for templates that score higher."""
        tried = shown(view.memory.best(view.top_k), scores=True)[::-1]
        return request_opro(tried, proposals=view.proposals, max_words=view.max_words)
