from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.evaluator.clip.tokens import Filler, Reader
from tests.fakes.tiny_clip import tokenizer_of

TOKENIZER = tokenizer_of("clip")
ODD_NAMES = [
    "cat", "don't", "7-up", "'s", "A&amp;B", "café", "  padded ", "x.", "{}", "100%", "東京", "<end_of_text>",
    "a",
]  # fmt: skip
LETTERS = string.ascii_letters + string.digits + " .,'-!?()&<>é%\"\n"


def encode(text: str) -> list[int]:
    return [TOKENIZER.sot_token_id, *TOKENIZER.encode(text), TOKENIZER.eot_token_id]


@given(
    parts=st.lists(st.text(LETTERS, max_size=12), min_size=2, max_size=4),
    names=st.just(ODD_NAMES) | st.lists(st.text(LETTERS, min_size=1, max_size=12), min_size=1, max_size=6),
)
def test_tokens_put_together_are_those_of_the_whole_text(parts: list[str], names: list[str]) -> None:
    """Whatever stands in the slot and around it, the tokens are those of the filled text, name by name."""
    template = "{}".join(parts)
    filler = Filler(TOKENIZER, names, 77)
    assert filler.rows(template) == [encode(template.replace("{}", name)) for name in names]


def test_the_shared_beginning_is_what_all_classes_have_in_common() -> None:
    """Every text keeps at least its last token for itself."""
    texts = Filler(TOKENIZER, ["cat", "dog"], 77).texts("a photo of a {}.", Reader())
    assert [text.shared for text in texts] == [5, 5]
    assert [len(text.tokens) for text in texts] == [8, 8]
    same = Filler(TOKENIZER, ["cat", "cat"], 77).texts("a {}", Reader())
    assert {text.shared for text in same} == {3}
    nested = Filler(TOKENIZER, ["sea", "sea snake"], 77).texts("{}", Reader())
    assert {text.shared for text in nested} == {2}


@pytest.mark.parametrize(("words", "fits"), [(74, True), (75, False)])
def test_the_limit_counts_start_and_end(words: int, fits: bool) -> None:
    """A text of exactly the context length is read, one more token is not."""
    rejection = Filler(TOKENIZER, ["cat"], 77).check("a " * words + "{}")
    assert (rejection is None) is fits
    if rejection is not None:
        assert rejection.message == "78 tokens with the class name 'cat', and this model reads 77"


def test_a_tokenizer_of_another_kind_is_counted_too() -> None:
    """Counts come from the tokenizer itself where its inside is not known."""
    other = tokenizer_of("other-cleaning")
    filler = Filler(other, ["cat", "a rather long name of a cat"], 77)
    assert filler.check("a {}") is None
    rejection = filler.check("a " * 73 + "{}")
    assert rejection is not None
    assert rejection.message.startswith("82 tokens with the class name 'a rather long")


def test_no_slot_is_said() -> None:
    """A template without a slot can never be scored."""
    rejection = Filler(TOKENIZER, ["cat"], 77).check("a photo")
    assert rejection is not None
    assert rejection.reason == "no_slot"


def test_reading_places() -> None:
    """A text is cut at its largest token, or at the first end-of-text token, as its tower reads it."""
    assert Reader().cut([5, 9, 2, 9, 0]) == (5, 9)
    assert Reader(eos=2).cut([5, 9, 2, 2]) == (5, 9, 2)
    assert Reader(eos=7).cut([5, 9, 2]) == (5,)
