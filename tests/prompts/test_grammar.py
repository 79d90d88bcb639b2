"""The grammar of captions: many, varied, valid, and the same every time."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.prompts.phrases import LONGEST_PHRASE, MOST_PHRASES, framed, phrases, singular
from promptclimb.prompts.template import DEFAULT_MAX_WORDS, Template
from promptclimb.prompts.template_kind import (
    KIND,
    MOST_OF_A_PATTERN,
    NEUTRAL,
    PRODUCTIONS,
    SYMBOLS,
    all_of_grammar,
    grammar,
)


def test_all_are_different_templates_of_a_searchs_length() -> None:
    """Thousands, one slot each, tidy, no symbol left over, no longer than what an LLM is asked for."""
    templates = all_of_grammar()
    assert len({template.key for template in templates}) == len(templates) >= 5_000
    assert grammar() is grammar()
    for template in templates:
        assert Template.parse(template.text, max_words=DEFAULT_MAX_WORDS) == template
        assert template.text.count("{}") == 1
        assert not re.search(r"[<>\n]|  ", template.text)


def test_every_symbol_is_there_and_used() -> None:
    """The patterns and the lists agree; no word stands twice in a list."""
    used = set(re.findall(r"<(\w+)>", " ".join(pattern for each in PRODUCTIONS.values() for pattern in each)))
    assert used == set(SYMBOLS)
    for name, words in SYMBOLS.items():
        assert len(set(words)) == len(words) > 2, name
        assert all(words), name


def test_no_production_outweighs_the_others() -> None:
    """Each has templates of its own, and at most as many as its patterns may give."""
    for name, templates in grammar().items():
        assert 10 <= len(templates) <= MOST_OF_A_PATTERN * len(PRODUCTIONS[name]), name


def test_the_words_are_spread() -> None:
    """Where not all combinations are taken, all words of a symbol still come up."""
    said = Counter(word for template in all_of_grammar() for word in template.text.split())
    for words in SYMBOLS.values():
        assert all(said[part] for entry in words for part in entry.split()[1:])
    assert len(said) > 1_000


def test_articles_fit_the_word_that_follows() -> None:
    """*An* before a vowel's sound, *a* before any other."""
    texts = {template.text for template in all_of_grammar()}
    assert {"an old {}", "an image of a {} at night"} & texts
    assert not [
        text for text in texts if re.search(r"\ba (?:old|image|icon|empty)\b|\ban (?:photo|unit)\b", text)
    ]


def test_words_of_content_and_their_phrases_are_found() -> None:
    """Within a clause; a plural in the singular too; function words only inside a phrase."""
    found = phrases("Tally marks: strokes in bundles.")
    assert found == (
        *("Tally", "marks", "mark", "strokes", "stroke", "bundles", "bundle"),
        *("Tally marks", "Tally mark", "strokes in bundles", "strokes in bundle"),
    )


def test_a_class_name_is_left_out() -> None:
    """Also one of several words, and whatever its case; the words around it stay."""
    found = phrases("a Great Pumpkin beside Five candles", ["five", "great pumpkin"])
    assert "candles" in found
    assert "Pumpkin" in found
    assert not [phrase for phrase in found if "five" in phrase.casefold() or phrase == "Great Pumpkin"]


@pytest.mark.parametrize("text", ["", "...", "it is one of them", "{} <w>"])
def test_where_nothing_is_said_nothing_is_found(text: str) -> None:
    """Marks, function words and braces say nothing."""
    assert phrases(text) in ((), ("w",))


@given(st.text(max_size=300), st.lists(st.text(max_size=8), max_size=4))
def test_any_description_gives_phrases_that_fit_a_frame(text: str, names: list[str]) -> None:
    """Bounded in number and length, without braces, each once."""
    found = phrases(text, names)
    assert len(found) == len(set(found)) <= MOST_PHRASES
    for phrase in found:
        assert len(phrase.split()) <= LONGEST_PHRASE
        assert not set("{}<>") & set(phrase)


def test_every_frame_is_a_template_once_its_gaps_are_filled() -> None:
    """One slot, no gap left."""
    for frame in (*KIND.frames, *KIND.double_frames):
        text = framed(frame, "tally marks", "chalk")
        assert Template.parse(text).text.count("{}") == 1
        assert "<" not in text
        assert ("chalk" in text) == (frame in KIND.double_frames)
    assert len(set(NEUTRAL)) == len(NEUTRAL) > 100


@pytest.mark.parametrize(
    ("plural", "one"),
    [("marks", "mark"), ("boxes", "box"), ("berries", "berry"), ("dice", "dice"), ("glass", "glass"),
     ("gas", "gas"), ("axis", "axis"), ("dishes", "dish"), ("noses", "nose")],
)  # fmt: skip
def test_a_plural_has_a_singular(plural: str, one: str) -> None:
    """By its ending; what seems to be no plural is left alone."""
    assert singular(plural) == one
