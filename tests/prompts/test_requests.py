"""What is said to the LLM: the structure, the rules, the turns, and nothing of the data set."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.evaluator.scoring import OBJECTIVES
from promptclimb.prompts import requests
from promptclimb.prompts.requests import (
    MOST_NAMES,
    NAMES_OF_MANY,
    SCALES,
    SHORT_LINES,
    ChatMessage,
    Information,
    Outcome,
    Wanted,
    feedback,
    names_shown,
    next_message,
    opening,
    plain_request,
    request_ape,
    request_opro,
    request_pn,
    short_request,
)
from promptclimb.prompts.template import TEMPLATE_WORDS
from promptclimb.prompts.wording import built_in

BEST = [Outcome("a photo of a {}"), Outcome("a sketch of {}")]
WORST = [Outcome("{} in a box"), Outcome("my favourite {}")]


def wanted(proposals: int, max_words: int = 15, objective: str = "accuracy") -> Wanted:
    """The part of a request that says what to write."""
    return Wanted(words=TEMPLATE_WORDS, proposals=proposals, max_words=max_words, objective=objective)


def content_of(messages: list[ChatMessage]) -> str:
    assert [message["role"] for message in messages] == ["user"]
    return messages[0]["content"]


def test_pn_shows_the_best_first_and_the_worst_last() -> None:
    """Both lists stand in order, a line each, the good ones before the bad ones."""
    lines = content_of(request_pn(BEST, WORST, wanted=wanted(5))).splitlines()
    order = [lines.index(f"- {shown.text}") for shown in [*BEST, *WORST]]
    assert order == sorted(order)
    assert lines[order[0] - 1] == TEMPLATE_WORDS.heading("best")
    assert lines[order[2] - 1] == TEMPLATE_WORDS.heading("worst")


@pytest.mark.parametrize("build", ["pn", "p", "ape", "opro", "feedback"])
def test_every_request_states_the_rules_and_the_number(build: str) -> None:
    """Words at most, the slot, a structure like the best, one a line after a dash, and how many."""
    for proposals, number in [(7, "7 "), (1, "1 ")]:
        content = {
            "pn": lambda n: content_of(request_pn(BEST, WORST, wanted=wanted(n, 12))),
            "p": lambda n: content_of(request_pn(BEST, [], wanted=wanted(n, 12))),
            "ape": lambda n: content_of(request_ape(BEST[0], wanted=wanted(n, 12))),
            "opro": lambda n: content_of(request_opro([Outcome("a {}", 0.5)], wanted=wanted(n, 12))),
            "feedback": lambda n: feedback([], best_before=0.5, wanted=wanted(n, 12))["content"],
        }[build](proposals)
        assert f"rite {number}" in content
        assert "12 words at most" in content
        assert "slot {}" in content
        assert 'begins with "- "' in content


def test_feedback_says_what_each_proposal_did() -> None:
    """Rose, fell, stayed, or was not tried and why; then the best, and the next request."""
    message = feedback(
        [
            Outcome("a drawing of {}", 0.625),
            Outcome("the {}", 0.25),
            Outcome("an old {}", 7 / 12),
            Outcome("- a\n photo", reason="it has no slot {} for the class name"),
        ],
        best_before=7 / 12,
        wanted=wanted(3),
    )
    assert message["role"] == "user"
    lines = message["content"].splitlines()
    assert "- a drawing of {} (rose to 62.5 % from 58.3 %)" in lines
    assert "- the {} (fell to 25.0 % from 58.3 %)" in lines
    assert "- an old {} (stayed at 58.3 %)" in lines
    assert "- a photo (not tried: it has no slot {} for the class name)" in lines
    assert "The best so far is 62.5 %." in message["content"]
    unreadable = feedback([], best_before=0.5, wanted=wanted(3))["content"]
    assert unreadable.startswith("No template could be read in your answer.")


def test_unequal_scores_are_set_apart() -> None:
    """Two scores that differ never print alike, up to a ten-thousandth of a percent point."""
    written = SCALES["accuracy"].written
    assert written(0.58333) == "58.3 %"
    assert written(0.5833, 0.5834) == "58.33 %"
    assert written(0.5, 0.5) == "50.0 %"
    content = feedback([Outcome("{}", 0.50004)], best_before=0.5, wanted=wanted(1))["content"]
    assert "rose to 50.004 % from 50.000 %" in content
    assert SCALES["logprob"].written(-2.25) == "-2.250"
    assert SCALES["logprob"].written(-2.25001, -2.25) == "-2.25001"


def test_every_objective_has_its_words() -> None:
    """What is maximised is named as what it is, and no name is without words."""
    assert set(SCALES) == set(OBJECTIVES)
    tasks = {wanted(1, objective=objective).task for objective in SCALES}
    assert len(tasks) == len({scale.amount for scale in SCALES.values()}) == len(SCALES)


@pytest.mark.parametrize(
    ("objective", "value", "before", "shown", "written"),
    [
        ("class_mean", 0.625, 0.5, "(62.5 %)", "(rose to 62.5 % from 50.0 %)"),
        ("logprob", -2.25, -1.5, "(-2.250)", "(fell to -2.250 from -1.500)"),
        ("margin", 3.5, -0.25, "(3.500)", "(rose to 3.500 from -0.250)"),
    ],
)
def test_a_value_is_written_as_what_it_is(
    objective: str, value: float, before: float, shown: str, written: str
) -> None:
    """A log-probability is no share of pictures, and no percentage."""
    listed = content_of(request_opro([Outcome("a {}", value)], wanted=wanted(1, objective=objective)))
    assert f"- a {{}} {shown}" in listed
    turn = feedback([Outcome("a {}", value)], best_before=before, wanted=wanted(1, objective=objective))[
        "content"
    ]
    assert f"- a {{}} {written}" in turn
    assert turn.startswith(f"This is what your templates did to {SCALES[objective].amount}:")
    assert listed.startswith(wanted(1, objective=objective).task)
    if objective in ("logprob", "margin"):
        assert "%" not in listed + turn
        assert "sorted correctly" not in listed + turn


@given(st.text(max_size=300), st.text(max_size=50))
def test_a_refused_line_stays_one_line(line: str, reason: str) -> None:
    """Whatever a model wrote, it comes back to it as one short line."""
    content = feedback([Outcome(line, reason=reason)], best_before=0.5, wanted=wanted(1))["content"]
    first = content.splitlines()[1]
    assert first.startswith("- ")
    if len(reason.splitlines()) <= 1:
        assert "(not tried:" in first


def test_a_change_of_wording_changes_the_version() -> None:
    """The words and PROMPTS_VERSION change together: stored answers belong to what asked for them."""
    scored = [Outcome(shown.text, 0.5) for shown in BEST]
    everything = [
        request_pn(BEST, WORST, wanted=wanted(5)),
        request_pn(scored, [], wanted=wanted(1, 12)),
        request_ape(scored[0], wanted=wanted(2)),
        request_opro(scored, wanted=wanted(2)),
        feedback([Outcome("a {}", 0.625), Outcome("b", reason="why")], best_before=0.5, wanted=wanted(2)),
        feedback([], best_before=0.5, wanted=wanted(1)),
    ]
    digest = hashlib.sha256(json.dumps(everything).encode()).hexdigest()[:16]
    assert (requests.PROMPTS_VERSION, digest) == (3, "993ec1c7ca9e2af6")


WORDS = built_in()
KNOWN = Information(description="roman numerals on stone", class_names=("one", "two\nlines"), angle="a dial")
WANTED = Wanted(proposals=4, max_words=12, words=TEMPLATE_WORDS)
RANKED = [Outcome("a {}, carved", 0.75), Outcome("the {}", 0.5)]


def opened(known: Information = KNOWN, *, worst: list[Outcome] | None = None, anew: bool = False) -> str:
    """The one message of an opening."""
    (message,) = opening(WORDS, known, WANTED, best=RANKED, worst=worst or [], anew=anew)
    return message["content"]


def test_an_opening_says_what_is_known() -> None:
    """Class names on one line, the description, scores, how many templates and how long."""
    text = opened(worst=[Outcome("a {} indoors", 0.1)])
    for fact in (
        "one, two lines.",
        "roman numerals on stone",
        "- a {}, carved (75.0 %)",
        "- a {} indoors (10.0 %)",
    ):
        assert fact in text
    assert "Write 4 new templates" in text
    assert "at most 12 words" in text
    assert "a dial" not in text


def test_an_opening_without_knowledge_asks_for_guesses_and_a_later_one_begins_anew() -> None:
    """Without a description an angle is given; without class names nothing is said of classes."""
    text = opened(replace(KNOWN, description="", class_names=()))
    assert "a dial" in text
    assert "Form guesses" in text
    assert "The classes are" not in text
    assert ("First round" in opened(), "First round" in opened(anew=True)) == (True, False)


def test_many_class_names_are_a_sample_with_their_number() -> None:
    """Spread evenly, the first among them; few are listed in full."""
    many = [f"class {number}" for number in range(1_000)]
    shown = names_shown(many).split(", ")
    assert len(shown) == NAMES_OF_MANY
    assert shown[0] == "class 0"
    assert "There are 1000 classes" in opened(replace(KNOWN, class_names=many))
    assert len(names_shown(many[:MOST_NAMES]).split(", ")) == MOST_NAMES

    # Quotation marks, so that five classes do not read as six.
    assert names_shown(["give way", "yield, no entry", 'the "red, round" one']) == (
        'give way, "yield, no entry", "the \\"red, round\\" one"'
    )


def test_a_later_message_has_scores_best_first_refusals_and_confusions() -> None:
    """What was refused stands with its reason, and the best with what it confuses."""
    outcomes = [Outcome("low {}", 0.2), Outcome("no slot", reason="it has no slot"), Outcome("high {}", 0.8)]
    turn = next_message(WORDS, WANTED, outcomes=outcomes, best=RANKED, confused=[("three", "thir\nteen")])
    text = turn["content"]
    assert (
        text.index("high {} (80.0 %)")
        < text.index("low {} (20.0 %)")
        < text.index("not tried: it has no slot")
    )
    assert "'three' is most often taken for 'thir teen'" in text
    assert "Write 4 more" in text
    empty = next_message(WORDS, WANTED, outcomes=[], best=RANKED, confused=[])["content"]
    assert "No template could be read" in empty
    assert "a {}, carved" in empty
    assert "taken for" not in empty


def test_an_estimate_says_that_it_is_one() -> None:
    """In each list of scores and in feedback; never above what it is below, and never negative."""
    few, none = Outcome("b {}", 0.5496, pictures=6), Outcome("c {}", -1e-9, pictures=1)
    text = next_message(WORDS, WANTED, outcomes=[few], best=[*RANKED, few], confused=())["content"]
    assert text.count("- b {} (about 54 %, judged by 6 pictures)") == 2
    assert "- a {}, carved (75.0 %)" in text
    assert "- b {} (about 54 %, judged by 6 pictures)" in content_of(request_opro([few], wanted=WANTED))
    assert "- c {} (about 0 %, judged by 1 picture)" in content_of(request_opro([none], wanted=WANTED))
    lines = feedback([few, Outcome("d {}", 0.5)], best_before=0.25, wanted=WANTED)["content"]
    assert "- b {} (about 54 %, judged by 6 pictures)\n- d {} (rose to 50.0 % from 25.0 %)" in lines


def test_a_short_request_stands_by_itself() -> None:
    """Worked examples as earlier turns, no scores, and no class names where the pictures are described."""
    *before, last = short_request(WORDS, KNOWN, proposals=20)
    assert [message["role"] for message in before] == ["system", "user", "assistant", "user", "assistant"]
    assert f"Write {SHORT_LINES} caption templates" in last["content"]
    assert "roman numerals on stone" in last["content"]
    assert "one" not in last["content"].split()
    assert "%" not in "".join(message["content"] for message in before)


def test_a_request_for_plain_words_is_no_longer_than_one_for_templates() -> None:
    """It has the description and no class names, and asks for no template."""
    *before, last = plain_request(WORDS, KNOWN.description)
    assert [message["role"] for message in before] == ["system", "user", "assistant", "user", "assistant"]
    assert "roman numerals on stone" in last["content"]
    assert "[CLASS]" not in str(before)
    assert len(str([*before, last])) < len(str(short_request(WORDS, KNOWN, proposals=SHORT_LINES)))


@pytest.mark.parametrize(("class_names", "words"), [(KNOWN.class_names, "one, two lines"), ((), "a dial")])
def test_a_short_request_has_class_names_where_nothing_else_is_known(
    class_names: tuple[str, ...], words: str
) -> None:
    """With an angle, so that requests differ; and with nothing at all the angle alone."""
    known = Information(description="", class_names=class_names, angle="a dial")
    ask = short_request(WORDS, known, proposals=3)[-1]["content"]
    assert words in ask
    assert "a dial" in ask
