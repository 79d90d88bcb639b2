"""Methods: what each asks for, from what it sees alone."""

from __future__ import annotations

import pytest

from promptclimb.agent.methods.base import Ask, Feedback, Propose
from promptclimb.agent.methods.registry import METHODS, described
from promptclimb.evaluator.scoring import Objective
from promptclimb.prompts.requests import Outcome
from promptclimb.prompts.template import Template
from promptclimb.prompts.template_kind import BUILT_IN
from tests.fakes.restart_view import add, falling, memory_of, view_of

TEXTS = [f"template number {number} of a {{}}" for number in range(10)]
POOL = [Template.parse(text) for text in BUILT_IN[:60]]


def asked(step: object) -> str:
    """The last message of a request."""
    assert isinstance(step, Ask)
    return step.messages[-1]["content"]


def test_pn_shows_both_ends_and_p_only_the_best() -> None:
    """Best and worst never overlap."""
    both = asked(next(METHODS["pn"].conversation(view_of(falling(TEXTS, 1.0)))))
    best = asked(next(METHODS["p"].conversation(view_of(falling(TEXTS, 1.0)))))
    assert all(text in both for text in [*TEXTS[:3], *TEXTS[-3:]])
    assert TEXTS[4] not in both
    assert all(text in best for text in TEXTS[:3])
    assert TEXTS[-1] not in best


def test_pn_shows_the_worst_one_last() -> None:
    """As the heading says."""
    text = asked(next(METHODS["pn"].conversation(view_of(falling(TEXTS, 1.0)))))
    assert [line for line in text.splitlines() if line.startswith("- template")][3:] == [
        f"- {text}" for text in TEXTS[-3:]
    ]


def test_pn_shows_no_template_as_bad_that_is_as_good_as_the_best() -> None:
    """Where all score alike there is no direction to read, and the request is that of method p."""
    memory = memory_of((text, 1.0) for text in TEXTS)
    first, other = (asked(next(METHODS[name].conversation(view_of(memory)))) for name in ("pn", "p"))
    assert first == other
    assert "badly" not in first


@pytest.mark.parametrize(("objective", "value"), [("logprob", -2.25), ("margin", 1.5)])
def test_requests_name_what_is_maximised(objective: Objective, value: float) -> None:
    """No log-probability is written as a percentage, in a list or in what came of proposals."""
    memory = memory_of([("a {}", value)])
    for name in ("opro", "pn", "p", "ape"):
        steps = METHODS[name].conversation(view_of(memory, objective=objective))
        said = asked(next(steps))
        said += asked(steps.send(Feedback(outcomes=[Outcome("b {}", score=value - 1)], best_before=value)))
        assert "%" not in said
        assert view_of(memory, objective=objective).wanted.task in said
        if name != "ape":
            assert f"{value:.3f}" in said


@pytest.mark.parametrize("name", ["pn", "p"])
def test_a_conversation_says_what_the_proposals_scored(name: str) -> None:
    """The next request holds the opening, the answer, and each outcome against the best before it."""
    steps = METHODS[name].conversation(view_of(falling(TEXTS, 1.0)))
    opening = asked(next(steps))
    outcomes = [Outcome("a new {}", score=0.75), Outcome("none", reason="it has no slot")]
    step = steps.send(Feedback(text="- a new {}", outcomes=outcomes, best_before=0.5))
    assert isinstance(step, Ask)
    contents = [message["content"] for message in step.messages]
    assert contents[:2] == [opening, "- a new {}"]
    assert "rose to 75.0 % from 50.0 %" in contents[2]
    assert "it has no slot" in contents[2]


@pytest.mark.parametrize("name", ["ape", "opro"])
def test_methods_without_a_conversation_begin_anew(name: str) -> None:
    """Each request is one message, made from the ranking as it stands by then."""
    memory = falling(TEXTS, 1.0)
    steps = METHODS[name].conversation(view_of(memory))
    before = asked(next(steps))
    add(memory, "the very best {}", 2.0)
    step = steps.send(Feedback(text="- the very best {}"))
    assert isinstance(step, Ask)
    assert len(step.messages) == 1
    assert "the very best {}" in asked(step)
    assert "the very best {}" not in before


def test_opro_shows_scores_with_the_best_last() -> None:
    """The trajectory's order is ascending."""
    content = asked(next(METHODS["opro"].conversation(view_of(falling(TEXTS, 1.0)))))
    assert content.index(TEXTS[2]) < content.index(TEXTS[1]) < content.index(TEXTS[0])
    assert "100.0 %" in content


@pytest.mark.parametrize("name", METHODS)
def test_every_method_that_a_config_may_name_is_there(name: str) -> None:
    """The table and the files agree, on who asks an LLM too."""
    step = next(METHODS[name].conversation(view_of(falling(TEXTS, 1.0))))
    assert isinstance(step, Propose) == (not METHODS[name].asks_llm)
    assert name in described()
