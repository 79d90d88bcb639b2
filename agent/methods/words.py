"""A method without an LLM: learn the effect of words, and try the candidates predicted to score best.

It chooses from other candidates of the pool, swaps and crosses of the best, and frames filled with words of
the description.
"""

from __future__ import annotations

from ...prompts.kinds import Candidate
from .base import Propose, SearchMethod, Steps, View
from .combine import combinations
from .mutate import children
from .word_regression import features, predict

_CANDIDATES = 150
"""Candidates of each origin considered per round."""


def _words(view: View) -> Steps:
    while True:
        rng = view.rng()
        texts = [one.text for one in rng.sample(view.pool, min(_CANDIDATES, len(view.pool)))]
        texts += children(view, _CANDIDATES, rng)
        if view.description:
            texts += combinations(view, _CANDIDATES, rng)
        yield Propose(most_promising(view.unseen(texts), view))


def most_promising(candidates: list[Candidate], view: View) -> list[Candidate]:
    """Return proposals, alternately by best guess and by best upper bound; no two much alike."""
    predicted = predict(view.memory, [one.text for one in candidates])
    left = list(range(len(candidates)))
    words = [features(one.text) for one in candidates]
    found: list[int] = []
    while left and len(found) < view.proposals:
        hope = len(found) % 2
        best = max(left, key=lambda at: (predicted[at].value + hope * predicted[at].doubt, -at))
        found.append(best)
        left = [at for at in left if 2 * len(words[at] & words[best]) <= len(words[at] | words[best])]
    return [candidates[at] for at in found]


WORDS = SearchMethod(
    summary="no LLM: words that a regression rates best",
    conversation=_words,
    requests=0,
    uses_description=True,
    uses_class_names=True,
)
