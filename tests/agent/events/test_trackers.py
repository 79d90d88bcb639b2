"""Trackers: which are chosen, that none holds up or ends a search, and which metrics they get."""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from promptclimb import SearchConfig, search
from promptclimb.agent.events.log import EventLog
from promptclimb.agent.events.sinks import ThreadedSink
from promptclimb.agent.events.trackers import known as known_trackers
from promptclimb.agent.events.trackers.known import TRACKERS, check_trackers, parse_track
from promptclimb.agent.events.trackers.metrics import MetricsRow, MetricsWriter, TrackedRun
from promptclimb.agent.events.types import (
    Bus,
    DefaultTemplateScored,
    Event,
    ListenerFailed,
    Noted,
    SearchFinished,
    SearchStarted,
    TemplateScored,
    UsageChanged,
)
from promptclimb.agent.position import Position
from promptclimb.evaluator.errors import ConfigError, UsageError
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.words import reply_text
from tests.paths import ROOT

STARTED = SearchStarted(
    run_dir="run", dataset="dice", classes=6, model="m", llm="l", method="pn", restarts=1, rounds=1,
    resumed=False,
)  # fmt: skip


def scored(template: str, train: float) -> TemplateScored:
    """A score of the first restart."""
    return TemplateScored(
        position=Position(1), template=template, train=train, val=None, improved=True, source="llm"
    )


NOW = datetime.now(UTC)


def log_earlier(run_dir: Path, *events: Event) -> None:
    """Write the log of an earlier session, and what this one has logged already."""
    log = EventLog(run_dir)
    for event in events:
        log(event, NOW - timedelta(hours=1))
    log(scored("of this session {}", 0.125), NOW + timedelta(seconds=1))
    log.close()


class FakeTracker:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.begun: list[Mapping[str, str]] = []
        self.target = "tracker"
        self.rows: list[MetricsRow] = []
        self.sent: list[int] = []
        self.broken = False
        self.closed: list[tuple[str, Mapping[str, float]]] = []

    def begin(self, params: Mapping[str, str]) -> None:
        self.begun.append(params)

    def metrics(self, rows: Sequence[MetricsRow]) -> None:
        if self.broken:
            raise OSError("nobody there")
        self.rows += rows
        self.sent.append(len(rows))

    def close(self, status: str, last: Mapping[str, float]) -> None:
        self.closed.append((status, last))


def test_figures_are_by_scored_template_and_only_the_last_are_of_test(tmp_path: Path) -> None:
    """The n-th template is step n; what earlier sessions sent counts, and is not sent again."""
    tracker = FakeTracker()
    log_earlier(tmp_path, scored("a {}", 0.5))
    run = TrackedRun(run_dir=tmp_path, settings={"seed": 3})
    run.note_step("tracker", 1)
    writer = MetricsWriter(tracker, run)
    used = UsageChanged(
        calls=2, failed_calls=0, retries=0, prompt_tokens=5, completion_tokens=6, cost_usd=0.5,
        estimated_tokens=0, left={},
    )  # fmt: skip
    done = SearchFinished(status="finished", best="b {}", train=0.5, test=0.25, evaluated=3)
    for event in (STARTED, scored("a {}", 0.5), used, scored("b {}", 0.25), scored("c {}", 0.75), done):
        writer(event, NOW)
    writer.close()
    assert tracker.begun == [{"seed": "3", "dataset": "dice", "vlm": "m"}]
    spent = {"calls": 2, "tokens": 11, "cost_usd": 0.5}
    assert tracker.rows == [
        (2, {"train": 0.25, "best_train": 0.5, **spent}, "b {}"),
        (3, {"train": 0.75, "best_train": 0.75, **spent}, "c {}"),
    ]
    assert tracker.closed == [("finished", {"best_train": 0.5, "evaluated": 3, "test": 0.25, **spent})]


def test_the_gain_over_default_is_a_figure_of_each_step(tmp_path: Path) -> None:
    """From when it is known on: of what an earlier session has scored too, and at the end."""
    plain = DefaultTemplateScored(template="a photo of a {}", train=0.375, val=None)
    log_earlier(tmp_path, scored("a {}", 0.25), plain, scored("b {}", 0.5))
    tracker = FakeTracker()
    writer = MetricsWriter(tracker, TrackedRun(run_dir=tmp_path, settings={}))
    done = SearchFinished(status="finished", best="c {}", train=0.75, test=None, evaluated=3)
    for event in (STARTED, plain, scored("c {}", 0.75), done):
        writer(event, NOW)
    writer.close()
    gains = [row.values.get("gain_over_default") for row in tracker.rows]
    assert gains == [None, 0.125, 0.375]
    assert tracker.closed[0][1]["gain_over_default"] == 0.375


