"""Iterated APE (arXiv 2211.01910): other wordings of the best template, again and again."""

from __future__ import annotations

from typing import ClassVar, Literal

from ....prompts.conversation import Message, request_ape
from .base import View, shown


class Paraphrase:
    """Shows the best template alone, anew in each turn."""

    name: ClassVar[str] = "ape"
    uses_llm: ClassVar[Literal[True]] = True
    converses: ClassVar[bool] = False

    def opening(self, view: View) -> list[Message]:
        """The best template, and a request for variations of it."""
        (current,) = shown(view.memory.best(1))
        return request_ape(current, proposals=view.proposals, max_words=view.max_words)
