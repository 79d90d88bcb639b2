"""Events: one hierarchy of frozen values, a bus that survives its listeners, a log from the first on."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptclimb.agent.events import log as log_module
from promptclimb.agent.events import types
from promptclimb.agent.events.log import FILE_NAME, EventLog, logged
from promptclimb.agent.events.sinks import SINKS
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
        "estimate": None,
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


def lines(path: Path) -> list[dict[str, object]]:
    """The log's lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_the_log_begins_with_the_first_event(tmp_path: Path) -> None:
    """What comes before the run is on disk is written with it; a run that never starts leaves nothing."""
    (open_log,) = SINKS
    with open_log(tmp_path, lambda value: value) as log:
        log(Noted(text="before"))
        assert not (tmp_path / FILE_NAME).exists()
        log.start()
        log(Noted(text="after"))
        assert [line["text"] for line in lines(tmp_path / FILE_NAME)] == ["before", "after"]
    with EventLog(tmp_path / "other", held=True) as log:
        log(Noted(text="before"))
    assert not (tmp_path / "other").exists()


async def test_what_is_reported_in_one_turn_of_the_loop_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of scores is one write and one flush, and is in the file one turn later."""
    writes: list[int] = []
    write = log_module._Files.write
    monkeypatch.setattr(
        log_module._Files, "write", lambda files, given: (writes.append(len(given)), write(files, given))[1]
    )
    with EventLog(tmp_path / FILE_NAME) as log:
        for turn in range(2):
            for number in range(40):
                log(Noted(text=f"{turn} {number}"))
            await asyncio.sleep(0)
            assert len(lines(tmp_path / FILE_NAME)) == 40 * (turn + 1)
        log(Noted(text="last"))
    assert writes == [40, 40, 1]
    texts = [line["text"] for line in lines(tmp_path / FILE_NAME)]
    assert texts == [*(f"{turn} {number}" for turn in range(2) for number in range(40)), "last"]


def test_the_log_goes_on_where_an_earlier_session_ended(tmp_path: Path) -> None:
    """And the size of what that has written counts."""
    path = tmp_path / FILE_NAME
    for session in range(3):
        with EventLog(path, max_bytes=150) as log:
            log(Noted(text=f"session {session}"))
    assert [line["text"] for line in lines(path)] == ["session 2"]
    assert [event for event, _ in logged(tmp_path)] == [Noted(text=f"session {n}") for n in range(3)]


def test_what_can_hold_a_secret_passes_the_scrubber_and_nothing_else(tmp_path: Path) -> None:
    """Texts, also inside of other values; names and numbers are most of what there is, and take time."""
    seen: list[object] = []
    with EventLog(tmp_path / FILE_NAME, scrub=lambda value: (seen.append(value), value)[1]) as log:
        log(SCORED)
        log(SearchStopped(reason="why", limits=("calls",)))
    assert seen == ["a {}", "llm", "why", ("calls",)]
    assert lines(tmp_path / FILE_NAME)[0]["template"] == "a {}"


async def test_a_log_that_fails_after_a_turn_is_left_out_with_the_next_event(tmp_path: Path) -> None:
    """The emitter has continued by then; the search goes on, and it is said."""
    events: list[Event] = []
    with EventLog(tmp_path / "missing" / FILE_NAME) as log:
        bus = Bus(log, events.append)
        bus(Noted(text="one"))
        await asyncio.sleep(0)
        bus(Noted(text="two"))
        bus(Noted(text="three"))
    assert [event.name for event in events] == [
        "search.noted", "events.listener_failed", "search.noted", "search.noted",
    ]  # fmt: skip


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
@pytest.mark.parametrize("held", [True, False])
def test_a_log_on_a_full_disk_ends_nothing(held: bool, tmp_path: Path) -> None:
    """Neither where it starts nor where it is closed, with lines in it that could not be written."""
    events: list[Event] = []
    (tmp_path / FILE_NAME).symlink_to("/dev/full")
    with EventLog(tmp_path / FILE_NAME, held=held) as log:
        bus = Bus(log, events.append)
        bus(Noted(text="one"))
        log.start()
        bus(Noted(text="two"))
    assert [event.name for event in events].count("events.listener_failed") == 1


def test_a_torn_line_takes_no_other_with_it(tmp_path: Path) -> None:
    """As where the disk was full in its middle; a session that goes on begins with a line of its own."""
    path = tmp_path / FILE_NAME
    path.write_bytes(b'{"event": "search.noted", "te')
    for text in ("one", "two"):
        with EventLog(path) as log:
            log(Noted(text=text))
    assert [event for event, _ in logged(tmp_path)] == [Noted(text="one"), Noted(text="two")]
    assert path.read_bytes().count(b"\n") == 3


def test_the_log_keeps_secrets_out_and_stays_bounded(tmp_path: Path) -> None:
    """Each value passes the scrubber; of a full file the older part moves away, at most three times."""
    path = tmp_path / "events.jsonl"
    with EventLog(path, scrub=lambda value: "[secret]", max_bytes=500) as log:
        for _ in range(100):
            log(Noted(text="sk-something"))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 4
    assert all(file.stat().st_size <= 500 for file in files)
    assert all("sk-" not in file.read_text("utf-8") for file in files)


def test_a_log_that_cannot_write_is_left_out(tmp_path: Path) -> None:
    """A full disk under the log prints no traceback and ends nothing."""
    events: list[Event] = []
    with EventLog(tmp_path / "missing" / "events.jsonl") as log:
        bus = Bus(log, events.append)
        bus(Noted(text="one"))
        bus(Noted(text="two"))
    assert [event.name for event in events] == ["events.listener_failed", "search.noted", "search.noted"]
