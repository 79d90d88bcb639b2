"""The paper's comparison: the best templates alone (arXiv 2309.05950, "P only")."""

from __future__ import annotations

from ....prompts.requests import request_p
from ..conversation import Conversation
from .base import Ask, Method, Steps, View, results_message, shown


class PositiveOnly:
    """Show the best k, then what each proposal scored."""

    def conversation(self, view: View) -> Steps:
        """Open with one list, the best first."""
        best = shown(view.memory.best(view.top_k))
        opening = request_p(best, **view.asked)
        conversation = Conversation(opening, max_turns=view.max_turns)
        while True:
            feedback = yield Ask(conversation.messages())
            conversation.add(feedback.text, results_message(view, feedback))


METHOD: Method = PositiveOnly()
