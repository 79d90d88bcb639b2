"""A search without an LLM: draws from the pool, and the best templates with a word changed.

It is the baseline that a language model has to beat, and what stands in where none can be had.
"""

from __future__ import annotations

import random

from ....prompts.pools import BUILT_IN
from ....prompts.template import Template, TemplateError
from .base import Method, Propose, Steps, View
from .rewording import one_word_changed, vocabulary

_ATTEMPTS = 50
"""Tries a proposal before the round is left with fewer: a small pool may simply have no more to give."""


class RandomWords:
    """Draw half the proposals from the pool; the others are one of the best k with one word changed."""

    def conversation(self, view: View) -> Steps:
        """Propose new templates; fewer than asked for where nothing new is found."""
        while True:
            yield Propose(self._proposals(view, view.rng()))

    def _proposals(self, view: View, rng: random.Random) -> list[Template]:
        taken: dict[str, Template] = {}
        words = vocabulary(template.text for template in view.pool) or vocabulary(BUILT_IN)
        for _ in range(_ATTEMPTS * view.proposals):
            if len(taken) == view.proposals:
                break
            template = self._one(view, words, rng)
            if template is not None and template.key not in view.memory:
                taken.setdefault(template.key, template)
        return list(taken.values())

    def _one(self, view: View, words: list[str], rng: random.Random) -> Template | None:
        if rng.random() < 0.5:
            return rng.choice(view.pool)
        parent = rng.choice(view.memory.best(view.top_k)).text
        try:
            child = " ".join(one_word_changed(parent.split(), words, rng))
            return Template.parse(child, max_words=view.max_words)
        except TemplateError:
            return None


METHOD: Method = RandomWords()
