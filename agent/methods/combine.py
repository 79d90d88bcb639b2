"""A method without an LLM: fill frames with words of the description, or else with the kind's fillers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from ...prompts.kinds import Candidate, PromptKind
from ...prompts.phrases import framed, phrases
from .base import Propose, SearchMethod, Steps, View
from .word_regression import Prediction, features, predict

CANDIDATES = 200
"""Fillings considered per round."""
FILLERS = 0.25
"""Share of fillings from the kind's fillers: the scorer may not know the user's words."""


def combine(view: View) -> Steps:
    """Propose fillings; fewer than asked for if nothing new is left."""
    while True:
        found = promising(combinations(view, CANDIDATES, view.rng()), view, view.proposals)
        yield Propose(found, source="combine")


def combinations(view: View, number: int, rng: random.Random) -> list[str]:
    """Return frames filled at random with words of the description."""
    return fillings(view.kind, phrases(view.description, view.class_names), number, rng)


def fillings(
    kind: PromptKind, words: Sequence[str], number: int, rng: random.Random, *, fillers: float = FILLERS
) -> list[str]:
    """Return frames filled at random with given words, a share of them with the kind's fillers."""
    if not words or not kind.fillers:
        gaps = words or kind.fillers
        return [_filling(kind, gaps, rng) for _ in range(number if gaps else 0)]
    return [_filling(kind, words if rng.random() >= fillers else kind.fillers, rng) for _ in range(number)]


def promising(texts: Sequence[str], view: View, most: int) -> list[Candidate]:
    """Return new candidates to try: alternately of least tried words and of highest predicted score."""
    candidates = view.unseen(texts)
    return chosen(candidates, predict(view.memory, [one.text for one in candidates]), view, most)


def chosen(
    candidates: Sequence[Candidate], predicted: Sequence[Prediction], view: View, most: int
) -> list[Candidate]:
    """Return proposals, alternately of least tried words and of highest predicted score."""
    tried: Counter[str] = Counter()
    for entry in view.memory:
        tried.update(features(entry.text))
    words = [features(one.text) for one in candidates]
    left = list(range(len(candidates)))
    found: list[Candidate] = []
    while left and len(found) < most:
        if len(found) % 2 == 0:
            place = min(left, key=lambda at: (_mean_tries(tried, words[at]), at))
        else:
            place = max(left, key=lambda at: (predicted[at].value, -at))
        left.remove(place)
        found.append(candidates[place])
        tried.update(words[place])
    return found


def _filling(kind: PromptKind, gaps: Sequence[str], rng: random.Random) -> str:
    if rng.random() < 0.7:
        return framed(rng.choice(kind.frames), rng.choice(gaps))
    first, second = rng.choice(gaps), rng.choice(gaps)
    if not set(first.split()).isdisjoint(second.split()):  # "the colour of ink, ink" says no more than one
        return framed(rng.choice(kind.frames), first)
    return framed(rng.choice(kind.double_frames), first, second)


def _mean_tries(tried: Mapping[str, int], words: frozenset[str]) -> float:
    return sum(map(tried.__getitem__, words)) / len(words)


COMBINE = SearchMethod(
    summary="no LLM: the words of --describe in caption frames",
    conversation=combine,
    requests=0,
    uses_description=True,
    uses_class_names=True,
)
