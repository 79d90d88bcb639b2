"""The paper's method: the best and the worst templates side by side (arXiv 2309.05950)."""

from __future__ import annotations

from ....prompts.requests import request_pn
from ..conversation import Conversation
from .base import Ask, Method, Steps, View, results_message, shown


class PositiveNegative:
    """Show the best k and the worst k, then what each proposal scored: the LLM reads a direction from it."""

    def conversation(self, view: View) -> Steps:
        """Open with both lists; what is as good as the last of the best is in no list of bad ones."""
        best, worst = view.memory.best(view.top_k), view.memory.worst(view.top_k)
        opening = request_pn(shown(best), shown(reversed(worst)), **view.asked)
        conversation = Conversation(opening, max_turns=view.max_turns)
        while True:
            feedback = yield Ask(conversation.messages())
            conversation.add(feedback.text, results_message(view, feedback))


METHOD: Method = PositiveNegative()
