"""The search methods by name, and those of papers: pn, p, ape and opro show the LLM only ranked candidates.

To add a method, write its module and add a line to ``METHODS``.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...prompts.requests import ChatMessage, feedback, request_ape, request_opro, request_pn
from .base import Ask, Conversation, SearchMethod, Steps, View, shown
from .guided import GUIDED
from .without_llm import COMBINE, RANDOM


def _pn(view: View) -> Steps:
    """Show the best k and the worst k; ties with the last of the best are never shown as bad."""
    best, worst = view.memory.best(view.top_k), view.memory.worst(view.top_k)
    return _in_conversation(view, request_pn(shown(best), shown(reversed(worst)), view.wanted))


def _p(view: View) -> Steps:
    return _in_conversation(view, request_pn(shown(view.memory.best(view.top_k)), (), view.wanted))


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


METHODS: dict[str, SearchMethod] = {
    "guided": GUIDED,
    # arXiv 2309.05950: the paper's method, and its comparison "P only".
    "pn": SearchMethod(summary="an LLM sees the best and worst templates", conversation=_pn),
    "p": SearchMethod(summary="an LLM sees the best templates only", conversation=_p),
    # arXiv 2211.01910, round after round; arXiv 2309.03409.
    "ape": SearchMethod(summary="an LLM varies the best template", conversation=_ape),
    "opro": SearchMethod(summary="an LLM sees the best templates with scores", conversation=_opro),
    "random": RANDOM,
    "combine": COMBINE,
}
METHOD, LLM_METHOD = "combine", "guided"
"""The defaults: without an LLM or with one that finds class names, and with one for what is searched for."""
_IN_ORDER = tuple(dict.fromkeys((METHOD, LLM_METHOD, *METHODS)))
"""First those that are not for comparison alone."""
ABOUT = (
    f"how candidates are found: {', '.join(_IN_ORDER)} (default: {METHOD}; {LLM_METHOD} with an LLM for "
    "templates)"
)


def described() -> str:
    """Return a line for every method, for the help."""
    return "".join(f"  {name:<9} {METHODS[name].summary}\n" for name in _IN_ORDER)
