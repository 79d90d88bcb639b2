"""Wordings are data: the built-in ones are whole, and a file replaces what it may and nothing else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.prompts.replies import parse_reply
from promptclimb.prompts.wording import SIZE_LIMIT, WordingsError, built_in, with_changes

BAD = {
    "no TOML": ("rich = [", "not TOML"),
    "a text of another name": ('[rich]\ntusk = "x {}"', "there is no text rich.tusk; known are rich.task"),
    "a group of another name": ('[poor]\ntask = "x"', "there is no text poor.task"),
    "a text outside of a group": ('task = "x"', "task stands outside"),
    "no text": ("[rich]\nbest = 3", "rich.best is not a text"),
    "an empty text": ('[rich]\nbest = " "', "rich.best is not a text"),
    "a place that there is not": (
        '[rich]\nnext = "$count of $secret"',
        r"the place \$secret; it may have \$count",
    ),
    "a lone dollar": ('[rich]\nnext = "$ 5"', r"write \$\$"),
    "a form that does not say the slot": ('[rich]\nform = "one a line"', "rich.form does not say"),
    "no angles": ("[guesses]\nangles = []", "guesses.angles is not a list"),
    "an example without an answer": ('[[short.examples]]\nask = "x"', "short.examples: answer"),
    "a plain example without an answer": (
        '[[short.plain_examples]]\nask = "x"',
        "short.plain_examples: answer",
    ),
    "too much": ("#" * (SIZE_LIMIT + 1), "64 KiB"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_cannot_be_used_says_what_is_wrong(kind: str) -> None:
    """Which text, and what to do."""
    text, message = BAD[kind]
    with pytest.raises(WordingsError, match=message):
        with_changes(text)


def test_a_file_replaces_the_texts_that_it_has() -> None:
    """The others stay, and the hash differs."""
    changed = with_changes('[rich]\nnext = "$$5 for $count more"\n[guesses]\nangles = ["a map"]')
    assert changed.say("rich.next", count=3) == "$5 for 3 more"
    assert changed.angles == ("a map",)
    assert changed.texts["rich.task"] == built_in().texts["rich.task"]
    assert changed.examples == built_in().examples
    plain = with_changes('[[short.plain_examples]]\nask = "a"\nanswer = "- b"')
    assert (plain.plain_examples, plain.examples) == ((("a", "- b"),), built_in().examples)
    assert plain.hash != built_in().hash
    assert changed.hash != built_in().hash
    assert with_changes("").hash == built_in().hash


@given(st.text(max_size=300))
def test_any_file_is_read_or_refused_in_words(text: str) -> None:
    """Nothing else is raised."""
    with contextlib.suppress(WordingsError):
        assert with_changes(text).say("rich.best")


def test_what_is_said_holds_values_as_they_are() -> None:
    """A description with a dollar sign or a brace is no place and no slot."""
    said = built_in().say("rich.described", description="prices in $count and {braces}")
    assert said.endswith("prices in $count and {braces}")


def test_the_examples_show_what_can_be_read() -> None:
    """Each worked answer is all templates, with the slot as a small model is asked to write it."""
    for asked, answered in built_in().examples:
        reply = parse_reply(answered)
        assert len(reply.candidates) == len(answered.splitlines()) == 5, asked
        assert not reply.refused
