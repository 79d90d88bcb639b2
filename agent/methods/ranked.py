"""The methods of papers, which show the LLM only ranked candidates: pn, p, ape and opro."""

from __future__ import annotations

from collections.abc import Sequence

from ...prompts.requests import ChatMessage, feedback, request_ape, request_opro, request_p, request_pn
from .base import Ask, Conversation, SearchMethod, Steps, View, shown


def _pn(view: View) -> Steps:
    """Show the best k and the worst k; ties with the last of the best are never shown as bad."""
    best, worst = view.memory.best(view.top_k), view.memory.worst(view.top_k)
    return _in_conversation(view, request_pn(shown(best), shown(reversed(worst)), view.wanted))


def _p(view: View) -> Steps:
    return _in_conversation(view, request_p(shown(view.memory.best(view.top_k)), view.wanted))


def _in_conversation(view: View, opening: Sequence[ChatMessage]) -> Steps:
    """Ask, then report each proposal's score, so that the LLM sees a direction."""
    conversation = Conversation(opening, max_turns=view.max_turns)
    while True:
        reply = yield Ask(conversation.messages())
        conversation.add(reply.text, feedback(reply.outcomes, view.wanted, best_before=reply.best_before))


def _ape(view: View) -> Steps:
    while True:
        (current,) = shown(view.memory.best(1))
        yield Ask(request_ape(current, view.wanted))


def _opro(view: View) -> Steps:
    """Show the best k with their scores in ascending order, anew in each round."""
    while True:
        tried = shown(view.memory.best(view.top_k), scores=True)[::-1]
        yield Ask(request_opro(tried, view.wanted))


PN = SearchMethod(summary="an LLM sees the best and worst", conversation=_pn)
"""The paper's method (arXiv 2309.05950)."""
P = SearchMethod(summary="the best only", conversation=_p)
"""The paper's comparison, "P only"."""
APE = SearchMethod(summary="an LLM varies the best", conversation=_ape)
"""APE, round after round (arXiv 2211.01910)."""
OPRO = SearchMethod(summary="an LLM sees the best with scores", conversation=_opro)
"""OPRO (arXiv 2309.03409)."""
