"""Iterated APE (arXiv 2211.01910): other wordings of the best template, again and again."""

from __future__ import annotations

from typing import ClassVar

from ....prompts.requests import request_ape
from .base import Ask, Steps, View, shown


class Paraphrase:
    """Show the best template alone, anew in each iteration."""

    name: ClassVar[str] = "ape"
    requests: ClassVar[int] = 1

    def reset(self, view: View) -> Steps:
        """Ask for variations of the template that is best by then."""
        while True:
            (current,) = shown(view.memory.best(1))
            yield Ask(request_ape(current, proposals=view.proposals, max_words=view.max_words))
