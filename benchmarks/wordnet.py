"""Look words up in WordNet, as Debian's package wordnet-base brings it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

FOLDER = Path("/usr/share/wordnet")
THINGS = ("05", "06", "13", "17", "20", "27")
"""WordNet's files of animals, artefacts, food, objects, plants and substances."""
MOST_NOUNS = 1500
BROADER = ("@", "@i", "#p", "%p")
"""Pointers to what a noun is a kind, an instance, a part and a whole of."""


@cache
def frequent_nouns() -> tuple[str, ...]:
    """Return the most frequent nouns for things."""
    count = Counter[str]()
    for line in (FOLDER / "cntlist.rev").read_text("utf-8").splitlines():
        key, _, tagged = line.split()
        lemma, sense = key.split("%")
        if sense[0] == "1" and sense.split(":")[1] in THINGS:
            count[lemma.replace("_", " ")] += int(tagged)
    return tuple(noun for noun, _ in count.most_common(MOST_NOUNS) if len(noun) > 2)


def senses(name: str) -> tuple[str, ...]:
    """Return what a name may mean: of each of its senses the synonyms, the broader words and the gloss.

    The name with a broader word, "bat, placental", is one too. Empty if WordNet does not have the noun.
    """
    lemma = name.lower().replace(" ", "_")
    readings = [reading for offset in _offsets().get(lemma, ()) for reading in _readings(name, offset)]
    return tuple(dict.fromkeys(reading for reading in readings if reading.lower() != name.lower()))


def _readings(name: str, offset: int) -> Iterator[str]:
    words, broader, gloss = _synset(offset)
    yield from words
    for broader_offset in broader:
        for word in _synset(broader_offset)[0]:
            yield word
            yield f"{name}, {word}"
    yield gloss


@cache
def _offsets() -> dict[str, list[int]]:
    """Return the places of each noun's synsets in data.noun."""
    places = {}
    for line in (FOLDER / "index.noun").read_text("utf-8").splitlines():
        if not line.startswith(" "):
            lemma, _, synsets, *fields = line.split()
            places[lemma] = [int(offset) for offset in fields[-int(synsets) :]]
    return places


@cache
def _nouns() -> bytes:
    return (FOLDER / "data.noun").read_bytes()


def _synset(offset: int) -> tuple[Sequence[str], Sequence[int], str]:
    """Return a synset's words, the places of broader synsets, and its gloss up to the first semicolon."""
    line = _nouns()[offset : _nouns().index(b"\n", offset)].decode("utf-8")
    data, _, gloss = line.partition(" | ")
    fields = data.split()
    count = int(fields[3], 16)
    words = [word.replace("_", " ") for word in fields[4 : 4 + 2 * count : 2]]
    pointers = fields[5 + 2 * count :]
    broader = [
        int(pointers[index + 1])
        for index in range(0, len(pointers), 4)
        if pointers[index] in BROADER and pointers[index + 2] == "n"
    ]
    return words, broader, gloss.split(";")[0].strip()
