"""Sentences name settings between backticks; the command line shows them as its options."""

from __future__ import annotations

import pytest

from promptclimb.agent.config.sources import as_in_a_file, on_command_line
from promptclimb.evaluator.messages import shown


@pytest.mark.parametrize(
    ("in_message", "on_the_command_line"),
    [
        ("`max_cost`", "--max-cost"),
        ("`price = IN/OUT`", "--price IN/OUT"),
        ('`data = "pets"`', "--data pets"),
        ("`data = 'pets'`", "--data 'pets'"),
        ("`shots = 4`", "--shots 4"),
        ("`blind = false`", "--no-blind"),
        ("`trust = true`", "--trust"),
        ('`on_bad_image = "skip"`', 'on_bad_image = "skip" in a --config file'),
        ("`answer_tokens`", "answer_tokens in a --config file"),
        ("`patience = N`", "`patience = N`"),
        ("`promptclimb resume 'runs/a b'`", "`promptclimb resume 'runs/a b'`"),
        ("`predict_named`", "`predict_named`"),
        ("a `photo` of {}", "a `photo` of {}"),
    ],
)
def test_a_setting_is_shown_as_its_option(in_message: str, on_the_command_line: str) -> None:
    """One without an option is shown as its line in the settings file, and any other word as it is."""
    assert on_command_line(f"give {in_message}, please") == f"give {on_the_command_line}, please"


def test_in_a_suite_a_setting_without_an_option_is_a_line_of_its_file() -> None:
    """The command has no ``--config``."""
    text = as_in_a_file('set `on_bad_image = "skip"` or `concurrency = 2`', lambda _name: False)
    assert on_command_line(text) == 'set on_bad_image = "skip" or --concurrency 2'


def test_a_long_value_is_shortened_in_a_message() -> None:
    """A value never fills the screen, nor breaks the message."""
    assert len(shown("x" * 10_000)) < 250
    assert shown(10**10_000) == "a int too long to show"
