"""What becomes of proposals: tried, refused with a reason, no more than were asked for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.events import Event, TemplateRefused, TemplateScored
from promptclimb.agent.methods.memory import Memory
from promptclimb.agent.position import INITIAL, Position
from promptclimb.agent.search.record import RestartRecord
from promptclimb.agent.search.trials import Trials
from promptclimb.evaluator.scoring import Score, Verdict
from promptclimb.prompts.template import Template

HERE = Position(1, 1, 1)
VALUES = {"a {}": 0.5, "old {}": 0.4, "one {}": 0.7, "my {}": 0.7, "this {}": 0.9, "that {}": 0.95}
VALUES["one more {}"] = VALUES["that {}"]


class Table:
    """Scores from a table."""

    def has(self, template: str) -> bool:
        return False

    async def score_all(self, templates: Sequence[str]) -> list[Verdict]:
        return [Score(train=VALUES[template]) for template in templates]


@pytest.fixture
def events() -> list[Event]:
    """What was emitted."""
    return []


@pytest.fixture
def trials(events: list[Event]) -> Trials:
    """Trials of a restart that takes two proposals an answer."""
    config = SearchConfig(data="fake", method="random", proposals=2)
    return Trials(Memory(), RestartRecord(1), Table(), config, events.append)


async def test_an_improvement_is_what_beats_all_up_to_then(trials: Trials, events: list[Event]) -> None:
    """Also within one round; the initial templates, before which there was nothing, do not count."""
    await trials.score(
        [Template.parse(text) for text in ("a {}", "old {}", "one {}", "my {}")], HERE, INITIAL
    )
    for proposed in (["this {}", "that {}"], ["one more {}"]):
        await trials.score([Template.parse(text) for text in proposed], HERE, "combine")
    found = {event.template: event.improved for event in events if isinstance(event, TemplateScored)}
    assert [name for name, improved in found.items() if improved] == ["this {}", "that {}"]


async def test_no_more_proposals_are_tried_than_were_asked_for(trials: Trials, events: list[Event]) -> None:
    """The others, and what was tried before, are refused with their reason, not scored."""
    await trials.score([Template.parse("a {}")], HERE, INITIAL)
    outcomes = await trials.judge(trials.read("- a {}\n- old {}\n- one {}\n- my {}\n- this {}\n"), HERE)
    scored = [(event.template, event.source) for event in events if isinstance(event, TemplateScored)]
    assert scored == [("a {}", "initial"), ("old {}", "llm"), ("one {}", "llm")]
    refused = [(event.line, event.reason) for event in events if isinstance(event, TemplateRefused)]
    assert refused == [
        ("a {}", "known"),
        ("my {}", "too_many_proposals"),
        ("this {}", "too_many_proposals"),
    ]
    assert len(outcomes) == 5
