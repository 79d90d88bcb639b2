"""The paper's method: the best and the worst templates side by side (arXiv 2309.05950)."""

from __future__ import annotations

from typing import ClassVar, Literal

from ....prompts.conversation import Message, request_pn
from .base import View, shown


class PositiveNegative:
    """Shows the best k and the worst k: the LLM reads a direction out of the contrast."""

    name: ClassVar[str] = "pn"
    uses_llm: ClassVar[Literal[True]] = True
    converses: ClassVar[bool] = True

    def opening(self, view: View) -> list[Message]:
        """Both lists; in a small pool they are shorter, and never overlap."""
        best, worst = view.memory.best(view.top_k), view.memory.worst(view.top_k)
        return request_pn(shown(best), shown(worst), proposals=view.proposals, max_words=view.max_words)
