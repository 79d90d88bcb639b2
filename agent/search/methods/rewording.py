"""Templates made of others: a word changed, two crossed at their slots; and only those that are new."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from ....prompts.template import SLOT, Template, TemplateError
from .base import View


def fresh(texts: Iterable[str], view: View) -> list[Template]:
    """Return those texts that are templates which the restart has not scored, each once, in their order."""
    found: dict[str, Template] = {}
    for text in texts:
        try:
            template = Template.parse(text, max_words=view.max_words)
        except TemplateError:
            continue
        if template.key not in view.memory:
            found.setdefault(template.key, template)
    return list(found.values())


def vocabulary(templates: Iterable[str]) -> list[str]:
    """Return the words of templates, in alphabetical order; none that holds a slot."""
    return sorted({word for text in templates for word in text.split() if SLOT not in word})


def one_word_changed(parent: Sequence[str], words: Sequence[str], rng: random.Random) -> list[str]:
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


def crossed(one: str, other: str) -> str:
    """Return the beginning of one template, up to its first slot, with the end of another."""
    return one.partition(SLOT)[0] + SLOT + other.partition(SLOT)[2]


def children(parents: Sequence[str], words: Sequence[str], number: int, rng: random.Random) -> Iterator[str]:
    """Yield templates made of the parents, which are best first: the better one, the more children.

    A third are crosses of two parents; the others have one word changed, half of those a second one.
    """
    for _ in range(number):
        one, other = (parents[min(rng.randrange(len(parents)) for _ in range(2))] for _ in range(2))
        if rng.random() < 1 / 3:
            yield crossed(one, other)
            continue
        child = one_word_changed(one.split(), words, rng)
        yield " ".join(one_word_changed(child, words, rng) if rng.random() < 0.5 else child)
