"""A search without an LLM: learn what words are worth, and try what they promise.

Of what could be tried (other templates of the pool, swaps and crosses of the best, frames filled with
the words of the description) the templates that are predicted to score best are.
"""

from __future__ import annotations

import random

from ....prompts.pools import BUILT_IN
from ....prompts.template import Template
from .base import Method, Propose, Steps, View
from .combine import combinations
from .rewording import children, fresh, vocabulary
from .word_effects import WordEffects, features

_CANDIDATES = 150
"""Templates of each kind that are looked at in an round."""


class Words:
    """Predict by ridge regression over all that was scored."""

    def conversation(self, view: View) -> Steps:
        """Propose what is predicted to be best; fewer than asked for where nothing new is found."""
        while True:
            yield Propose(self._proposals(view, view.rng()))

    def _proposals(self, view: View, rng: random.Random) -> list[Template]:
        pool = rng.sample(view.pool, min(_CANDIDATES, len(view.pool)))
        texts = [template.text for template in pool]
        parents = [entry.text for entry in view.memory.best(view.top_k)]
        words = vocabulary(template.text for template in view.pool) or vocabulary(BUILT_IN)
        texts += children(parents, words, _CANDIDATES, rng)
        if view.description:
            texts += combinations(view, _CANDIDATES, rng)
        return most_promising(fresh(texts, view), view)


def most_promising(candidates: list[Template], view: View) -> list[Template]:
    """Return the proposals: in turn the best guess, and the best that may be hoped for; none much alike."""
    predicted = WordEffects(view.memory).predict([template.text for template in candidates])
    left = list(range(len(candidates)))
    said = [features(template.text) for template in candidates]
    found: list[int] = []
    while left and len(found) < view.proposals:
        hope = len(found) % 2
        best = max(left, key=lambda at: (predicted[at].value + hope * predicted[at].doubt, -at))
        found.append(best)
        left = [at for at in left if 2 * len(said[at] & said[best]) <= len(said[at] | said[best])]
    return [candidates[at] for at in found]


METHOD: Method = Words()
