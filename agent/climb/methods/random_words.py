"""A search without an LLM: draws from the pool, and the best templates with a word changed.

It is the baseline that a language model has to beat, and what stands in where none can be had.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from ....prompts.pools import BUILT_IN
from ....prompts.template import SLOT, Template, TemplateError
from .base import Method, Propose, Steps, View

_ATTEMPTS = 50
"""Tries a proposal before the iteration is left with fewer: a small pool may simply have no more to give."""


class RandomWords:
    """Draw half the proposals from the pool; the others are one of the best k with one word changed."""

    def reset(self, view: View) -> Steps:
        """Propose new templates; fewer than asked for where nothing new is found."""
        while True:
            yield Propose(self._proposals(view, view.rng()))

    def _proposals(self, view: View, rng: random.Random) -> list[Template]:
        taken: dict[str, Template] = {}
        words = _words(template.text for template in view.pool) or _words(BUILT_IN)
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
            return Template.parse(" ".join(_mutated(parent.split(), words, rng)), max_words=view.max_words)
        except TemplateError:
            return None


METHOD: Method = RandomWords()


def _words(templates: Iterable[str]) -> list[str]:
    return sorted({word for text in templates for word in text.split() if SLOT not in word})


def _mutated(parent: list[str], words: list[str], rng: random.Random) -> list[str]:
    """Return the parent with one word put in, taken out or changed; its slots are left where they are."""
    child = list(parent)
    free = [place for place, word in enumerate(child) if SLOT not in word]
    action = rng.choice(("put in", "take out", "change") if free else ("put in",))
    if action == "put in":
        child.insert(rng.randint(0, len(child)), rng.choice(words))
    elif action == "take out":
        del child[rng.choice(free)]
    else:
        child[rng.choice(free)] = rng.choice(words)
    return child
