"""What is said to the LLM: the structure, the rules, the turns, and nothing of the data set."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.evaluator.scoring import OBJECTIVES
from promptclimb.prompts import requests
from promptclimb.prompts.measures import MEASURES
from promptclimb.prompts.requests import (
    Message,
    Outcome,
    feedback,
    request_ape,
    request_opro,
    request_p,
    request_pn,
)

BEST = [Outcome("a photo of a {}"), Outcome("a sketch of {}")]
WORST = [Outcome("{} in a box"), Outcome("my favourite {}")]


def said(messages: list[Message]) -> str:
    assert [message["role"] for message in messages] == ["user"]
    return messages[0]["content"]


def test_pn_shows_the_best_first_and_the_worst_last() -> None:
    """Both lists stand in order, a line each, the good ones before the bad ones."""
    lines = said(request_pn(BEST, WORST, proposals=5, max_words=15)).splitlines()
    order = [lines.index(f"- {shown.template}") for shown in [*BEST, *WORST]]
    assert order == sorted(order)
    assert lines[order[0] - 1] == requests.BEST_HEADING
    assert lines[order[2] - 1] == requests.WORST_HEADING


def test_p_shows_the_best_alone_and_pn_without_worst_is_p() -> None:
    """Where a pool is too small for a bad list, the request is that of method p."""
    text = said(request_p(BEST, proposals=2, max_words=15))
    assert "- a sketch of {}" in text
    assert "badly" not in text
    assert request_pn(BEST, [], proposals=2, max_words=15) == request_p(BEST, proposals=2, max_words=15)


@pytest.mark.parametrize("build", ["pn", "p", "ape", "opro", "feedback"])
def test_every_request_states_the_rules_and_the_number(build: str) -> None:
    """Words at most, the slot, a structure like the best, one a line after a dash, and how many."""
    for proposals, number in [(7, "7 "), (1, "1 ")]:
        content = {
            "pn": lambda n: said(request_pn(BEST, WORST, proposals=n, max_words=12)),
            "p": lambda n: said(request_p(BEST, proposals=n, max_words=12)),
            "ape": lambda n: said(request_ape(BEST[0], proposals=n, max_words=12)),
            "opro": lambda n: said(request_opro([Outcome("a {}", 0.5)], proposals=n, max_words=12)),
            "feedback": lambda n: feedback([], best_before=0.5, proposals=n, max_words=12)["content"],
        }[build](proposals)
        assert f"rite {number}" in content
        assert "12 words at most" in content
        assert "slot {}" in content
        assert 'begins with "- "' in content


def test_scores_are_shown_only_where_given() -> None:
    """A template without a score is the bare template; with one, percent in brackets."""
    text = said(request_opro([Outcome("a {}", 0.25), Outcome("the old {}", 0.5)], proposals=1, max_words=15))
    assert text.index("- a {} (25.0 %)") < text.index("- the old {} (50.0 %)")
    assert "%" not in said(request_pn(BEST, WORST, proposals=1, max_words=15))


def test_feedback_tells_what_each_proposal_did() -> None:
    """Rose, fell, stayed, or was not tried and why; then the best, and the next request."""
    message = feedback(
        [
            Outcome("a drawing of {}", 0.625),
            Outcome("the {}", 0.25),
            Outcome("an old {}", 7 / 12),
            Outcome("- a\n photo", reason="it has no slot {} for the class name"),
        ],
        best_before=7 / 12,
        proposals=3,
        max_words=15,
    )
    assert message["role"] == "user"
    lines = message["content"].splitlines()
    assert "- a drawing of {} (rose to 62.5 % from 58.3 %)" in lines
    assert "- the {} (fell to 25.0 % from 58.3 %)" in lines
    assert "- an old {} (stayed at 58.3 %)" in lines
    assert "- a photo (not tried: it has no slot {} for the class name)" in lines
    assert "The best so far is 62.5 %." in message["content"]


def test_feedback_on_an_unreadable_answer_says_what_is_wanted() -> None:
    """With nothing read, the model is told the form again."""
    content = feedback([], best_before=0.5, proposals=3, max_words=15)["content"]
    assert content.startswith("No template could be read in your answer.")


def test_unequal_scores_are_set_apart() -> None:
    """Two scores that differ never print alike, up to a ten-thousandth of a percent point."""
    written = MEASURES["accuracy"].written
    assert written(0.58333) == "58.3 %"
    assert written(0.5833, 0.5834) == "58.33 %"
    assert written(0.5, 0.5) == "50.0 %"
    content = feedback([Outcome("{}", 0.50004)], best_before=0.5, proposals=1, max_words=15)["content"]
    assert "rose to 50.004 % from 50.000 %" in content
    assert MEASURES["logprob"].written(-2.25) == "-2.250"
    assert MEASURES["logprob"].written(-2.25001, -2.25) == "-2.25001"


def test_every_objective_has_its_words() -> None:
    """What is maximised is named as what it is, and no name is without words."""
    assert set(MEASURES) == set(OBJECTIVES)
    assert len({measure.task for measure in MEASURES.values()}) == len(MEASURES)
    assert len({measure.outcomes for measure in MEASURES.values()}) == len(MEASURES)


@pytest.mark.parametrize(
    ("objective", "value", "before", "shown", "told"),
    [
        ("class_mean", 0.625, 0.5, "(62.5 %)", "(rose to 62.5 % from 50.0 %)"),
        ("logprob", -2.25, -1.5, "(-2.250)", "(fell to -2.250 from -1.500)"),
        ("margin", 3.5, -0.25, "(3.500)", "(rose to 3.500 from -0.250)"),
    ],
)
def test_a_value_is_told_as_what_it_is(
    objective: str, value: float, before: float, shown: str, told: str
) -> None:
    """A log-probability is no share of pictures, and no percentage."""
    listed = said(request_opro([Outcome("a {}", value)], proposals=1, max_words=15, objective=objective))
    assert f"- a {{}} {shown}" in listed
    turn = feedback(
        [Outcome("a {}", value)], best_before=before, proposals=1, max_words=15, objective=objective
    )["content"]
    assert f"- a {{}} {told}" in turn
    assert turn.startswith(MEASURES[objective].outcomes)
    for build in (request_p, request_opro):
        text = said(build([Outcome("a {}", value)], proposals=1, max_words=15, objective=objective))
        assert text.startswith(MEASURES[objective].task)
    if objective in ("logprob", "margin"):
        assert "%" not in listed + turn
        assert "sorted correctly" not in listed + turn


@given(st.text(max_size=300), st.text(max_size=50))
def test_a_refused_line_stays_one_line(line: str, reason: str) -> None:
    """Whatever a model wrote, it comes back to it as one short line."""
    content = feedback([Outcome(line, reason=reason)], best_before=0.5, proposals=1, max_words=15)["content"]
    first = content.splitlines()[1]
    assert first.startswith("- ")
    if len(reason.splitlines()) <= 1:
        assert "(not tried:" in first


def test_a_change_of_wording_changes_the_version() -> None:
    """The words and PROMPTS_VERSION change together: stored answers belong to what asked for them."""
    scored = [Outcome(shown.template, 0.5) for shown in BEST]
    everything = [
        request_pn(BEST, WORST, proposals=5, max_words=15),
        request_p(scored, proposals=1, max_words=12),
        request_ape(scored[0], proposals=2, max_words=15),
        request_opro(scored, proposals=2, max_words=15),
        feedback(
            [Outcome("a {}", 0.625), Outcome("b", reason="why")], best_before=0.5, proposals=2, max_words=15
        ),
        feedback([], best_before=0.5, proposals=1, max_words=15),
    ]
    digest = hashlib.sha256(json.dumps(everything).encode()).hexdigest()[:16]
    assert (requests.PROMPTS_VERSION, digest) == (3, "993ec1c7ca9e2af6")
