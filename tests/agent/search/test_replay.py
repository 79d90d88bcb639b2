"""Any state that a crash can leave behind resumes to the end of the undisturbed run."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptclimb import SearchConfig
from promptclimb.agent.errors import BadRequestError, ChatError, FlaggedRequestError, UnusableAnswerError
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.store.run import Store
from tests.fakes.searches import resumed, searched
from tests.fakes.stored import answers
from tests.fakes.words import reply_text

_runs = itertools.count()


class NeverTheSame:
    """A chat that answers every request anew, as sampling does, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._salt = next(_runs)

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self.asked.append(request.hash)
        text = reply_text(f"{request.hash}:{self._salt}:{len(self.asked)}")
        return ChatAnswer(text=text, prompt_tokens=10, completion_tokens=5)


def config(run_dir: Path, rounds: int, **more: Any) -> SearchConfig:
    """A restart of so many rounds."""
    small = {"restarts": 1, "conversations": 1, "proposals": 2, "initial": 6, **more}
    return SearchConfig(data="fake", llm="fake", method="pn", rounds=rounds, run_dir=run_dir, **small)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    run_dir = tmp_path_factory.mktemp("done") / "run"
    searched(config(run_dir, 2, restarts=3, conversations=2, concurrency=2), chat=NeverTheSame())
    return run_dir


def rows(run_dir: Path) -> int:
    """How many rows were written, in the order of writing."""
    with contextlib.closing(sqlite3.connect(run_dir / "store" / "cache.db")) as database:
        (count,) = database.execute("SELECT max(rowid) FROM Cache").fetchone()
        return int(count)


def cut(run_dir: Path, keep: int, folder: Path) -> Path:
    """A copy in which only the first rows of the journal were written."""
    copy = folder / "run"
    shutil.copytree(run_dir, copy)
    for name in ("result.json", "leaderboard.csv", "templates.json"):
        (copy / name).unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(copy / "store" / "cache.db")) as database:
        gone = "DELETE FROM Cache WHERE rowid > ? AND substr(key, 1, 5) IN ('answe', 'score', 'note:')"
        database.execute(gone, (keep,))
        database.commit()
    return copy


@settings(max_examples=5, deadline=None)
@given(st.floats(0, 1))
def test_any_prefix_of_the_journal_is_kept_and_gone_on_from(done: Path, share: float) -> None:
    """Nothing in it is asked again or changed, though the endpoint would now answer differently."""
    with tempfile.TemporaryDirectory() as folder:
        copy = cut(done, int(rows(done) * share), Path(folder))
        with Store.open(copy) as store:
            before = answers(store)
        chat = NeverTheSame()
        result = resumed(copy, chat=chat)
        with Store.open(copy) as store:
            after = answers(store)
    assert result.status == "finished"
    assert {position: after[position] for position in before} == before
    assert len(after) == 12
    assert not {stored.request_hash for stored in before.values()} & set(chat.asked)
    assert len(chat.asked) == len(after) - len(before)


def test_a_whole_journal_gives_the_same_bytes_without_a_request(done: Path, tmp_path: Path) -> None:
    """With every answer on disk, scores lost or not, the end is the same."""
    copy = cut(done, rows(done), tmp_path)
    with contextlib.closing(sqlite3.connect(copy / "store" / "cache.db")) as database:
        database.execute("DELETE FROM Cache WHERE key LIKE 'score:%' AND rowid % 3 = 0")
        database.commit()
    chat = NeverTheSame()
    resumed(copy, chat=chat)
    assert chat.asked == []
    assert (copy / "leaderboard.csv").read_bytes() == (done / "leaderboard.csv").read_bytes()


class RefusesTheSecond(NeverTheSame):
    """Will not continue with a conversation that already has an answer."""

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        if len(request.messages) > 2:
            self.asked.append(request.hash)
            raise UnusableAnswerError("the model refuses to answer", reason="refusal")
        return await super().chat(request)


def test_a_refusal_of_the_last_round_is_an_end(tmp_path: Path) -> None:
    """It was answered and paid for: the run is finished, and a resume asks for nothing."""
    result = searched(config(tmp_path / "run", 2, restarts=2), chat=RefusesTheSecond())
    assert (result.status, result.skipped) == ("finished", 2)
    again = RefusesTheSecond()
    assert resumed(tmp_path / "run", chat=again).status == "finished"
    assert again.asked == []


class Refuses:
    """Answers by the request alone; refuses all from a number on, and conversations of one length."""

    def __init__(
        self, *, after: int = 10**6, turns: int = 0, kind: type[ChatError] = BadRequestError
    ) -> None:
        self.asked = 0
        self._after = after
        self._turns = turns
        self._kind = kind

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self.asked += 1
        if self.asked > self._after or len(request.messages) == self._turns:
            raise self._kind("the server says no", status=400)
        return ChatAnswer(text=reply_text(request.hash), prompt_tokens=10, completion_tokens=5)


def test_refusals_that_turn_out_to_be_the_endpoints_fault_cost_nothing(tmp_path: Path) -> None:
    """An account that ran out in words that nobody knows: filled again, the run ends as if undisturbed."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    searched(config(whole, 14), chat=Refuses())
    with pytest.raises(BadRequestError, match="says no"):
        searched(config(broken, 14), chat=Refuses(after=3))
    again = resumed(broken, chat=(chat := Refuses()))
    assert (again.status, again.skipped, chat.asked) == ("finished", 0, 11)
    assert (broken / "leaderboard.csv").read_bytes() == (whole / "leaderboard.csv").read_bytes()


def test_a_filter_that_refuses_the_first_request_of_a_session_costs_its_round_alone(tmp_path: Path) -> None:
    """As it does where the run is not cut off: the settings are right, for there are answers."""
    whole, cut_off = config(tmp_path / "whole", 5), config(tmp_path / "cut", 5)
    chat = Refuses(turns=5, kind=FlaggedRequestError)
    undisturbed = searched(whole, chat=chat)
    assert (undisturbed.status, undisturbed.skipped) == ("finished", 3)
    stopped = cut_off.model_copy(update={"max_calls": 2})
    assert searched(stopped, chat=chat).status == "stopped"
    again = resumed(tmp_path / "cut", {"max_calls": 9}, chat=chat)
    assert (again.status, again.skipped) == ("finished", 3)


def test_a_last_request_that_is_always_refused_is_an_end_in_the_second_session(tmp_path: Path) -> None:
    """Whoever refuses it does not say why: it is asked once more, and the run is finished."""
    chat = Refuses(turns=5)
    first = searched(config(tmp_path / "run", 3), chat=chat)
    second = resumed(tmp_path / "run", chat=chat)
    assert (first.status, second.status, chat.asked) == ("stopped", "finished", 4)
