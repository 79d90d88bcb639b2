"""Numbers with their nouns, and several things in a row."""

from __future__ import annotations

import pytest

from promptclimb.evaluator.counts import counted, enumerated


@pytest.mark.parametrize(
    ("number", "words", "expected"),
    [
        (1, ("call",), "1 call"),
        (0, ("call",), "0 calls"),
        (1200, ("call",), "1,200 calls"),
        (1, ("such class", "such classes"), "1 such class"),
        (2, ("such class", "such classes"), "2 such classes"),
    ],
)
def test_one_of_a_thing_is_no_plural(number: int, words: tuple[str, ...], expected: str) -> None:
    """Its noun stands in the singular, whatever its plural looks like."""
    assert counted(number, *words) == expected


@pytest.mark.parametrize(
    ("things", "expected"), [("", ""), ("a", "a"), ("ab", "a and b"), ("abc", "a, b and c")]
)
def test_several_things_are_told_with_one_and(things: str, expected: str) -> None:
    """Before the last; commas between the others."""
    assert enumerated(things) == expected
