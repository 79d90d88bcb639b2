"""What ``guided`` that is told scores beside its requests, where a score costs next to nothing.

First the words of the description in caption frames, which cost no call; later, beside each request, those of
the answers too: an LLM often has the right word in a line that is no good, or no template at all. A small one
is asked first to say the same in plain words, since the user's need not be those that the black box was
trained on, and then for templates; it has every round.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ....prompts.frames import phrases
from ....prompts.replies import parse_reply
from ....prompts.telling import plain_request
from ....prompts.template import SLOT
from ...config.schema import MOST_FREE, SearchConfig
from .base import Consult, Feedback, Propose, Steps, View
from .combine import CANDIDATES, UNTOLD, fillings, promising

ROUND = 5
"""Templates that are scored before what they scored is learnt from."""
AFTER_AN_ANSWER = 10
MOST_KEPT = 100
"""Words and phrases of answers that are kept: those of a few."""


def most_scored_aside(config: SearchConfig) -> int:
    """Return how many templates a search may score beside what its rounds propose; 0 where none."""
    if config.method != "guided" or not config.description:
        return 0
    return config.restarts * 2 * MOST_FREE + config.all_rounds * AFTER_AN_ANSWER


def as_described(view: View) -> Steps:
    """Score words of the description before the first request that they are beside."""
    own = phrases(view.description, view.class_names)
    yield from _in_frames(view, own, view.aside, untold=UNTOLD)


def in_plain_words(view: View, heard_of: dict[str, None]) -> Steps:
    """Score words in which the LLM says what the description says: one round.

    Args:
        view: The restart.
        heard_of: Where words that the LLM used are kept, the latest last.
    """
    feedback = Feedback(skipped=True)
    while feedback.skipped:
        feedback = yield Consult(plain_request(view.wordings, view.description), gets_skip=True)
    reply = parse_reply(feedback.text, max_words=view.max_words)
    lines = [*(one.text for one in reply.templates), *(one.line for one in reply.refused)]
    words = _note(lines, view, heard_of) or phrases(view.description, view.class_names)
    yield from _in_frames(view, words, view.aside, ends=True)


def beside_a_request(view: View, feedback: Feedback, heard_of: dict[str, None]) -> Steps:
    """Score words of the description and of all answers, those of the last one's lines among them.

    Args:
        view: The restart.
        feedback: What came of the last request; its lines need be no templates.
        heard_of: As of ``in_plain_words``.
    """
    _note((one.template for one in feedback.outcomes), view, heard_of)
    words = [*phrases(view.description, view.class_names), *heard_of]
    yield from _in_frames(view, words, min(view.aside, AFTER_AN_ANSWER), untold=UNTOLD)


def _note(lines: Iterable[str], view: View, heard_of: dict[str, None]) -> Sequence[str]:
    """Return words and phrases of lines that the description does not have, and keep them."""
    known = set(phrases(view.description))
    text = "; ".join(lines).replace(SLOT, ";")
    found = [phrase for phrase in phrases(text, view.class_names) if phrase not in known]
    for phrase in found:
        heard_of.pop(phrase, None)
        heard_of[phrase] = None
    for phrase in list(heard_of)[:-MOST_KEPT]:
        del heard_of[phrase]
    return found


def _in_frames(
    view: View, words: Sequence[str], number: int, *, untold: float = 0.0, ends: bool = False
) -> Steps:
    rng = view.rng()
    for left in range(number, 0, -ROUND):
        texts = fillings(words, CANDIDATES, rng, untold=untold)
        found = promising(texts, view, min(left, ROUND))
        yield Propose(found, source="combine", aside=not ends or left > ROUND)
