"""The requests of guided say all that is known, and no more."""

from __future__ import annotations

from dataclasses import replace

from promptclimb.prompts.measures import MEASURES
from promptclimb.prompts.requests import Outcome
from promptclimb.prompts.telling import (
    MOST_NAMES,
    NAMES_OF_MANY,
    SHORT_LINES,
    Told,
    Wanted,
    names_shown,
    next_turn,
    opening,
    plain_request,
    short_request,
)
from promptclimb.prompts.wording import built_in

WORDS = built_in()
TOLD = Told(description="roman numerals on stone", class_names=("one", "two\nlines"), angle="a dial")
WANTED = Wanted(proposals=4, max_words=12, measure=MEASURES["accuracy"])
BEST = [Outcome("a {}, carved", 0.75), Outcome("the {}", 0.5)]


def opened(told: Told = TOLD, *, worst: list[Outcome] | None = None, anew: bool = False) -> str:
    """The one message of an opening."""
    (message,) = opening(WORDS, told, WANTED, best=BEST, worst=worst or [], anew=anew)
    return message["content"]


def test_an_opening_says_what_is_known() -> None:
    """Class names on one line, the description, scores, how many templates and how long."""
    text = opened(worst=[Outcome("a {} indoors", 0.1)])
    for said in (
        "one, two lines.",
        "roman numerals on stone",
        "- a {}, carved (75.0 %)",
        "- a {} indoors (10.0 %)",
    ):
        assert said in text
    assert "Write 4 new templates" in text
    assert "at most 12 words" in text
    assert "a dial" not in text


def test_what_is_not_known_is_asked_for_as_guesses() -> None:
    """Without a description an angle is given; without class names nothing is said of classes."""
    text = opened(replace(TOLD, description="", class_names=()))
    assert "a dial" in text
    assert "The classes are" not in text
    assert "Form guesses" in text


def test_a_later_conversation_begins_anew() -> None:
    """It is not told that this is the first round."""
    assert "First round" in opened()
    assert "First round" not in opened(anew=True)


def test_many_class_names_are_a_sample_with_their_number() -> None:
    """Spread evenly, the first among them; few are told in full."""
    many = [f"class {number}" for number in range(1_000)]
    shown = names_shown(many).split(", ")
    assert len(shown) == NAMES_OF_MANY
    assert shown[0] == "class 0"
    assert "There are 1000 classes" in opened(replace(TOLD, class_names=many))
    assert len(names_shown(many[:MOST_NAMES]).split(", ")) == MOST_NAMES


def test_a_later_turn_tells_scores_best_first_refusals_and_confusions() -> None:
    """What was refused is told with its reason; of the best it is said what it confuses."""
    outcomes = [Outcome("low {}", 0.2), Outcome("no slot", reason="it has no slot"), Outcome("high {}", 0.8)]
    turn = next_turn(WORDS, WANTED, outcomes=outcomes, best=BEST, confused=[("three", "thir\nteen")])
    text = turn["content"]
    assert (
        text.index("high {} (80.0 %)")
        < text.index("low {} (20.0 %)")
        < text.index("not tried: it has no slot")
    )
    assert "'three' is most often taken for 'thir teen'" in text
    assert "Write 4 more" in text


def test_an_answer_without_a_template_is_told_the_form() -> None:
    """And what is best all the same."""
    text = next_turn(WORDS, WANTED, outcomes=[], best=BEST, confused=[])["content"]
    assert "No template could be read" in text
    assert "a {}, carved" in text
    assert "taken for" not in text


def test_a_short_request_stands_by_itself() -> None:
    """Worked examples as earlier turns, no scores, and no class names where the pictures are described."""
    *before, last = short_request(WORDS, TOLD, proposals=20)
    assert [message["role"] for message in before] == ["system", "user", "assistant", "user", "assistant"]
    assert f"Write {SHORT_LINES} caption templates" in last["content"]
    assert "roman numerals on stone" in last["content"]
    assert "one" not in last["content"].split()
    assert "%" not in "".join(message["content"] for message in before)


def test_a_request_for_plain_words_shows_the_form_and_is_no_longer_than_one_for_templates() -> None:
    """It has the description and no class names, and asks for no template."""
    *before, last = plain_request(WORDS, TOLD.description)
    assert [message["role"] for message in before] == ["system", "user", "assistant", "user", "assistant"]
    assert "roman numerals on stone" in last["content"]
    assert "[CLASS]" not in str(before)
    short = short_request(WORDS, TOLD, proposals=SHORT_LINES)
    assert len(str([*before, last])) < len(str(short))


def test_a_short_request_has_class_names_where_nothing_else_is_known() -> None:
    """With an angle, so that requests differ; and with nothing at all the angle alone."""
    guess = short_request(WORDS, replace(TOLD, description=""), proposals=3)[-1]["content"]
    assert "one, two lines" in guess
    assert "a dial" in guess
    blind = short_request(WORDS, Told(description="", class_names=(), angle="a dial"), proposals=3)[-1][
        "content"
    ]
    assert "a dial" in blind
