"""Methods without an LLM that change the words of candidates: random and mutate."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from functools import lru_cache

from ...prompts.kinds import Candidate, CandidateError
from .base import Propose, SearchMethod, Steps, View

_ATTEMPTS = 50
"""Tries per proposal of ``random``: a small pool may have nothing new left."""
_CHILDREN = 30
"""Children per requested proposal of ``mutate``: a small restart may have nothing new left."""


def _random(view: View) -> Steps:
    """Draw half the proposals from the pool; the others are best ones with one word changed."""
    words = vocabulary(view)
    while True:
        yield Propose(_random_proposals(view, words, view.rng()))


def _random_proposals(view: View, words: Sequence[str], rng: random.Random) -> list[Candidate]:
    taken: dict[str, Candidate] = {}
    for _ in range(_ATTEMPTS * view.proposals):
        if len(taken) == view.proposals:
            break
        candidate = _drawn_or_changed(view, words, rng)
        if candidate is not None and candidate.key not in view.memory:
            taken.setdefault(candidate.key, candidate)
    return list(taken.values())


def _drawn_or_changed(view: View, words: Sequence[str], rng: random.Random) -> Candidate | None:
    if rng.random() < 0.5:
        return rng.choice(view.pool)
    parent = rng.choice(view.memory.best(view.top_k)).text
    try:
        return view.kind.parse(one_word_changed(parent, words, view.kind.slot, rng), max_words=view.max_words)
    except CandidateError:
        return None


def _mutate(view: View) -> Steps:
    """Swap words of the best k with words of the pool, and cross them; fewer if nothing new is found."""
    while True:
        found = view.unseen(children(view, _CHILDREN * view.proposals, view.rng()))
        yield Propose(list(itertools.islice(found, view.proposals)))


def children(view: View, number: int, rng: random.Random) -> Iterator[str]:
    """Yield candidates made of the best k; better parents get more. A third are crosses of two parents."""
    parents = [entry.text for entry in view.memory.best(view.top_k)]
    words, slot = vocabulary(view), view.kind.slot
    for _ in range(number):
        one, other = (parents[min(rng.randrange(len(parents)) for _ in range(2))] for _ in range(2))
        if rng.random() < 1 / 3:
            yield crossed(one, other, slot)
            continue
        child = one_word_changed(one, words, slot, rng)
        yield one_word_changed(child, words, slot, rng) if rng.random() < 0.5 else child


def vocabulary(view: View) -> list[str]:
    """Return the words of the pool, or else of the built-in captions, sorted and without slots."""
    slot = view.kind.slot
    return _words(tuple(view.pool), slot) or _words(
        tuple(itertools.chain(*view.kind.starting("captions"))), slot
    )


@lru_cache(maxsize=2)  # every round asks for those of the same pool
def _words(candidates: Sequence[Candidate], slot: str) -> list[str]:
    return sorted({word for one in candidates for word in one.text.split() if not (slot and slot in word)})


def one_word_changed(parent: str, words: Sequence[str], slot: str, rng: random.Random) -> str:
    """Return a text with one word inserted, removed or replaced; its slots stay in place."""
    child = parent.split()
    free = [place for place, word in enumerate(child) if not (slot and slot in word)]
    action = rng.choice(("put in", "take out", "change") if free else ("put in",))
    if action == "put in":
        child.insert(rng.randint(0, len(child)), rng.choice(words))
    elif action == "take out":
        del child[rng.choice(free)]
    else:
        child[rng.choice(free)] = rng.choice(words)
    return " ".join(child)


def crossed(one: str, other: str, slot: str) -> str:
    """Return the start of one text with the end of another, joined at the first slot or in the middle."""
    if slot:
        return one.partition(slot)[0] + slot + other.partition(slot)[2]
    first, second = one.split(), other.split()
    return " ".join(first[: (len(first) + 1) // 2] + second[len(second) // 2 :])


RANDOM = SearchMethod(summary="no LLM: random changes", conversation=_random, requests=0)
MUTATE = SearchMethod(summary="no LLM: swaps words of the best", conversation=_mutate, requests=0)
