"""When a conversation or a restart is over before its rounds are used up, and that it ends there again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig
from promptclimb.agent.config.sources import from_sources
from promptclimb.agent.events.types import Event, Noted
from promptclimb.agent.methods.memory import Entry
from promptclimb.agent.position import Position
from promptclimb.agent.present.notes import EarlyEnd
from promptclimb.agent.results.history import state_of
from promptclimb.agent.results.result import ENDED_EARLY
from promptclimb.agent.search.journal import RestartRecord
from promptclimb.agent.search.restart import EarlyStopping
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.errors import ConfigError
from promptclimb.evaluator.scoring import Score
from promptclimb.prompts.template import Template
from tests.fakes.parrot import Parrot
from tests.fakes.searches import resumed, searched
from tests.fakes.typed import raises_typed

SIZES = {"train": 100, "val": 100}


class Restarted:
    """A restart's record that grows by hand."""

    def __init__(self, **settings: Any) -> None:
        self.record = RestartRecord(1)
        config = SearchConfig(method="random", **settings)
        self.stopping = EarlyStopping(self.record, config, SIZES)

    def score(self, *values: float, val: float | None = None) -> None:
        """Score templates."""
        for value in values:
            template = Template.parse(f"{len(self.record.scored)} {{}}")
            score = Score(train=value, val=val)
            self.record.scored.append(
                Entry(candidate=template, score=score, value=value, position=Position(1))
            )

    def round(self, *values: float, val: float | None = None, refused: tuple[str, ...] = ()) -> None:
        """Score templates, refuse others."""
        self.score(*values, val=val)
        self.record.rejected.update(refused)
        self.stopping.end_round()


def test_a_restart_ends_after_rounds_without_a_better_template() -> None:
    """Equal is no better; a better one begins the count anew; initial templates are no round."""
    searched = Restarted(patience=2)
    for values in ((0.5, 0.2), (0.5,), (0.6,), (0.6,)):
        searched.round(*values)
        assert searched.stopping.ends_restart is None
    searched.round()
    assert searched.stopping.ends_restart == EarlyEnd("patience", 2)


def test_a_restart_ends_where_train_and_val_together_reach_the_target() -> None:
    """Neither alone will do."""
    searched = Restarted(until="80%")
    searched.round(0.9, val=0.6)
    assert searched.stopping.ends_restart is None
    searched.round(0.8, val=0.8)
    assert searched.stopping.ends_restart == EarlyEnd("until", 0.8)


def test_nothing_ends_a_restart_that_was_not_asked_for() -> None:
    """No patience, no target."""
    searched = Restarted()
    for _ in range(50):
        searched.round(1.0)
    assert (searched.stopping.ends_restart, searched.stopping.ends_conversation) == (None, False)


def test_a_conversation_ends_after_two_answers_of_nothing_new() -> None:
    """Known and repeated proposals are nothing new; a conversation begins without them."""
    searched = Restarted()
    searched.round(0.5)
    searched.round(refused=("known", "duplicate"))
    assert not searched.stopping.ends_conversation
    searched.round(refused=("known",))
    assert searched.stopping.ends_conversation
    searched.stopping.begin_conversation()
    assert not searched.stopping.ends_conversation


@pytest.mark.parametrize(
    ("values", "refused"),
    [((0.1,), ("known",)), ((), ("known", "no_slot")), ((), ()), ((), ("too_many_tokens",))],
)
def test_an_answer_with_anything_else_is_no_repetition(
    values: tuple[float, ...], refused: tuple[str, ...]
) -> None:
    """A new template, a broken one, or none at all: the conversation may still get on."""
    searched = Restarted()
    searched.round(0.5)
    for answer in (("known",), refused, ("known",)):
        searched.round(*(values if answer is refused else ()), refused=answer)
    assert not searched.stopping.ends_conversation


