"""A run that goes on after a stop is told as unfinished until it has a new result."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.cli.main import main
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import InterruptedRunError
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.results.run_dir import REPORT, RESULT, STOPPED
from promptclimb.agent.results.run_state import state_of
from promptclimb.agent.search.api import resume, search
from promptclimb.agent.search.session import Session
from promptclimb.agent.stop import Stop
from promptclimb.evaluator.errors import UsageError
from promptclimb.evaluator.fakes import FakeEvaluator
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.clock import run_virtual


def config(run_dir: Path, **more: Any) -> SearchConfig:
    """A small search into a folder."""
    given = {
        "restarts": 2,
        "conversations": 1,
        "rounds": 3,
        "initial": 8,
        "top_k": 3,
        "concurrency": 1,
        **more,
    }
    return SearchConfig(data="fake", llm="fake", method="pn", run_dir=run_dir, **given)


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run that two calls have stopped."""
    run_virtual(search(config(tmp_path / "r", max_calls=2), evaluator=FakeEvaluator(), chat=ChatByHash()))
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
            shutil.copytree(self._run_dir, self._copy)
            self._stop.ask(InterruptedRunError(2))
        return answer


def test_what_stopped_an_earlier_session_is_not_told_of_a_later_one(
    stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed or interrupted: it is unfinished, and what was found so far comes from the log."""
    before = (stopped / RESULT).read_text("utf-8")
    assert main(["report", str(stopped)]) == 0
    stop, killed = Stop(), stopped.with_name("killed")
    session = Session(
        config=config(stopped, max_calls=100),
        evaluator=FakeEvaluator(),
        chat=Interrupting(stop, stopped, killed),
        stop=stop,
    )
    with pytest.raises(InterruptedRunError):
        run_virtual(session.resume(stopped))
    for run_dir in (stopped, killed):
        state = state_of(run_dir)
        assert (state.state, state.stop_reason, state.limits) == ("unfinished", None, ())
        assert state.rounds >= 3
        assert (run_dir / STOPPED[RESULT]).read_text("utf-8") == before
        assert "the limit of 2 calls" in (run_dir / STOPPED[REPORT]).read_text("utf-8")
        assert not (run_dir / REPORT).exists()
        capsys.readouterr()
        assert main(["status", str(run_dir)]) == main(["report", str(run_dir)]) == 0
        assert "stopped: " not in capsys.readouterr().out
        page = (run_dir / REPORT).read_text("utf-8")
        assert "the limit of 2 calls" not in page
        assert main(["export", str(run_dir), "--format", "csv"]) == 2
        assert main(["compare", str(run_dir), str(run_dir)]) == 2
        found = run_virtual(resume(run_dir, evaluator=FakeEvaluator(), chat=ChatByHash()))
        assert found.status == json.loads((run_dir / RESULT).read_text("utf-8"))["status"] == "finished"


@pytest.mark.parametrize("changes", [{"seed": 9}, {"restarts": 1}, {"track": "tensorboard:/dev/null/x"}])
def test_a_resume_that_is_refused_leaves_the_result(stopped: Path, changes: dict[str, Any]) -> None:
    """It is told as before."""
    before = (stopped / RESULT).read_bytes()
    with pytest.raises(UsageError):
        run_virtual(resume(stopped, changes=changes, evaluator=FakeEvaluator(), chat=ChatByHash()))
    assert (stopped / RESULT).read_bytes() == before
    assert not (stopped / STOPPED[RESULT]).exists()


def test_a_model_that_cannot_be_opened_leaves_the_result(stopped: Path) -> None:
    """The session has not begun."""

    class Broken(FakeEvaluator):
        @property
        def info(self) -> Any:
            raise UsageError("it cannot be opened")

    with pytest.raises(UsageError):
        run_virtual(resume(stopped, changes={"max_calls": 9}, evaluator=Broken(), chat=ChatByHash()))
    assert state_of(stopped).limits == ("calls",)
