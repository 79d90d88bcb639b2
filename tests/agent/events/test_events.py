"""Events: one hierarchy of frozen values, a bus that survives its listeners, a log from the first on."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptclimb.agent.events import types
from promptclimb.agent.events.log import FILE_NAME, EventLog, logged
from promptclimb.agent.events.sinks import ThreadedSink
from promptclimb.agent.events.types import Bus, Event, ListenerFailed, Noted, SearchStopped, TemplateScored
from promptclimb.agent.position import Position

SCORED = TemplateScored(
    position=Position(2, 1, 3), template="a {}", train=0.5, val=None, improved=True, source="llm"
)


def kinds(root: type[Event] = Event) -> Iterator[type[Event]]:
    """Every kind of event."""
    for kind in root.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_kind_has_a_name_of_its_own_and_is_frozen() -> None:
    """``room.past_tense``; what happened does not change afterwards."""
    named = [kind for kind in kinds() if "name" in vars(kind)]
    names = [kind.name for kind in named]
    assert len(set(names)) == len(names) >= 20
    assert all(name.count(".") == 1 for name in names)
    with pytest.raises(dataclasses.FrozenInstanceError):
        SCORED.train = 1.0  # type: ignore[misc]
    assert {kind.__module__ for kind in named} == {types.__name__}


def test_a_position_is_reported_by_its_numbers() -> None:
    """JSON values, whoever reads them."""
    assert SCORED.fields() == {
        "restart": 2, "conversation": 1, "round": 3,
        "template": "a {}", "train": 0.5, "val": None, "improved": True, "source": "llm", "images": None,
        "estimate": None, "objective": None,
    }  # fmt: skip


@pytest.mark.parametrize("error", [OSError("the terminal has gone"), asyncio.CancelledError("has gone")])
def test_a_listener_that_raises_is_left_out_and_reported(error: BaseException) -> None:
    """The others get everything, and the search goes on."""
    events: list[Event] = []

    def broken(event: Event) -> None:
        raise error

    bus = Bus(broken, events.append)
    bus(Noted(text="one"))
    bus(Noted(text="two"))
    assert [type(event) for event in events] == [ListenerFailed, Noted, Noted]
    assert "has gone" in str(events[0].fields()["error"])


def test_who_joins_gets_events_until_it_leaves() -> None:
    """A listener for a time."""
    events: list[Event] = []
    bus = Bus()
    with bus.joined(events.append):
        bus(Noted(text="one"))
    bus(Noted(text="two"))
    assert events == [Noted(text="one")]


NOW = datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC)


def lines(path: Path) -> list[dict[str, object]]:
    """The log's lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def log_all(folder: Path, *events: Event, max_bytes: int = 10_000) -> None:
    """Write events as one session does."""
    log = EventLog(folder, max_bytes=max_bytes)
    for event in events:
        log(event, NOW)
    log.close()


async def test_the_log_begins_with_the_first_event(tmp_path: Path) -> None:
    """What comes before the run is on disk is written with it; a run that never starts leaves nothing."""
    async with ThreadedSink("log", lambda: EventLog(tmp_path), emit=Bus()) as log:
        log(Noted(text="before"))
    assert not (tmp_path / FILE_NAME).exists()
    async with ThreadedSink("log", lambda: EventLog(tmp_path), emit=Bus()) as log:
        log(Noted(text="before"))
        log.start()
        log(Noted(text="after"))
        log.flush()
        assert [line["text"] for line in lines(tmp_path / FILE_NAME)] == ["before", "after"]


def test_the_log_goes_on_where_an_earlier_session_ended(tmp_path: Path) -> None:
    """And the size of what that has written counts."""
    for session in range(3):
        log_all(tmp_path, Noted(text=f"session {session}"), max_bytes=150)
    assert [line["text"] for line in lines(tmp_path / FILE_NAME)] == ["session 2"]
    assert [event for event, _ in logged(tmp_path)] == [Noted(text=f"session {n}") for n in range(3)]


def test_what_can_hold_a_secret_passes_the_scrubber_and_nothing_else(tmp_path: Path) -> None:
    """Texts, also inside of other values; names and numbers are most of what there is, and take time."""
    scrubbed: list[object] = []
    log = EventLog(tmp_path, lambda value: (scrubbed.append(value), value)[1])
    log(SCORED, NOW)
    log(SearchStopped(reason="why", limits=("calls",)), NOW)
    log.close()
    assert scrubbed == ["a {}", "llm", "why", ("calls",)]
    line = lines(tmp_path / FILE_NAME)[0]
    assert (line["template"], line["time"]) == ("a {}", "2026-12-01T00:00:00.000000Z")


def test_a_torn_line_takes_no_other_with_it(tmp_path: Path) -> None:
    """As where the disk was full in its middle; a session that goes on begins with a line of its own."""
    path = tmp_path / FILE_NAME
    path.write_bytes(b'{"event": "search.noted", "te')
    for text in ("one", "two"):
        log_all(tmp_path, Noted(text=text))
    assert [event for event, _ in logged(tmp_path)] == [Noted(text="one"), Noted(text="two")]
    assert path.read_bytes().count(b"\n") == 3


def test_the_log_stays_bounded(tmp_path: Path) -> None:
    """Of a full file the older part moves away, at most three times."""
    log_all(tmp_path, *(Noted(text=str(number)) for number in range(100)), max_bytes=500)
    assert len(list(tmp_path.iterdir())) == 4
    assert all(file.stat().st_size <= 500 for file in tmp_path.iterdir())
    texts = [event.text for event, _ in logged(tmp_path) if isinstance(event, Noted)]
    assert texts == [str(number) for number in range(100 - len(texts), 100)]
