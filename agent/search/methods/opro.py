"""OPRO (arXiv 2309.03409): what was tried, with its scores, the best last."""

from __future__ import annotations

from ....prompts.requests import request_opro
from .base import Ask, Method, Steps, View, shown


class Trajectory:
    """Show the best k with their scores in ascending order, anew in each round."""

    def conversation(self, view: View) -> Steps:
        """Ask for templates that score higher than the trajectory's last."""
        while True:
            tried = shown(view.memory.best(view.top_k), scores=True)[::-1]
            yield Ask(request_opro(tried, **view.asked))


METHOD: Method = Trajectory()
