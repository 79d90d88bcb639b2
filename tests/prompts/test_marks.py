"""What is taken off a proposal: each rule by its example, and in a bounded number of steps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from promptclimb.prompts import replies
from promptclimb.prompts.marks import MARKS, Mark, without_marks
from promptclimb.prompts.replies import MAX_LINE_CHARACTERS, parse_reply
from promptclimb.prompts.template import Template

PIECES = (
    *("- ", "1. ", "# ", "- #", "template: ", "**a:** ", "> - ", "[x] ", '"', "'", "“a” ", "\\", "**", "*a "),
    *(" (5 %)", " (new)", " -> a", ": a", " because", "\\*", "%", ",;", ")", " ", "{", "[a] ", "“'`\""),
)
FORMS = ("{wrapped}a {{}}", "- a {{}}{wrapped}", "- a {{}}{wrapped}%", "a {{}} {wrapped})")


def steps(work: Callable[[], object]) -> int:
    """Calls that a piece of work makes, of Python's functions and of C's."""
    count = 0

    def called(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    replies._read_line.cache_clear()  # what was read before takes none
    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark.name)
def test_each_rule_takes_off_what_it_names(mark: Mark) -> None:
    """Its own example loses it, and a line without it is left as it is."""
    assert mark.taken_off(mark.written) == mark.read
    assert mark.taken_off("a {} in a thin fog") == "a {} in a thin fog"
    assert without_marks(mark.written) == without_marks(mark.read)


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("form", FORMS)
def test_no_line_takes_many_steps_however_much_is_wrapped_around_it(form: str, piece: str) -> None:
    """A thousand marks are taken off together, or not at all: not one by one, each through the whole line."""
    plain = steps(lambda: parse_reply("- a photo of a {}"))
    wrapped = piece * ((MAX_LINE_CHARACTERS - 20) // len(piece))
    # A mark of its own may be looked at once, in one call of C, for each of its characters.
    assert steps(lambda: parse_reply(form.format(wrapped=wrapped))) < 40 * plain + 6 * len(wrapped)


def test_more_layers_than_anybody_writes_are_refused() -> None:
    """What does not settle is no template, and says so."""
    reply = parse_reply("- " + "- **a:** template: " * 60 + "a {}")
    assert [refusal.reason for refusal in reply.refused] == ["untidy"]
    assert reply.templates == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("- a {} in a lake: because water is good", "a {} in a lake"),
        ("- a photo of a {}: keeps it simple", "a photo of a {}"),
        ("- a photo of a {} - keeps it simple", "a photo of a {}"),
        ("- a photo of a {} (this is plain)", "a photo of a {}"),
        ('- "a photo of a {}" because it is simple', "a photo of a {}"),
        ("- a {} in bloom -> rose", "a {} in bloom"),
        ("- a {} in fog (new)", "a {} in fog"),
        ("- a {} in fog (-2.250)", "a {} in fog"),
        ("- a {} in fog (fell to -2.25001 from -2.25000)", "a {} in fog"),
        # What only looks like one of them is left.
        ("- a caption: a {}", "a caption: a {}"),
        ("- {}: a portrait", "{}: a portrait"),
        ("- a {} - oil on canvas", "a {} - oil on canvas"),
        ("- a {} (close up)", "a {} (close up)"),
        ('- a {} with a sign "open: all day"', 'a {} with a sign "open: all day"'),
        ("- *a {} in fog*", "a {} in fog"),
        ("*a {} in fog", "a {} in fog"),
    ],
)
def test_what_follows_a_template_is_told_from_it(line: str, expected: str) -> None:
    """An explanation, an example, a remark and a score go; a caption's own colon, dash and brackets stay."""
    assert [template.text for template in parse_reply(line).templates] == [Template(expected).text]