def test_what_is_scored_beside_a_request_is_no_part_of_its_answer() -> None:
    """The conversation repeats itself, whatever else is new; of a restart without a better one it counts."""
    searched = Restarted(patience=3)
    searched.round(0.5)
    for answer in (1, 2):
        assert not searched.stopping.ends_conversation
        searched.score(0.5 + answer / 10)
        searched.stopping.begin_step()
        searched.round(refused=("known",))
    assert searched.stopping.ends_conversation
    for _ in range(2):
        searched.round(refused=("known",))
        assert searched.stopping.ends_restart is None


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


@pytest.mark.parametrize("more", [{"patience": 2}, {"until": 0.6}])
def test_a_run_that_ends_early_ends_there_again(tmp_path: Path, more: dict[str, Any]) -> None:
    """Cut off and resumed, one restart after the other or side by side: the same answers and result."""
    whole = searched(config(tmp_path / "a", **more))
    searched(config(tmp_path / "b", **more, max_calls=3, concurrency=1))
    again = resumed(tmp_path / "b", {"max_calls": 100})
    assert (whole.status, again.status) == ("finished", "finished")
    assert positions(tmp_path / "a") == positions(tmp_path / "b")
    assert len(positions(tmp_path / "a")) < 2 * 2 * 6
    board = "leaderboard.csv"
    assert (tmp_path / "a" / board).read_bytes() == (tmp_path / "b" / board).read_bytes()


def test_a_target_that_the_initial_templates_reach_asks_for_nothing(tmp_path: Path) -> None:
    """No request is made, and the search is finished."""
    chat = Parrot()
    result = searched(config(tmp_path / "r", until=0.01), chat=chat)
    assert (result.status, chat.asked) == ("finished", 0)


@pytest.mark.parametrize(
    ("more", "why"),
    [({"until": 0.01}, "reached until = 0.01"), ({"patience": 1}, "in 1 round (patience)"), ({}, "")],
)
def test_an_early_end_is_reported_at_once_and_in_the_result(
    tmp_path: Path, more: dict[str, Any], why: str
) -> None:
    """A line for each restart in the log, and one note; ``status`` has it too. Else nothing is noted."""
    result = searched(config(tmp_path / "r", **more))
    assert (ENDED_EARLY in result.notes) == bool(why)
    if not why:
        return
    note = result.notes[ENDED_EARLY]
    assert note.startswith("2 of 2 restarts ended early: ")
    assert note.endswith(why)
    assert (tmp_path / "r" / "events.jsonl").read_text().count("ends early: ") == 2
    result_on_disk = state_of(tmp_path / "r").result
    assert result_on_disk is not None
    assert result_on_disk.notes[ENDED_EARLY] == note


@pytest.mark.parametrize(
    ("flag", "value"),
    [("patience", "0"), ("until", "0"), ("until", "x%"), ("until", "-1")],
)
def test_a_wrong_stop_is_refused(flag: str, value: str) -> None:
    """With the option's name."""
    with raises_typed(ConfigError, match=f"{flag} = '{value}'"):
        from_sources({"method": "random", flag: value}, {})


@pytest.mark.parametrize("value", ["95", "17.5"])
def test_a_percentage_without_its_sign_is_asked_about(value: str, tmp_path: Path) -> None:
    """From wherever it comes; a custom scorer may score so high."""
    with pytest.raises(ConfigError, match=f"^until={value!r}: an accuracy .*; did you mean {value}%"):
        from_sources({"method": "random", "until": value}, {})
    with pytest.raises(ConfigError, match=f"^PROMPTCLIMB_UNTIL {value!r} "):
        from_sources({"method": "random"}, {"PROMPTCLIMB_UNTIL": value})
    own = from_sources({"method": "random", "until": value, "custom_scorer": "m:f"}, {})
    assert own.until == float(value)


def test_a_decimal_comma_is_answered_with_how_it_is_written() -> None:
    """One line that names the option."""
    with raises_typed(ConfigError, match=r"until = '0,95': write .* 0\.95, or 95%, with a point"):
        from_sources({"method": "random", "until": "0,95"}, {})
