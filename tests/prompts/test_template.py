"""Templates: what is one, what is not, which two are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.prompts.kinds import CandidateError
from promptclimb.prompts.template import MAX_CHARACTERS, SLOT, Template

WORDS = st.text(alphabet="abcdeé漢 .,'\"“”‘’`-{}", max_size=60)
ANY_TEXT = st.one_of(
    st.text(max_size=80),
    WORDS,
    st.lists(st.sampled_from(["{}", "a ", "photo", '"', "'", " ", "\n"])).map("".join),
)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("a photo of a {}", "a photo of a {}"),
        ("  a photo\tof   a {}  \n", "a photo of a {}"),
        ('"a photo of a {}."', "a photo of a {}."),
        ("“a photo of a {}”", "a photo of a {}"),
        ("`'a photo of a {}'`", "a photo of a {}"),
        ("'a child's drawing of a {}'", "a child's drawing of a {}"),
        ('"{}" in a "sign"', '"{}" in a "sign"'),
        ('a sign that says "{}"', 'a sign that says "{}"'),
        ("{} beside {}", "{} beside {}"),
        ("{}", "{}"),
        ("a photo of a {}s", "a photo of a {}s"),
        ("eine Zeichnung von {} für Kinder", "eine Zeichnung von {} für Kinder"),
        ("an emoji 👩\u200d🚀 of {}", "an emoji 👩\u200d🚀 of {}"),
    ],
)
def test_parse_tidies_and_keeps_the_words(raw: str, text: str) -> None:
    """Spaces and quotes around a template go, its words, inner quotes and full stop stay."""
    assert Template.parse(raw).text == text


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "empty"),
        (' "" ', "empty"),
        ("a photo", "no_slot"),
        ("a photo of { }", "stray_brace"),
        ("{foo} {}", "stray_brace"),
        ("a {} }", "stray_brace"),
        ("{{}}", "stray_brace"),
        ("a photo\nof a {}", "control_character"),
        ("a photo\u2028of a {}", "control_character"),
        ("a photo\x00of a {}", "control_character"),
        ("a photo \u202eof a {}", "control_character"),
        ("a photo\u200b of a {}", "control_character"),
        ("a \ud800 {}", "control_character"),
        ("x" * MAX_CHARACTERS + "{}", "too_long"),
        ("{}" * 1_000_000, "too_long"),
        (
            "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen {}",
            "too_many_words",
        ),
    ],
)
def test_parse_refuses_with_a_reason(raw: str, reason: str) -> None:
    """What is no template raises an error that carries a slug and a short message."""
    with pytest.raises(CandidateError) as caught:
        Template.parse(raw)
    assert caught.value.reason == reason
    assert 5 < len(str(caught.value)) < 200


def test_fifteen_words_are_allowed_and_the_limit_can_be_lifted() -> None:
    """The limit counts the slot as a word; None lifts it."""
    assert Template.parse("w " * 14 + "{}").text.count("w") == 14
    assert Template.parse("w " * 40 + "{}", max_words=None).text.count("w") == 40
    with pytest.raises(CandidateError, match="16 words, at most 15"):
        Template.parse("w " * 15 + "{}")


def test_the_constructor_lets_nothing_unchecked_through() -> None:
    """A Template that exists is valid, however it was made."""
    with pytest.raises(CandidateError) as caught:
        Template("no slot")
    assert caught.value.reason == "no_slot"
    with pytest.raises(CandidateError) as caught:
        Template('"a {}"')
    assert caught.value.reason == "untidy"


@pytest.mark.parametrize(
    "spelling",
    [
        "A photo of the {}", "a  photo of {}.", "‘A Photo’ of an {}", "“a photo of a {}...”",
        "a photo of {} .", "A PHOTO OF A {}", "a ｐhoto of a {}",
    ],
)  # fmt: skip
def test_spellings_of_one_template_share_a_key(spelling: str) -> None:
    """Case, quotes, spacing, articles and the final full stop do not make a new template."""
    assert Template.parse(spelling).key == Template.parse("a photo of a {}").key


@pytest.mark.parametrize(
    "other", ["a photo of {}s", "a photo of a {}!", "a photo of a {} {}", "a photo of another {}", "photo {}"]
)
def test_other_words_are_another_key(other: str) -> None:
    """Anything that changes the words or marks is another template."""
    assert Template.parse(other).key != Template.parse("a photo of a {}").key


@given(ANY_TEXT)
def test_parse_gives_a_fixed_point_or_a_template_error(raw: str) -> None:
    """No text raises anything but CandidateError, and a parsed text parses to itself."""
    try:
        template = Template.parse(raw)
    except CandidateError:
        return
    assert Template.parse(template.text) == template
    assert SLOT in template.text
    assert SLOT in template.key
    assert "{" not in template.text.replace(SLOT, "x")
