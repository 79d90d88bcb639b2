"""WordNet's files, in the form of Debian's package."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import wordnet

LICENCE = "  1 the files begin with lines of their licence\n"
FOX = (
    "00000100 05 n 03 Vulpes_vulpes 0 red_fox 0 fox 1 002 @ {canine} n 0000 #m {genus} n 0000 | a fox; red\n"
)
CANINE = "00000200 05 n 01 canine 0 001 ~ {fox} n 0000 | a dog, or like one\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A WordNet of two nouns, one broader than the other, and the counts of three words."""
    places = {"fox": len(LICENCE), "genus": 0}
    places["canine"] = places["fox"] + len(FOX.format(canine="0" * 8, genus="0" * 8))
    spelled = {noun: f"{place:08d}" for noun, place in places.items()}
    (tmp_path / "data.noun").write_text(LICENCE + FOX.format(**spelled) + CANINE.format(**spelled), "utf-8")
    lines = [
        f"{lemma} n 1 1 @ 1 0 {spelled[noun]}  "
        for lemma, noun in (("fox", "fox"), ("vulpes_vulpes", "fox"), ("canine", "canine"))
    ]
    (tmp_path / "index.noun").write_text(LICENCE + "\n".join(lines) + "\n", "utf-8")
    counts = ("fox%1:05:00:: 1 7", "apple_pie%1:13:00:: 1 9", "love%1:12:00:: 1 50", "run%2:38:00:: 1 90")
    (tmp_path / "cntlist.rev").write_text("\n".join(counts), "utf-8")
    monkeypatch.setattr(wordnet, "FOLDER", tmp_path)
    wordnet._offsets.cache_clear()
    wordnet._nouns.cache_clear()
    wordnet.frequent_nouns.cache_clear()
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_the_senses_of_a_name_are_synonyms_broader_words_and_glosses() -> None:
    """Other pointers lead nowhere, and the name itself is no reading of it."""
    assert wordnet.senses("Vulpes vulpes") == ("red fox", "fox", "canine", "Vulpes vulpes, canine", "a fox")
    assert wordnet.senses("canine") == ("a dog, or like one",)


@pytest.mark.usefixtures("folder")
def test_a_name_that_wordnet_does_not_have_means_nothing() -> None:
    """Codes and words of other languages have no sense."""
    assert wordnet.senses("kettu") == ()


@pytest.mark.usefixtures("folder")
def test_frequent_nouns_are_things() -> None:
    """Feelings and verbs are left out; the most frequent noun stands first."""
    assert wordnet.frequent_nouns() == ("apple pie", "fox")
