"""The texts of the method ``guided``."""

from __future__ import annotations

from promptclimb.prompts.replies import parse_reply
from promptclimb.prompts.wording import built_in


def test_what_is_said_holds_values_as_they_are() -> None:
    """A description with a dollar sign or a brace is no place and no slot."""
    text = built_in().say("rich.described", description="prices in $count and {braces}")
    assert text.endswith("prices in $count and {braces}")


def test_the_examples_show_what_can_be_read() -> None:
    """Each worked answer is all templates, with the slot as a small model is asked to write it."""
    for asked, answered in built_in().examples:
        reply = parse_reply(answered)
        assert len(reply.candidates) == len(answered.splitlines()) == 5, asked
        assert not reply.refused
