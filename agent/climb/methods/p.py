"""The paper's comparison: the best templates alone (arXiv 2309.05950, "P only")."""

from __future__ import annotations

from typing import ClassVar, Literal

from ....prompts.conversation import Message, request_p
from .base import View, shown


class PositiveOnly:
    """Shows the best k."""

    name: ClassVar[str] = "p"
    uses_llm: ClassVar[Literal[True]] = True
    converses: ClassVar[bool] = True

    def opening(self, view: View) -> list[Message]:
        """One list, the best first."""
        best = view.memory.best(view.top_k)
        return request_p(shown(best), proposals=view.proposals, max_words=view.max_words)
