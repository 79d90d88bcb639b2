"""Search for the wording of a query with a custom scorer that is not a CLIP: a small search engine.

A template is a query such as "how to mend a {}". The engine ranks notes by the words that they share with the
query, rare words counting more; a template's score is the share of things whose repair note comes first.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from promptclimb import SearchConfig, search_sync

NOTES = {
    "bicycle": [
        "Oil the chain of a bicycle once a month; mend a flat tyre with a patch.",
        "A picture of a red bicycle in front of the old town hall.",
        "The bicycle was invented in the nineteenth century.",
    ],
    "lamp": [
        "If a lamp flickers, mend the loose contact, change the bulb.",
        "A picture of a lamp on a desk at night.",
        "A short history of the lamp from oil to light-emitting diodes.",
    ],
    "radio": [
        "When a radio only hums, mend the aerial, clean the switch.",
        "A picture of an old radio made of wood.",
        "The first radio crossed the ocean in nineteen hundred and one.",
    ],
    "chair": [
        "Glue the joints of a chair, mend the seat with new cane.",
        "A picture of an empty chair by the window.",
        "How the chair came to the common people.",
    ],
}


class SearchEngine:
    """Rank notes by shared words; score a template by the share of repair notes (the first ones) found."""

    fingerprint = "search engine, version 1"

    def __init__(self) -> None:
        self._notes = [
            (thing, number, words(text)) for thing in NOTES for number, text in enumerate(NOTES[thing])
        ]
        self._seen = Counter(word for _, _, found in self._notes for word in found)

    def score(self, templates: Sequence[str]) -> list[float]:
        """Return one number a template, between 0 and 1."""
        return [sum(self._found(template, thing) for thing in NOTES) / len(NOTES) for template in templates]

    def _found(self, template: str, thing: str) -> bool:
        query = words(template.replace("{}", thing))
        ranked = max(self._notes, key=lambda note: (self._match(query, note[2]), -note[1]))
        return ranked[:2] == (thing, 0) and self._margin(query, thing) > 0

    def _margin(self, query: set[str], thing: str) -> float:
        """Return by how much the repair note beats the others about the same thing."""
        scores = [self._match(query, found) for name, _, found in self._notes if name == thing]
        return scores[0] - max(scores[1:])

    def _match(self, query: set[str], found: set[str]) -> float:
        return sum(math.log(1 + len(self._notes) / self._seen[word]) for word in query & found)


def words(text: str) -> set[str]:
    """Return the distinct words of a text, in small letters."""
    return set(re.findall(r"[a-z]+", text.lower()))


def main() -> None:
    """Search from a file of queries, without an LLM."""
    config = SearchConfig(
        data="notes",
        method="random",
        initial=Path(__file__).with_name("queries.txt"),
        restarts=2,
        conversations=1,
        rounds=20,
    )
    result = search_sync(config, custom_scorer=SearchEngine())
    start = result.baselines["best starting template"]
    print(f"{start.train:.0%} of the repair notes found by the best starting query: {start.templates[0]}")
    print(f"{result.best.train:.0%} found by the best query: {result.best.template}")


if __name__ == "__main__":
    main()
