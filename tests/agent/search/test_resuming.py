"""Resumed runs: nothing is paid twice, and the result is that of a longer run."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.api import resume, search
from promptclimb.agent.cli.main import main
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import InterruptedRunError, StoreGoneError, StoreMismatchError
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.results.history import state_of
from promptclimb.agent.results.run_dir import BEFORE, REPORT, RESULT
from promptclimb.agent.search.opening import RunRequest
from promptclimb.agent.search.run import resume_run
from promptclimb.agent.stop import Stop
from promptclimb.agent.store import disk
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.errors import StoreFullError, UsageError
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.black_box import stand_in
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.clock import run_virtual
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.searches import resumed, searched
from tests.fakes.stored import answers


def config(run_dir: Path, **more: Any) -> SearchConfig:
    """A small search into a folder."""
    settings = {"restarts": 2, "conversations": 1, "rounds": 3, "initial": 8, "concurrency": 1}
    return SearchConfig(data="fake", llm="fake", method="pn", run_dir=run_dir, **settings | more)


TWICE = {"conversations": 2, "rounds": 2, "proposals": 3}


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run that two calls have stopped."""
    searched(config(tmp_path / "r", max_calls=2))
    assert state_of(tmp_path / "r").state == "stopped"
    return tmp_path / "r"


class Interrupting(ChatByHash):
    """Interrupts after some answers; before that it copies the run as a kill would leave it."""

    def __init__(self, stop: Stop, run_dir: Path, copy: Path) -> None:
        super().__init__()
        self._stop, self._run_dir, self._copy = stop, run_dir, copy

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        answer = await super().chat(request)
        if len(self.asked) == 2:
            while state_of(self._run_dir).progress.rounds < 3:  # the log has a thread of its own
                await asyncio.to_thread(os.sched_yield)
            shutil.copytree(self._run_dir, self._copy)
            self._stop.request(InterruptedRunError(2))
        return answer


