"""Plain is scored before the restarts begin, for whoever watches, and takes part in none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig, resume, search
from promptclimb.agent.errors import EvaluationFailedError
from promptclimb.agent.events import DefaultTemplateScored, Event, StartingTemplatesDrawn
from promptclimb.evaluator.fakes import FakeEvaluator
from tests.fakes.clock import run_virtual

PLAIN = "a photo of a {}"


def config(run_dir: Path, **more: Any) -> SearchConfig:
    """A small search without an LLM."""
    given = {"data": "fake", "method": "random", "restarts": 2, "conversations": 1, "rounds": 3, "initial": 6}
    return SearchConfig(**given, run_dir=run_dir, **more)


def test_plain_is_told_first_and_ranked_nowhere(tmp_path: Path) -> None:
    """With the score that the result has for it; it is no initial template and counts as none."""
    feedback: list[Event] = []
    evaluator = FakeEvaluator()
    result = run_virtual(search(config(tmp_path / "r"), evaluator=evaluator, on_event=feedback.append))
    (plain,) = [event for event in feedback if isinstance(event, DefaultTemplateScored)]
    assert feedback.index(plain) < min(
        feedback.index(event) for event in feedback if isinstance(event, StartingTemplatesDrawn)
    )
    known = result.baselines["default template"]
    assert (plain.template, plain.train, plain.val) == (PLAIN, known.train, known.val)
    assert evaluator.batches[0] == (PLAIN,)
    assert PLAIN not in {row.template for row in result.leaderboard}
    assert result.evaluated == len(result.leaderboard)


def test_a_session_that_goes_on_looks_it_up(tmp_path: Path) -> None:
    """It is told again and scored once."""
    run_virtual(search(config(tmp_path / "r"), evaluator=FakeEvaluator()))
    again, feedback = FakeEvaluator(), list[Event]()
    run_virtual(resume(tmp_path / "r", evaluator=again, changes={"restarts": 3}, on_event=feedback.append))
    assert [event.template for event in feedback if isinstance(event, DefaultTemplateScored)] == [PLAIN]
    assert again.batches
    assert PLAIN not in {template for batch in again.batches for template in batch}


def test_a_plain_template_that_cannot_be_read_is_no_obstacle(tmp_path: Path) -> None:
    """Nothing is told of it, and the search goes on."""
    feedback: list[Event] = []
    evaluator = FakeEvaluator(max_words=4)
    run_virtual(search(config(tmp_path / "r"), evaluator=evaluator, on_event=feedback.append))
    assert not [event for event in feedback if isinstance(event, DefaultTemplateScored)]


def test_an_evaluator_that_is_broken_is_told_by_the_restarts(tmp_path: Path) -> None:
    """By the same error as without a default template."""

    def broken(_templates: object) -> None:
        raise OSError("the card is gone")

    with pytest.raises(EvaluationFailedError, match="the card is gone"):
        run_virtual(search(config(tmp_path / "r"), evaluator=FakeEvaluator(before_batch=broken)))
