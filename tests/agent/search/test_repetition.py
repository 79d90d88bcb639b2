"""When a conversation is over before its rounds are used up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig
from promptclimb.agent.events.types import Event, Noted
from promptclimb.agent.methods.memory import Entry
from promptclimb.agent.position import Position
from promptclimb.agent.search.journal import RestartRecord
from promptclimb.agent.search.restart import Repetition
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.scoring import Score
from promptclimb.prompts.template import Template
from tests.fakes.parrot import Parrot
from tests.fakes.searches import searched


class Restarted:
    """A restart's record that grows by hand."""

    def __init__(self) -> None:
        self.record = RestartRecord(1)
        self.repetition = Repetition(self.record)

    def score(self, *values: float) -> None:
        """Score templates."""
        for value in values:
            template = Template.parse(f"{len(self.record.scored)} {{}}")
            score = Score(train=value)
            self.record.scored.append(
                Entry(candidate=template, score=score, value=value, position=Position(1))
            )

    def round(self, *values: float, refused: tuple[str, ...] = ()) -> None:
        """Score templates, refuse others."""
        self.score(*values)
        self.record.rejected.update(refused)
        self.repetition.end_round()


def test_a_conversation_ends_after_two_answers_of_nothing_new() -> None:
    """Known and repeated proposals are nothing new; a conversation begins without them."""
    restart = Restarted()
    restart.round(0.5)
    restart.round(refused=("known", "duplicate"))
    assert not restart.repetition.ends_conversation
    restart.round(refused=("known",))
    assert restart.repetition.ends_conversation
    restart.repetition.begin_conversation()
    assert not restart.repetition.ends_conversation


@pytest.mark.parametrize(
    ("values", "refused"),
    [((0.1,), ("known",)), ((), ("known", "no_slot")), ((), ()), ((), ("too_many_tokens",))],
)
def test_an_answer_with_anything_else_is_no_repetition(
    values: tuple[float, ...], refused: tuple[str, ...]
) -> None:
    """A new template, a broken one, or none at all: the conversation may still get on."""
    restart = Restarted()
    restart.round(0.5)
    for answer in (("known",), refused, ("known",)):
        restart.round(*(values if answer is refused else ()), refused=answer)
    assert not restart.repetition.ends_conversation


def test_what_is_scored_beside_a_request_is_no_part_of_its_answer() -> None:
    """The conversation repeats itself, whatever else is new."""
    restart = Restarted()
    restart.round(0.5)
    for answer in (1, 2):
        assert not restart.repetition.ends_conversation
        restart.score(0.5 + answer / 10)
        restart.repetition.begin_step()
        restart.round(refused=("known",))
    assert restart.repetition.ends_conversation


def config(run_dir: Path, **more: Any) -> SearchConfig:
    """A small search."""
    given = {"restarts": 2, "conversations": 2, "rounds": 6, "proposals": 3, "initial": 12, "method": "pn"}
    return SearchConfig(data="fake", llm="fake", run_dir=run_dir, **{**given, **more})


def positions(run_dir: Path) -> list[tuple[int, ...]]:
    """Where answers are filed."""
    with Store.open(run_dir) as store:
        return sorted(tuple(position[:3]) for position, _ in store.answers())


def test_a_conversation_that_repeats_itself_is_begun_anew(tmp_path: Path) -> None:
    """The first answer is new, the next two are not; the second conversation has nothing new at all."""
    feedback: list[Event] = []
    small = config(tmp_path / "r", restarts=1)
    result = searched(small, chat=Parrot(), on_event=feedback.append)
    assert positions(tmp_path / "r") == [(1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 2, 1), (1, 2, 2)]
    assert result.status == "finished"
    said = [event.text for event in feedback if isinstance(event, Noted)]
    assert said == [
        f"restart 1, conversation {conversation} ends here: 2 answers in a row held nothing new"
        for conversation in (1, 2)
    ]
