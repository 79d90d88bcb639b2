"""Sentences that refer to settings and commands."""

from __future__ import annotations

import json
import pickle

import pytest

from promptclimb.agent.config.sources import on_command_line
from promptclimb.evaluator.errors import ConfigError, TemplateRejectedError
from promptclimb.evaluator.messages import (
    Command,
    InvalidValueError,
    Message,
    Setting,
    SettingOrCommand,
    Verbatim,
)


@pytest.mark.parametrize(
    ("reference", "in_python", "on_the_command_line"),
    [
        (Setting("max_cost"), "max_cost", "--max-cost"),
        (Setting("price", "IN/OUT"), "price=IN/OUT", "--price IN/OUT"),
        (Setting("data", "pets"), 'data="pets"', "--data pets"),
        (Setting("data", Verbatim("'pets'")), "data='pets'", "--data 'pets'"),
        (Setting("shots", 4), "shots=4", "--shots 4"),
        (Setting("probe", False), "probe=False", "--no-probe"),
        (Setting("trust", True), "trust=True", "--trust"),
        (Command("resume", "runs/a b"), "`resume('runs/a b')`", "`promptclimb resume 'runs/a b'`"),
        (
            Command("resume", "runs/1", (Setting("conclude", True),)),
            "`resume('runs/1', conclude=True)`",
            "`promptclimb resume runs/1 --conclude`",
        ),
    ],
)
def test_a_reference_is_spelled_for_its_reader(
    reference: SettingOrCommand, in_python: str, on_the_command_line: str
) -> None:
    """The same reference is a keyword in Python, and an option or a command in a shell."""
    assert str(reference) == in_python
    assert on_command_line(Message(reference)) == on_the_command_line


def test_an_error_keeps_the_references_of_the_errors_in_it() -> None:
    """A sentence that quotes another error spells that one's settings too."""
    inner = ConfigError(Setting("max_cost"), " must be positive")
    outer = ConfigError(
        "the study: ", inner, "; see ", Message("also ", Setting("price")), " ", ValueError("x")
    )
    assert str(outer) == "the study: max_cost must be positive; see also price x"
    assert on_command_line(outer.message) == "the study: --max-cost must be positive; see also --price x"


def test_a_message_is_a_text_that_outlives_a_process() -> None:
    """JSON has it as in Python, and a pickled error of a Ray worker keeps its references."""
    error = ConfigError("give ", Setting("price", "IN/OUT"))
    assert json.loads(json.dumps({"text": error.message})) == {"text": "give price=IN/OUT"}
    assert on_command_line(pickle.loads(pickle.dumps(error)).message) == "give --price IN/OUT"
    rejected = pickle.loads(pickle.dumps(TemplateRejectedError("a {}", "failed", "because")))
    assert (rejected.template, rejected.explanation) == ("a {}", "because")


def test_braces_and_options_in_texts_are_left_as_they_are() -> None:
    """Nothing in a text is a pattern."""
    text = "a {} of --max-cost"
    assert on_command_line(Message(text)) == str(Message(text)) == text


def test_a_validator_s_error_is_a_value_error_with_a_message() -> None:
    """Pydantic keeps the error, and so its references."""
    error = InvalidValueError("leave ", Setting("blind"), " out")
    assert isinstance(error, ValueError)
    assert on_command_line(error.message) == "leave --blind out"
