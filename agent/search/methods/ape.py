"""Iterated APE (arXiv 2211.01910): other wordings of the best template, again and again."""

from __future__ import annotations

from ....prompts.requests import request_ape
from .base import Ask, Method, Steps, View, shown


class Paraphrase:
    """Show the best template alone, anew in each round."""

    def conversation(self, view: View) -> Steps:
        """Ask for variations of the template that is best by then."""
        while True:
            (current,) = shown(view.memory.best(1))
            yield Ask(request_ape(current, **view.asked))


METHOD: Method = Paraphrase()