def test_what_stopped_an_earlier_session_is_not_reported_of_a_later_one(
    stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed or interrupted: it is unfinished, and what was found so far comes from the log."""
    before = (stopped / RESULT).read_text("utf-8")
    assert main(["report", str(stopped)]) == 0
    assert "The run is not finished. To resume it" in capsys.readouterr().err
    stop, killed = Stop(), stopped.with_name("killed")
    request = RunRequest(
        config=config(stopped, max_calls=100),
        evaluator=FakeEvaluator(),
        chat=Interrupting(stop, stopped, killed),
        stop=stop,
    )
    with pytest.raises(InterruptedRunError):
        run_virtual(resume_run(request, stopped))
    for run_dir in (stopped, killed):
        state = state_of(run_dir)
        assert (state.state, state.stop_reason, state.limits) == ("unfinished", None, ())
        assert state.progress.rounds >= 3
        assert (run_dir / BEFORE[RESULT]).read_text("utf-8") == before
        assert "the limit of 2 calls" in (run_dir / BEFORE[REPORT]).read_text("utf-8")
        assert not (run_dir / REPORT).exists()
        capsys.readouterr()
        assert main(["status", str(run_dir)]) == main(["report", str(run_dir)]) == 0
        assert "stopped: " not in capsys.readouterr().out
        page = (run_dir / REPORT).read_text("utf-8")
        assert "the limit of 2 calls" not in page
        assert main(["export", str(run_dir), "--format", "csv"]) == 2
        assert main(["compare", str(run_dir), str(run_dir)]) == 2
        result = resumed(run_dir)
        assert result.status == json.loads((run_dir / RESULT).read_text("utf-8"))["status"] == "finished"


def test_a_model_that_cannot_be_opened_leaves_the_result(stopped: Path) -> None:
    """The session has not begun."""

    class Broken(FakeEvaluator):
        @property
        def info(self) -> Any:
            raise UsageError("it cannot be opened")

    with pytest.raises(UsageError):
        resumed(stopped, {"max_calls": 9}, evaluator=Broken())
    assert state_of(stopped).limits == ("calls",)


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (TWICE, {"restarts": 4}),
        ({"rounds": 2}, {"rounds": 5}),
        ({"rounds": 2}, {"rounds": 3, "conversations": 2, "restarts": 3}),
        (TWICE | {"max_calls": 3}, {"restarts": 3, "max_calls": 100}),
    ],
)
def test_an_extended_run_ends_as_one_that_was_begun_so(
    tmp_path: Path, begun: dict[str, Any], more: dict[str, Any]
) -> None:
    """And asks for nothing that it has; its test split is opened again, and that is counted."""
    whole, first, second = ChatByHash(), ChatByHash(), ChatByHash()
    expected = searched(config(tmp_path / "whole", **{**begun, **more}), chat=whole)
    before = searched(config(tmp_path / "run", **begun), chat=first)
    result = resumed(tmp_path / "run", more, chat=second)
    assert result.leaderboard == expected.leaderboard
    assert result.best == expected.best
    hashes = sorted(request.hash for request in (*first.asked, *second.asked))
    assert hashes == sorted(request.hash for request in whole.asked)
    assert result.test_opened == (before.test_opened or 0) + 1
    again = resumed(tmp_path / "run")
    assert again == result


def test_an_extension_that_is_interrupted_is_no_finished_run(tmp_path: Path) -> None:
    """The earlier result is kept beside, without being taken for the run's; a plain resume continues."""
    run_dir = tmp_path / "run"
    before = searched(config(run_dir, **TWICE))
    stop = Stop()

    class InterruptedAtOnce(ChatByHash):
        async def chat(self, request: ChatRequest) -> ChatAnswer:
            stop.request(InterruptedRunError(2))
            return await super().chat(request)

    extended, chat = config(run_dir, **TWICE, restarts=3), InterruptedAtOnce()
    request = RunRequest(config=extended, evaluator=FakeEvaluator(), chat=chat, stop=stop)
    with pytest.raises(InterruptedRunError):
        run_virtual(resume_run(request, run_dir))
    assert state_of(run_dir).state == "unfinished"
    kept = json.loads((run_dir / BEFORE[RESULT]).read_text("utf-8"))
    assert kept["best"]["test"] == before.best.test
    assert (run_dir / "details.before.json").exists()
    assert not (run_dir / "details.json").exists()
    result = resumed(run_dir)
    assert (result.status, result.test_opened) == ("finished", 2)
    assert {row.restart for row in result.leaderboard} == {1, 2, 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"restarts": 1},
            "`restarts = 1`: the run was started with 2; a run can be given more, but not less",
        ),
        ({"rounds": 1, "restarts": 3}, "`rounds = 1`: the run was started with 2"),
        ({"rounds": 3}, "would be paid for again; give `conversations = 3`"),
    ],
)
def test_what_would_lose_answers_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """One line; the finished run is as it was."""
    run_dir = tmp_path / "run"
    before = searched(config(run_dir, **TWICE))
    with pytest.raises(StoreMismatchError) as caught:
        resumed(run_dir, change)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert resumed(run_dir) == before
    assert not (run_dir / "result.before.json").exists()


def test_a_method_that_pays_nothing_may_have_more_rounds(tmp_path: Path) -> None:
    """Whatever it would do again costs no answer."""
    settings = config(tmp_path / "run", **TWICE).model_dump() | {"method": "random", "llm": None}
    run_virtual(search(SearchConfig(**settings), custom_scorer=FakeEvaluator()))
    result = run_virtual(resume(tmp_path / "run", changes={"rounds": 4}, custom_scorer=FakeEvaluator()))
    assert max(row.round for row in result.leaderboard) > 2


class Leaving(ChatByHash):
    """Takes the run's folder away with its second answer."""

    def __init__(self, leave: Callable[[], object]) -> None:
        super().__init__()
        self._leave = leave

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        answer = await super().chat(request)
        if len(self.asked) == 2:
            self._leave()
        return answer