def test_what_a_tracker_lacks_is_made_good(tmp_path: Path) -> None:
    """Its sending failed, or it is new to a run that goes on: each step reaches each place once."""
    tracker, run = FakeTracker(), TrackedRun(run_dir=tmp_path, settings={})
    writer = MetricsWriter(tracker, run)
    writer(STARTED, NOW)
    writer(scored("a {}", 0.5), NOW)
    writer.idle()
    tracker.broken = True
    writer(scored("b {}", 0.25), NOW)
    with pytest.raises(OSError, match="nobody there"):
        writer.idle()
    log_earlier(tmp_path, scored("a {}", 0.5), replace(scored("b {}", 0.25), val=0.75), scored("a {}", 0.5))
    tracker.broken = False
    again = MetricsWriter(tracker, TrackedRun(run_dir=tmp_path, settings={}))
    for event in (STARTED, scored("a {}", 0.5), scored("b {}", 0.25), scored("c {}", 0.75)):
        again(event, NOW)
    again.close()
    assert tracker.rows == [
        (1, {"train": 0.5, "best_train": 0.5}, "a {}"),
        (2, {"train": 0.25, "best_train": 0.5, "val": 0.75}, "b {}"),
        (3, {"train": 0.75, "best_train": 0.75}, "c {}"),
    ]
    new = FakeTracker()
    new.target = "another"
    other = MetricsWriter(new, TrackedRun(run_dir=tmp_path, settings={}))
    other(STARTED, NOW)
    other.close()
    assert [row.step for row in new.rows] == [1, 2]


def test_a_run_has_one_name_with_a_tracker(tmp_path: Path) -> None:
    """Whatever session asks, also where the file of names was spoilt."""
    run = TrackedRun(run_dir=tmp_path, settings={})
    first = run.id_at("wandb")
    assert TrackedRun(run_dir=tmp_path, settings={}).id_at("wandb") == first != run.id_at("mlflow")
    run.note_step("wandb mine", 3)
    assert run.id_at("wandb") == first
    assert (run.step_at("wandb mine"), run.step_at("wandb other")) == (3, 0)
    (tmp_path / "trackers.json").write_text("[")
    assert run.id_at("wandb", lambda: "anew") == "anew" == run.id_at("wandb")


def test_a_tracker_that_waits_for_its_server_holds_up_no_other(tmp_path: Path) -> None:
    """It has no name there yet, and the others note what they have sent."""
    run = TrackedRun(run_dir=tmp_path, settings={})

    def named_late() -> str:
        other = threading.Thread(target=run.note_step, args=("tensorboard", 5), daemon=True)
        other.start()
        other.join(5)
        assert not other.is_alive()
        return "named"

    assert run.id_at("mlflow", named_late) == "named" == run.id_at("mlflow")
    assert run.step_at("tensorboard") == 5


class Slow:
    """Gets events when it may."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.events: list[Event] = []

    def __call__(self, event: Event, _at: datetime) -> None:
        assert self.go.wait(20)
        self.events.append(event)

    def idle(self) -> None:
        """Nothing is collected."""

    def close(self) -> None:
        self.events.append(Noted(text="closed"))


async def test_a_slow_tracker_loses_events_and_the_search_no_time() -> None:
    """It never waits, and says in the end what is lacking."""
    emitted: list[Event] = []
    slow = Slow()
    async with ThreadedSink("tracker slow", lambda: slow, emit=emitted.append, most_waiting=3) as sink:
        for number in range(5):
            sink(Noted(text=str(number)))
        sink.start()
        slow.go.set()
    assert [event.text for event in slow.events if isinstance(event, Noted)] == ["0", "1", "2", "closed"]
    (note,) = [event.text for event in emitted if isinstance(event, Noted)]
    assert note == "the tracker slow was too slow: it lacks 2 events"


WAITS_AT_THE_END = """
import asyncio, atexit, time
from promptclimb.__main__ import leave
from promptclimb.agent.events.sinks import ThreadedSink
from promptclimb.agent.events.types import Noted, ignore_event

async def run():
    hung = ThreadedSink("hung", lambda: lambda _event, _at: time.sleep(600), emit=ignore_event, close_s=0)
    async with hung as sink:
        sink(Noted(text="one"))
        sink.start()

