"""Text for people and for machines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.text import visible, whole_characters


def test_a_character_that_was_cut_is_replaced() -> None:
    """Half an emoji cannot be encoded; two halves that stand together are one."""
    assert whole_characters("a \ud83d") == "a \ufffd"
    assert whole_characters("\udcf7 b") == "\ufffd b"
    assert whole_characters("\ud83d\udcf7") == "\U0001f4f7"


@given(st.text(st.characters(exclude_categories=[])))
def test_what_comes_out_can_be_encoded(text: str) -> None:
    """And whatever could be before is as it was."""
    whole = whole_characters(text)
    assert whole.encode("utf-8").decode("utf-8") == whole
    if text.isascii():
        assert whole == text


def test_what_turns_or_hides_text_is_written_as_an_escape() -> None:
    """A page would show what follows backwards; letters of any script and emoji stay as they are."""
    assert visible("a\u202egnp.exe\u2066\u200b\u2028b") == "a\\u202egnp.exe\\u2066\\u200b\\u2028b"
    assert visible("a\x1b[31m\nb") == "a [31m\nb"
    for text in ("قطة", "می\u200cخواهم", "\U0001f469\u200d\U0001f52c", "un\u00a0chat"):
        assert visible(text) == text