@pytest.mark.parametrize("how", ["removed", "moved", "replaced", "unlocked"])
def test_a_run_whose_folder_goes_asks_nothing_more(tmp_path: Path, how: str) -> None:
    """It stops at the next commit; what was moved resumes there, the answer in flight included."""
    run_dir, moved = tmp_path / "r", tmp_path / "moved"

    def leave() -> None:
        if how == "unlocked":  # another process could take it now
            (run_dir / "store" / "run.lock").unlink()
            return
        if how == "replaced":
            shutil.copytree(run_dir, tmp_path / "copy")
        run_dir.rename(moved)
        if how != "moved":
            shutil.rmtree(moved)
        if how == "replaced":
            (tmp_path / "copy").rename(run_dir)

    chat = Leaving(leave)
    with pytest.raises(StoreGoneError, match=r"/r was removed, moved or replaced while the run was live"):
        searched(config(run_dir), chat=chat)
    assert len(chat.asked) == 2
    assert run_dir.exists() == (how in ("replaced", "unlocked"))
    if how == "moved":
        later = ChatByHash()
        result = resumed(moved, chat=later)
        assert (result.usage.calls, len(later.asked)) == (6, 4)


def test_the_command_line_says_what_is_kept_of_a_run_that_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not that everything is kept, and no command that cannot work."""

    def removing(_spec: object) -> FakeEvaluator:
        return FakeEvaluator(before_batch=lambda _batch: shutil.rmtree(tmp_path / "r", ignore_errors=True))

    stand_in(monkeypatch, removing)
    monkeypatch.chdir(tmp_path)
    assert main(["search", "--method", "random", "--restarts", "1", "--run-dir", "r"]) == 1
    err = capsys.readouterr().err
    assert "r is gone. If you moved it, resume it at its new place" in err
    assert "Everything is kept" not in err


def test_nothing_is_requested_on_a_disk_that_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that cannot be written is lost: those in flight are kept, and no other is paid for."""

    class Filling(ChatByHash):
        async def chat(self, request: ChatRequest) -> ChatAnswer:
            answer = await super().chat(request)
            if len(self.asked) == 3:  # as if another program had filled the disk
                monkeypatch.setattr(disk, "LEAST_FREE_BYTES", 2**62)
            return answer

    chat, later, run_dir = Filling(), ChatByHash(), tmp_path / "r"
    with pytest.raises(StoreFullError, match=r"the disk is full: .* MB are free"):
        searched(config(run_dir, concurrency=2), chat=chat)
    with Store.open(run_dir) as store:
        assert len(answers(store)) == len(chat.asked) == store.usage.calls
    monkeypatch.setattr(disk, "LEAST_FREE_BYTES", 0)
    result = resumed(run_dir, chat=later)
    assert len(chat.asked) + len(later.asked) == result.usage.calls == 6
    assert result.leaderboard == searched(config(tmp_path / "whole")).leaderboard


def test_opening_data_and_model_is_no_active_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On resume as at the start, and also if it fails; else each session would use up the minutes."""
    times, fails = [100.0], [False]

    def opened(_spec: EvaluatorSpec) -> FakeEvaluator:
        times[0] += 30.0
        if fails[0]:
            raise UsageError("no such model")
        return FakeEvaluator()

    stand_in(monkeypatch, opened)
    monkeypatch.setitem(Store.__init__.__kwdefaults__, "clock", lambda: times[0])
    run_dir = tmp_path / "r"
    few = ("--method", "random", "--initial", "5", "--restarts", "1", "--max-minutes", "0")
    assert main(["search", *few, "--run-dir", str(run_dir)]) == 0
    fails[0] = True
    assert main(["resume", str(run_dir)]) == 2
    fails[0] = False
    assert main(["resume", str(run_dir), "--max-minutes", "0.1"]) == 0
    result = json.loads((run_dir / RESULT).read_text("utf-8"))
    assert (result["status"], result["wall_s"]) == ("finished", 0.0)


def test_a_run_that_had_finished_says_so_when_it_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """First of all: the result that follows is no new one."""
    stand_in(monkeypatch, lambda _spec: FakeEvaluator())
    few = ("--method", "random", "--initial", "5", "--restarts", "1", "--rounds", "1")
    assert main(["search", *few, "--run-dir", str(tmp_path / "r")]) == 0
    capsys.readouterr()
    assert main(["resume", str(tmp_path / "r")]) == 0
    first = "".join(capsys.readouterr().err.split("\n")[:3])
    assert "r is already finished; nothing was done. Its result:" in first