atexit.register(time.sleep, 600)  # as W&B waits for its server
asyncio.run(run())
print("what was found", end="")
leave(3)
"""


def test_a_process_does_not_wait_for_a_tracker_that_was_left_behind() -> None:
    """It ends with its exit code, and with all that it has written."""
    done = subprocess.run(
        [sys.executable, "-c", WAITS_AT_THE_END], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (3, "what was found")


async def test_a_tracker_that_fails_is_left_out_and_reported() -> None:
    """Whether it fails before the end or at the end; keys in what it says are taken out."""

    class Broken:
        def __call__(self, event: Event, _at: datetime) -> None:
            raise OSError(errno.ENOSPC, "no room\nfor key", "a/file")

        def close(self) -> None:
            raise AssertionError("it has failed")

    def scrub(text: str) -> str:
        return text.replace("key", "[secret]")

    emitted: list[Event] = []
    bus = Bus(emitted.append)
    async with ThreadedSink("tracker broken", Broken, emit=bus, scrub=scrub) as sink:
        with bus.joined(sink):
            bus(Noted(text="one"))
            sink.start()
            await asyncio.to_thread(sink._thread.join)
            bus(Noted(text="two"))
            bus(Noted(text="three"))
    failed = [event for event in emitted if isinstance(event, ListenerFailed)]
    assert failed == [ListenerFailed(listener="tracker broken", error="a/file: no room for [secret]")]
    emitted.clear()
    async with ThreadedSink("tracker broken", Broken, emit=bus, scrub=scrub) as sink:
        sink(Noted(text="one"))
        sink.start()
    assert emitted == [ListenerFailed(listener="tracker broken", error="a/file: no room for [secret]")]


def test_trackers_are_chosen_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, what may follow them, and files that are the same from wherever a run is resumed."""
    monkeypatch.chdir(tmp_path)
    assert parse_track("wandb, mlflow:http://127.0.0.1:5000") == ("wandb", "mlflow:http://127.0.0.1:5000")
    assert parse_track("mlflow:a.db,wandb:mine") == (f"mlflow:{tmp_path / 'a.db'}", "wandb:mine")
    assert parse_track("none") is parse_track(None) is None
    config = SearchConfig(data="d", llm="l", track="wandb")  # type: ignore[arg-type]
    assert config.track == ("wandb",)
    assert "track" not in config.identity()


@pytest.mark.parametrize(
    ("track", "problem"),
    [
        ("mflow", "unknown tracker 'mflow'; did you mean mlflow?"),
        ("wandb,wandb", "wandb stands twice"),
        ("mlflow:https://user:pass@host", "give no credentials"),
        ("mlflow:https://host?key=secret", "give no credentials"),
        ("", "unknown tracker ''"),
    ],
)
def test_a_wrong_choice_is_one_line(track: str, problem: str) -> None:
    """It says what is known."""
    with pytest.raises(ConfigError, match=f"track.*: {problem[:12]}") as caught:
        SearchConfig(data="d", llm="l", track=track)  # type: ignore[arg-type]
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_missing_extra_is_said_before_anything_is_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that brings it; nothing is left behind."""
    monkeypatch.setattr(known_trackers, "_is_installed", lambda package: False)
    for name in (name for name, tracker in TRACKERS.items() if tracker.packages):
        with pytest.raises(UsageError, match=rf'`track = "{name}"` needs .*\[{name}\]'):
            check_trackers((name,))

    class Chat:
        def chat(self, messages: object) -> str:
            raise AssertionError("nothing is paid")

    config = SearchConfig(data="fake", llm="fake", method="pn", run_dir=tmp_path / "run", track=("mlflow",))
    with pytest.raises(UsageError, match="mlflow"):
        await search(config, custom_scorer=FakeEvaluator(), chat=Chat())
    assert not (tmp_path / "run").exists()


async def test_a_search_goes_on_without_a_tracker_that_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, and ends as it would have ended."""
    monkeypatch.setattr(known_trackers, "_is_installed", lambda package: True)
    broken = known_trackers.KnownTracker(("no_such_module", "Nothing"), ("mlflow",), "URI")
    monkeypatch.setitem(TRACKERS, "mlflow", broken)  # type: ignore[arg-type]
    events: list[Event] = []

    class Chat:
        def chat(self, messages: object) -> str:
            return reply_text(str(messages))

    config = SearchConfig(
        data="fake", llm="fake", method="pn", restarts=1, conversations=1, rounds=1, initial=4,
        run_dir=tmp_path / "run", track=("mlflow",),
    )  # fmt: skip
    result = await search(config, custom_scorer=FakeEvaluator(), chat=Chat(), on_event=events.append)
    assert result.status == "finished"
    (failed,) = [event for event in events if isinstance(event, ListenerFailed)]
    assert failed.listener == "tracker mlflow"
