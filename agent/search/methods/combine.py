"""A search without an LLM: caption frames filled with the words of the description.

Without a description the frames are filled with words of form that fit any class.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from ....prompts.frames import DOUBLE_FRAMES, FRAMES, NEUTRAL, framed, phrases
from ....prompts.template import Template
from .base import Method, Propose, Steps, View
from .rewording import fresh
from .word_effects import Prediction, WordEffects, features

CANDIDATES = 200
"""Fillings that are looked at in an round."""
UNTOLD = 0.25
"""Share of them in words of form that nobody told: the user's words need not be those of the black box."""


class Combine:
    """Half the proposals are what promises most by what was scored, half what was tried least."""

    def conversation(self, view: View) -> Steps:
        """Propose fillings; fewer than asked for where nothing new is left."""
        while True:
            yield Propose(self._proposals(view, view.rng()), source="combine")

    def _proposals(self, view: View, rng: random.Random) -> list[Template]:
        return promising(combinations(view, CANDIDATES, rng), view, view.proposals)


def combinations(view: View, number: int, rng: random.Random) -> list[str]:
    """Return captions that say what the description says, at random."""
    return fillings(phrases(view.description, view.class_names), number, rng)


def fillings(told: Sequence[str], number: int, rng: random.Random, *, untold: float = UNTOLD) -> list[str]:
    """Return captions with words that somebody told, a share of them with words of form, at random."""
    return [_one(told if told and rng.random() >= untold else NEUTRAL, rng) for _ in range(number)]


def promising(texts: Sequence[str], view: View, most: int) -> list[Template]:
    """Return new templates to try: half of them promise most, the words of half were tried least."""
    candidates = fresh(texts, view)
    predicted = WordEffects(view.memory).predict([template.text for template in candidates])
    return chosen(candidates, predicted, view, most)


def chosen(
    candidates: Sequence[Template], predicted: Sequence[Prediction], view: View, most: int
) -> list[Template]:
    """Return the proposals: in turn one of words tried least, and one that promises most."""
    tried: Counter[str] = Counter()
    for entry in view.memory:
        tried.update(features(entry.text))
    said = [features(template.text) for template in candidates]
    left = list(range(len(candidates)))
    found: list[Template] = []
    while left and len(found) < most:
        if len(found) % 2 == 0:
            place = min(left, key=lambda at: (_worn(tried, said[at]), at))
        else:
            place = max(left, key=lambda at: (predicted[at].value, -at))
        left.remove(place)
        found.append(candidates[place])
        tried.update(said[place])
    return found


def _one(gaps: Sequence[str], rng: random.Random) -> str:
    if rng.random() < 0.7:
        return framed(rng.choice(FRAMES), rng.choice(gaps))
    first, second = rng.choice(gaps), rng.choice(gaps)
    if not set(first.split()).isdisjoint(second.split()):  # "the colour of ink, ink" says no more than one
        return framed(rng.choice(FRAMES), first)
    return framed(rng.choice(DOUBLE_FRAMES), first, second)


def _worn(tried: Mapping[str, int], words: frozenset[str]) -> float:
    """Return how often the words of a template were tried, on average."""
    return sum(tried[word] for word in words) / len(words)


METHOD: Method = Combine()
