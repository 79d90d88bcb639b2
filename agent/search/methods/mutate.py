"""A search without an LLM: swaps and crosses of the best templates."""

from __future__ import annotations

import itertools

from ....prompts.pools import BUILT_IN
from ....prompts.template import Template
from .base import Method, Propose, Steps, View
from .rewording import children, fresh, vocabulary

_TRIES = 30
"""Children made for each one asked for: a small restart may simply have no more to give."""


class Mutate:
    """Change words of the best k for words of the pool, and cross them with each other."""

    def conversation(self, view: View) -> Steps:
        """Propose new templates; fewer than asked for where nothing new is found."""
        while True:
            yield Propose(self._proposals(view))

    def _proposals(self, view: View) -> list[Template]:
        rng = view.rng()
        parents = [entry.text for entry in view.memory.best(view.top_k)]
        words = vocabulary(template.text for template in view.pool) or vocabulary(BUILT_IN)
        made = fresh(children(parents, words, _TRIES * view.proposals, rng), view)
        return list(itertools.islice(made, view.proposals))


METHOD: Method = Mutate()
