"""What of a description may stand in a caption, and the frames that it is put into."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.prompts.frames import (
    DOUBLE_FRAMES,
    FRAMES,
    LONGEST_PHRASE,
    MOST_PHRASES,
    NEUTRAL,
    framed,
    phrases,
    singular,
)
from promptclimb.prompts.template import Template


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
    for frame in (*FRAMES, *DOUBLE_FRAMES):
        text = framed(frame, "tally marks", "chalk")
        assert Template.parse(text).text.count("{}") == 1
        assert "<" not in text
        assert ("chalk" in text) == (frame in DOUBLE_FRAMES)
    assert len(set(NEUTRAL)) == len(NEUTRAL) > 100


@pytest.mark.parametrize(
    ("plural", "one"),
    [("marks", "mark"), ("boxes", "box"), ("berries", "berry"), ("dice", "dice"), ("glass", "glass"),
     ("gas", "gas"), ("axis", "axis"), ("dishes", "dish"), ("noses", "nose")],
)  # fmt: skip
def test_a_plural_has_a_singular(plural: str, one: str) -> None:
    """By its ending; what seems to be no plural is left alone."""
    assert singular(plural) == one
