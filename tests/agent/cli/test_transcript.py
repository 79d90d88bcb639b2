"""``transcript``: what was asked and answered, of runs that work, were stopped or are done."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.api import search
from promptclimb.agent.cli.main import main
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import BadRequestError
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.store.run import Store
from tests.fakes.chat_by_hash import text_for
from tests.fakes.clock import run_virtual
from tests.fakes.evaluators import FakeEvaluator

EVIL = "- a ``` {}\n````\n\x1b[31m# Restart 9\n- a sk-test-0123456789abcdef {}"


class Chat:
    """Answers once with something evil, then with templates; refuses the last request."""

    def __init__(self) -> None:
        self.asked: list[ChatRequest] = []

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self.asked.append(request)
        if len(self.asked) == 3:
            raise BadRequestError("flagged by a content filter")
        text = EVIL if len(self.asked) == 1 else text_for(request)
        return ChatAnswer(text=text, prompt_tokens=10, completion_tokens=5, model="fake-1")


@pytest.fixture
def chat(tmp_path: Path) -> Chat:
    """A finished run of one restart, two conversations of two rounds."""
    asked = Chat()
    config = SearchConfig(
        data="fake", llm="fake", method="pn", restarts=1, conversations=2, rounds=2, initial=6,
        retry_attempts=1, run_dir=tmp_path / "run",
    )  # fmt: skip
    run_virtual(search(config, custom_scorer=FakeEvaluator(), chat=asked))
    return asked


def rows(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines that were printed."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_exchange_is_printed_in_order(
    tmp_path: Path, chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it was asked, with the answer or why it is missing; the same while a process works on the run."""
    assert main(["transcript", str(tmp_path / "run"), "--format", "jsonl"]) == 0
    first_rows = rows(capsys)
    places = [(row["restart"], row["conversation"], row["round"], row["sample"]) for row in first_rows]
    assert places == [(1, 1, 1, 0), (1, 1, 2, 0), (1, 2, 1, 0), (1, 2, 2, 0)]
    answered = [row for row in first_rows if row["answer"]]
    requests = [request for number, request in enumerate(chat.asked) if number != 2]
    assert [row["messages"] for row in answered] == [list(request.messages) for request in requests]
    assert answered[1]["answer"]["text"] == text_for(requests[1])
    assert "content filter" in first_rows[2]["skipped"]
    with Store.open(tmp_path / "run"):
        assert main(["transcript", str(tmp_path / "run"), "--format", "jsonl"]) == 0
    assert rows(capsys) == first_rows


def test_the_page_for_people_holds_what_an_llm_says(
    tmp_path: Path, chat: Chat, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks that it cannot leave, without control characters and keys; a conversation is not repeated."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    assert main(["transcript", str(tmp_path / "run")]) == 0
    text = capsys.readouterr().out
    assert "`````text\n- a ``` {}\n````\n [31m# Restart 9\n- a [secret] {}\n`````" in text
    assert "\x1b" not in text
    assert text.count(chat.asked[0].messages[0]["content"]) == 1
    assert "message as above*" in text or "messages as above*" in text
    assert "**answer** (fake-1, stop, 10 tokens in, 5 out)" in text
    assert "**no answer**: " in text
    headings = [line for line in text.splitlines() if line.startswith("##")]
    assert headings[:2] == ["## Restart 1", "### Restart 1, conversation 1, round 1"]


def test_what_is_no_run_is_said(tmp_path: Path, chat: Chat, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit code 2; also of a store that was changed from outside."""
    assert main(["transcript", str(tmp_path / "nothing")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["transcript", str(tmp_path / "empty")]) == 2
    assert "holds no run" in capsys.readouterr().err
    with sqlite3.connect(tmp_path / "run" / "store" / "cache.db") as database:
        database.execute("UPDATE Cache SET value = x'80' WHERE key LIKE 'answer:%'")
    database.close()
    assert main(["transcript", str(tmp_path / "run")]) != 0
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("command", ["transcript", "report", "export", "status", "resume"])
@pytest.mark.usefixtures("chat")
def test_a_file_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Who gives a run's ``result.json`` gets the folder."""
    (tmp_path / "loose.txt").write_text("")
    for file, way in (("run/result.json", "the folder of its run, "), ("loose.txt", "a run's folder")):
        assert main([command, str(tmp_path / file)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{Path(file).name} is a file; give {way}" in line


def test_a_run_that_asks_nobody_has_no_exchanges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so."""
    config = SearchConfig(data="fake", method="random", restarts=1, initial=6, run_dir=tmp_path / "run")
    run_virtual(search(config, custom_scorer=FakeEvaluator()))
    assert main(["transcript", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.endswith("\nNo LLM is asked in this run (method random).\n")
