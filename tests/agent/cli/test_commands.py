"""The command line: exit codes, what goes where, and errors that are one line."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from PIL import Image

from promptclimb.agent.cli import doctor
from promptclimb.agent.cli.main import main
from promptclimb.agent.cli.output import FAILED, NOTHING_USABLE
from promptclimb.agent.cli.parser import COMMANDS, make_parser
from promptclimb.agent.cli.search import run_session
from promptclimb.agent.config.schema import GONE_NAMES, OPTIONS, SearchConfig
from promptclimb.agent.methods.registry import METHODS
from promptclimb.agent.results.exports import FORMS
from promptclimb.agent.search.api import load_data, search_sync
from promptclimb.agent.search.run import start_run
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.datasets.loading import SCHEMES
from promptclimb.evaluator.errors import UsageError
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.scoring import ClassAccuracy, Confusion, Inspection, SplitScores
from promptclimb.evaluator.settings import Group
from tests.fakes.black_box import stand_in
from tests.fakes.chat_server import ChatServer, ServerOptions
from tests.fakes.few_shots import pictures
from tests.paths import ROOT

KEY = "sk-test-0123456789abcdefghij"
SMALL = (
    *("--restarts", "2", "--conversations", "1", "--rounds", "3", "--proposals", "3"),
    *("--initial", "10", "--llm", "fake", "--method", "pn"),
)
FEW = ("--restarts", "1", "--conversations", "1", "--rounds", "2", "--initial", "5")


@pytest.fixture
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that fails is not sent again."""
    monkeypatch.setenv("PROMPTCLIMB_RETRY_ATTEMPTS", "1")


class Serving:
    """A chat server in a thread of its own, for as long as a test lasts."""

    def __init__(self, **options: Any) -> None:
        self._options = ServerOptions(**options)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> ChatServer:
        self._thread.start()
        assert self._ready.wait(20)
        return self.server

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(20)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._done = asyncio.Event()
        async with ChatServer(self._options) as self.server:
            self._ready.set()
            await self._done.wait()


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """An endpoint that asks for the key."""
    with Serving(key=KEY) as found:
        yield found


@pytest.fixture(autouse=True)
def fake_evaluator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeEvaluator:
    """Words in place of a model and its images; runs go to a folder of the test's own."""
    evaluator = FakeEvaluator()
    stand_in(monkeypatch, lambda _spec: evaluator)
    monkeypatch.setattr(sys, "argv", ["run_agent.py"])
    monkeypatch.chdir(tmp_path)
    return evaluator


def call(*arguments: str | Path) -> int:
    """Runs a command in this process."""
    return main([str(argument) for argument in arguments])


def only_line(text: str) -> str:
    """The one line that was written."""
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    return lines[0]


def test_a_search_prints_its_result_and_leaves_its_files(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With --json the result alone is on standard output; the table and all else are on standard error."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert call("search", *SMALL, "--base-url", server.base_url, "--run-dir", "r", "--json") == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result == json.loads((tmp_path / "r" / "result.json").read_text())
    assert (result["schema"], result["status"], result["usage"]["calls"]) == (3, "finished", 6)
    assert set(result["baselines"]) == {"default template", "hand-made", "best starting template"}
    assert {"best found", "ensemble", "default template"} <= {part.strip() for part in err.split("│")}
    names = {path.name for path in (tmp_path / "r").iterdir()}
    assert names == {
        "config.toml",
        "details.json",
        "events.jsonl",
        "leaderboard.csv",
        "report.html",
        "result.json",
        "store",
        "templates.json",
    }
    assert json.loads((tmp_path / "r" / "templates.json").read_text()) == result["ensemble"]["templates"]


def test_the_key_is_nowhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Not in a file, not on a screen, even if the server echoes it and the address holds a password."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with Serving(key=KEY, script=("echo_key", "ok", "ok", "echo_key")) as server:
        url = server.base_url.replace("http://", "http://me:pw-0123456789@")
        code = call("search", *SMALL, "--base-url", url, "--run-dir", "r", "--concurrency", "1")
    out, err = capsys.readouterr()
    files = [path.read_bytes() for path in (tmp_path / "r").rglob("*") if path.is_file()]
    for secret in (KEY, "pw-0123456789"):
        assert secret not in out + err
        assert not any(secret.encode() in content for content in files)
    assert code in (0, 2)


def test_without_a_key_a_server_of_ones_own_works(capsys: pytest.CaptureFixture[str]) -> None:
    """The key is needed where the endpoint asks for one, not by us."""
    with Serving() as server:
        assert call("search", *SMALL, "--base-url", server.base_url, "--run-dir", "r") == 0
        assert not any("Authorization" in seen["headers"] for seen in server.seen)


def test_a_missing_key_is_said_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """OpenAI's own endpoint is not asked without one."""
    assert call("search", *SMALL, "--run-dir", "r") == 2
    assert "OPENAI_API_KEY" in only_line(capsys.readouterr().err)
    assert not (tmp_path / "r").exists()


def test_a_wrong_key_is_wrong_usage(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused before anything was paid: exit code 2 and what to do."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-key-0123456789")
    assert call("search", *SMALL, "--base-url", server.base_url) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "key" in last
    assert server.statistics.billed == 0


def test_an_unknown_model_of_the_endpoint_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """With the nearest names that it lists."""
    with Serving(model="small-chat") as server:
        assert call("search", *SMALL, "--llm", "small-chatt", "--base-url", server.base_url) == 2
    err = capsys.readouterr().err
    assert "small-chat" in err
    assert "Traceback" not in err


def test_a_server_that_is_down_is_said_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str], fake_evaluator: FakeEvaluator
) -> None:
    """Nothing listens there: one line, exit code 2."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        assert call("search", *SMALL, "--base-url", url) == 2
    assert "nothing answers at" in only_line(capsys.readouterr().err)
    assert fake_evaluator.batches == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "--shots", "0"], "--shots"),
        (["search", "--method", "nope", "--llm", "x"], "known are"),
        (["search", "--llm", "x", "--base-url", "nowhere"], "--base-url"),
        (["search"], "needs an LLM"),
        (["search", "--method", "random", "--config", "missing.toml"], "missing.toml"),
        (["search", "--method", "random", "--initial", "missing.txt"], "missing.txt"),
        (["search", "--method", "random", "--max-cost", "x"], "--max-cost"),
        (["search", "--frobnicate"], "--frobnicate"),
        (["resume", "missing"], "there is no folder"),
        (["report", "missing"], "lists the runs in runs/"),
        (["--hepl"], "there is no option '--hepl'; did you mean --help?"),
        (["serach"], "there is no command 'serach'; did you mean search?"),
        (["search", "--method", "random", "--data", ""], "--data '': it is empty"),
        (["nonsense"], "nonsense"),
        (["evaluate", "--templates", "missing.txt"], "missing.txt"),
        (["evaluate"], "give --templates FILE, --white-box NAMES or both"),
        (["evaluate", "--white-box", "coop,tip-adaptr"], "'tip-adaptr'; did you mean tip-adapter"),
        (["evaluate", "--white-box", ","], "no white-box reference is named"),
        (["evaluate", "--white-box", "coop"], "a custom scorer is not one"),
        (["search", "--method", "random", "--max-minut", "3"], "--max-minut"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was wrong is named; nothing is on standard output."""
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert said in only_line(err)
    assert out == ""


@pytest.mark.parametrize(
    "content",
    [b"", b"a photo\n", b"\xff\xfe\x00", b"[1, 2]", b'["a {}"', b"{}\n{}\n", b"one {only} {\n"],
)
def test_a_template_file_that_cannot_be_used(content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """The file and the line are named."""
    Path("t.txt").write_bytes(content)
    assert call("search", "--method", "random", "--initial", "t.txt") == 2
    assert "t.txt" in only_line(capsys.readouterr().err)


def test_folders_that_cannot_take_a_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A folder with other things, and a file."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    for name, said in (("full", "not empty"), ("file", "a file is where the folder should be")):
        assert call("search", "--method", "random", "--run-dir", name) == 2
        assert said in only_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("limit", "given"),
    [("calls", ["2"]), ("tokens", ["200"]), ("minutes", ["0.0001"]), ("cost", ["0.0001", "--price", "1/1"])],
)
def test_a_budget_that_is_spent_is_named_by_its_option(
    limit: str, given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """To resume with the same limit would do nothing: the hint has the option that raises it."""
    with Serving() as server:
        call("search", *SMALL, "--base-url", server.base_url, "--run-dir", "r", f"--max-{limit}", *given)
    last = capsys.readouterr().err.strip().splitlines()
    assert any(line.endswith(f"resume r --max-{limit} N") for line in last[-2:])


def test_an_llm_that_gives_nothing_usable_ends_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    """Whether the search finished or was stopped for it; the table says so too."""

    class Prose:
        async def chat(self, messages: object) -> str:
            return "I would rather not."

    config = SearchConfig(
        data="fake", llm="m", method="pn", restarts=1, conversations=1, rounds=2, run_dir=Path("r")
    )
    code = run_session(
        config,
        lambda request: start_run(replace(request, chat=Prose(), evaluator=FakeEvaluator())),
        as_json=False,
    )
    assert code == NOTHING_USABLE
    assert "proposed no new template that could be scored" in capsys.readouterr().out
    assert call("resume", "r") == NOTHING_USABLE


@pytest.mark.parametrize("command", ["search", "suite", "evaluate"])
def test_json_is_json_though_the_black_box_prints(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What others print while it works is on standard error."""

    class Prints(FakeEvaluator):
        def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores]:
            sys.stdout.write("the black box says\n")
            return super().examine(ensembles, test=test)

    stand_in(monkeypatch, lambda _spec: Prints())
    (tmp_path / "mine.txt").write_text("a photo of a {}\n")
    given = {
        "search": ("--data", "one", "--method", "random", *FEW, "--run-dir", "r"),
        "suite": ("--data", "one", "--methods", "random", "--seeds", "1", *FEW),
        "evaluate": ("--data", "one", "--templates", "mine.txt"),
    }[command]
    assert call(command, *given, "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)
    assert "the black box says" in err


@pytest.mark.usefixtures("one_attempt")
@pytest.mark.parametrize(("unusable", "code"), [(4, NOTHING_USABLE), (2, 0)])
def test_a_suite_in_which_no_llm_gave_anything_usable_ends_with_3(unusable: int, code: int) -> None:
    """Answers without a text count, paid for as they are; one search that got something is enough."""
    which = ("--data", "one", "--seeds", "1,2", "--methods", "pn,random")
    with Serving(script=("null",) * unusable) as server:
        asked = ("--llm", "m", "--base-url", server.base_url)
        assert call("suite", *which, *FEW, *asked) == code


@pytest.mark.usefixtures("one_attempt")
@pytest.mark.parametrize("fault", ["500", "cut_off"])
def test_an_llm_that_never_answers_ends_with_3(fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A search and a suite of nothing but failures do not pass for finished ones."""
    with Serving(script=(fault,) * 99) as server:
        asked = ("--llm", "m", "--base-url", server.base_url, "--method", "pn")
        one = ("--data", "one", "--restarts", "1", "--conversations", "1", "--rounds", "1")
        assert call("search", *one, *asked, "--run-dir", "r") == NOTHING_USABLE
        assert "the LLM gave no answer" in capsys.readouterr().out
        suite = ("--seeds", "1,2", "--methods", "pn", *asked[:-2])
        assert call("suite", *one, *suite) == NOTHING_USABLE


@pytest.mark.usefixtures("one_attempt")
def test_a_search_that_an_outage_stopped_has_failed() -> None:
    """It has some templates of the LLM's, and is neither finished nor stopped by a limit."""
    with Serving(script=("ok", *("500",) * 99)) as server:
        asked = ("--llm", "m", "--base-url", server.base_url, "--method", "pn")
        one = ("--data", "one", "--restarts", "1", "--conversations", "1", "--rounds", "2")
        assert call("search", *one, *asked, "--run-dir", "r") == FAILED


def test_of_several_spent_budgets_each_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """More of one alone would not go on."""
    with Serving() as server:
        more = ("--base-url", server.base_url, "--run-dir", "r", "--max-calls", "0", "--max-tokens", "9")
        assert call("search", *SMALL, *more) == 0
    err = capsys.readouterr().err
    assert "the limits of 0 calls and 9 tokens (the next request may need more than is left) are" in err
    assert "Resume with higher limits: python run_agent.py resume r --max-calls N --max-tokens N" in err


def test_a_price_that_no_table_has_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """A server of one's own is in no table: the line says so, and what to give."""
    with Serving() as server:
        for more in ((), ("--dry-run",)):
            given = ("--base-url", server.base_url, "--price", "auto", "--max-cost", "1")
            assert call("search", *SMALL, *given, *more) == 2
            said = capsys.readouterr().err
            assert f"knows no vendor at {server.base_url}; set its price with --price IN/OUT" in only_line(
                said
            )
    assert server.statistics.requests == 0


def test_the_dry_run_knows_prices_from_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """With what is asked at most of the most expensive kind of token."""
    vendor = (
        "--base-url",
        "https://api.anthropic.com/v1",
        "--llm",
        "claude-haiku-4-5",
        "--dry-run",
        "--json",
    )
    costs = []
    for price in ("1/5", "2/5", "auto"):
        assert call("search", *SMALL, *vendor, "--price", price, "--dry-run", "--json") == 0
        costs.append(json.loads(capsys.readouterr().out)["cost_usd"])
    # Written to a cache for an hour, a token of the messages costs twice as much.
    assert costs[0] < costs[1] == costs[2]


def test_a_budget_ends_with_0_and_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The result is there, its status is stopped, and more calls go on from it."""
    with Serving() as server:
        more = ("--base-url", server.base_url, "--run-dir", "r", "--max-calls", "2")
        assert call("search", *SMALL, *more) == 0
        assert "python run_agent.py resume r" in capsys.readouterr().err
        assert json.loads((tmp_path / "r" / "result.json").read_text())["status"] == "stopped"
        assert call("resume", "r", "--max-calls", "100", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["status"], result["usage"]["calls"], result["usage"]["replayed"]) == ("finished", 6, 2)


@pytest.mark.usefixtures("one_attempt")
def test_an_endpoint_that_fails_is_named_with_what_it_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """On the terminal and on the page: its address, the last error, and how many calls failed."""
    with Serving(faults={"500": 1.0}) as server:
        few = ("--restarts", "1", "--rounds", "1")
        assert call("search", *SMALL, *few, "--base-url", server.base_url, "--run-dir", "r") == NOTHING_USABLE
    out, err = capsys.readouterr()
    page = (tmp_path / "r" / "report.html").read_text()
    said = f"no answer in the last round ({server.base_url}: no usable answer in 1 attempt: the endpoint"
    for text in (out, page):
        assert said in text
        assert "1 attempt failed" in text
    assert "Resume with: " in err


def test_a_forgotten_end_of_the_address_is_thought_of(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A search that gets 404 asks about /v1, and the doctor does not call such an address well."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    url = server.base_url.removesuffix("/v1")
    assert call("search", *SMALL, "--base-url", url, "--run-dir", "r") == 2
    *_, way_on, last = capsys.readouterr().err.strip().splitlines()
    assert "is the address right? It usually ends in /v1" in last
    assert way_on.endswith("Resume with the right address: python run_agent.py resume r --base-url URL/v1")
    assert call("resume", "r", "--base-url", server.base_url) == 0
    capsys.readouterr()
    call("doctor", "--base-url", url, "--json")
    (found,) = [one for one in json.loads(capsys.readouterr().out) if one["what"] == "endpoint"]
    assert found["state"] == "note"
    assert "/v1" in found["text"]


def test_a_wrong_model_is_corrected_when_nothing_was_paid(capsys: pytest.CaptureFixture[str]) -> None:
    """By the printed command; once an answer is on disk, another model needs another run."""
    with Serving(model="right") as server:
        given = ("--base-url", server.base_url, "--run-dir", "r")
        assert call("search", *SMALL[:-4], "--method", "pn", "--llm", "wrong", *given) == 2
        *_, way_on, last = capsys.readouterr().err.strip().splitlines()
        assert "check the model's name in --llm" in last
        assert way_on.endswith("Resume with the right model: python run_agent.py resume r --llm MODEL")
        assert call("resume", "r", "--llm", "right", "--max-calls", "2") == 0
        assert call("resume", "r", "--llm", "another", "--max-calls", "9") == 2
        assert "llm: it was 'right', now 'another'" in capsys.readouterr().err
        assert call("resume", "r", "--max-calls", "99") == 0


def test_the_doctor_says_what_an_endpoint_can_do(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By one request with what a search sends: parameters, usage, limits, thinking, context and speed."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    call("doctor", "--base-url", server.base_url, "--llm", "fake", "--json")
    found = {one["what"]: one["text"] for one in json.loads(capsys.readouterr().out)}
    assert server.statistics.requests == 1
    assert found["chat, parameters"] == "takes max_tokens, temperature, seed"
    assert found["chat, usage"] == "reported"
    assert found["chat, thinking"] == "none seen"
    assert {"chat, answer", "chat, rate limits", "chat, context"} <= set(found)
    capsys.readouterr()
    call("doctor", "--base-url", "http://127.0.0.1:9/v1", "--llm", "fake")
    assert "nothing answers" in capsys.readouterr().out


@pytest.mark.parametrize("pool", [False, True])
def test_credentials_that_a_resumed_run_lacks_are_reported(
    pool: bool, server: ChatServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Beside the command that goes on, and without them."""
    url = server.base_url.replace("://", "://user:passw0rd1@")
    (tmp_path / "pool.toml").write_text(f"[[endpoints]]\nbase_url = '{url}'\n")
    where = ("--config", str(tmp_path / "pool.toml")) if pool else ("--base-url", url)
    call("search", *SMALL, *where, "--max-calls", "1", "--run-dir", "r")
    said = capfd.readouterr().err
    assert (
        "addresses of [[endpoints]] are not kept" if pool else "address are not kept: give it with"
    ) in said
    assert "passw0rd1" not in said


@pytest.mark.parametrize(("key", "taken"), [(f"{KEY}\n", True), (f"{KEY}\nsk-another", False)])
def test_the_doctor_and_a_search_judge_a_key_alike(
    key: str,
    taken: bool,
    server: ChatServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A line end that copying brought is nothing; a second line is one sentence, and is not shown."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert call("search", *SMALL, "--base-url", server.base_url, "--run-dir", "r") == (0 if taken else 2)
    said = capfd.readouterr().err
    assert ("OPENAI_API_KEY has characters that no key has" in said) is not taken
    call("doctor", "--base-url", server.base_url, "--llm", "fake", "--json")
    found = {one["what"]: one["state"] for one in json.loads(capfd.readouterr().out)}
    assert (found["key"], found["endpoint"]) == (("ok", "ok") if taken else ("wrong", "wrong"))
    assert "sk-another" not in said


def test_the_doctor_gives_an_endpoint_that_hangs_a_minute_in_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its list, which it need not have, gets a part of it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert doctor.LIST_S < doctor.PATIENCE_S == 60
    monkeypatch.setattr(doctor, "PATIENCE_S", 0.4)
    monkeypatch.setattr(doctor, "LIST_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        found = {what: (state, text) for what, state, text in doctor._endpoint(url, "fake")}
    assert time.monotonic() - began < 10
    assert (found["endpoint"][0], found["chat"][0]) == ("note", "wrong")
    assert "did not answer within" in found["endpoint"][1]


def test_the_doctor_asks_no_model_that_nobody_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Where a list has several, or none: it would cost somebody something."""
    with Serving(script=("wrong_key",)) as server:
        assert call("doctor", "--base-url", server.base_url, "--llm", "fake", "--json") == 1
        found = {one["what"]: one for one in json.loads(capsys.readouterr().out)}
        assert found["chat"]["state"] == "wrong"
        assert "wrong API key" in found["chat"]["text"]
        call("doctor", "--base-url", server.base_url.removesuffix("/v1"), "--json")
        found = {one["what"]: one for one in json.loads(capsys.readouterr().out)}
        assert "give --llm MODEL" in found["chat"]["text"]
        assert server.statistics.requests == 1


def test_resume_refuses_what_would_change_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    """The difference is shown."""
    assert call("search", "--method", "random", "--restarts", "1", "--run-dir", "r") == 0
    capsys.readouterr()
    assert call("resume", "r", "--shots", "1") == 2
    err = capsys.readouterr().err
    assert "shots" in err
    assert "16" in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_everything_and_says_how_to_go_on(
    number: signal.Signals,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Exit code 128 + the signal's number; resumed, it finishes."""

    def strike(templates: Sequence[str]) -> None:
        if len(evaluator.batches) == 3:
            os.kill(os.getpid(), number)

    evaluator = FakeEvaluator(before_batch=strike)
    stand_in(monkeypatch, lambda _spec: evaluator)
    with Serving() as server:
        assert call("search", *SMALL, "--base-url", server.base_url, "--run-dir", "r") == code
        assert "python run_agent.py resume r" in capsys.readouterr().err
        assert not (tmp_path / "r" / "result.json").exists()
        assert call("resume", "r") == 0
    assert json.loads((tmp_path / "r" / "result.json").read_text())["status"] == "finished"


@pytest.mark.parametrize("method", ["random", "combine"])
def test_a_missing_local_llm_is_replaced_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    """Alone it is an error; with a fallback the result says what was used."""
    monkeypatch.setattr("promptclimb.agent.llm.local_server.PACKAGE", "not_there")
    assert call("search", "--llm", "local", "--run-dir", "r") == 2
    assert "'.[local]'" in only_line(capsys.readouterr().err)
    fallback = ("--llm-fallback", method, "--restarts", "1", "--run-dir", "r", "--json")
    assert call("search", "--llm", "local", *fallback) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert (result["method"], result["llm"]["model"]) == (method, None)
    assert "not_there is not installed" in result["notes"]["llm_fallback"]
    assert err.splitlines()[0].startswith("the local LLM cannot be used")


def test_evaluate_scores_in_the_order_of_the_file(
    capsys: pytest.CaptureFixture[str], fake_evaluator: FakeEvaluator
) -> None:
    """One score a template, and the ensemble's; the test split stays held out unless it is asked for."""
    Path("t.json").write_text('["the {}", "a photo of a {}"]')
    assert call("evaluate", "--templates", "t.json", "--split", "val", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["template"] for row in found["scores"]] == ["the {}", "a photo of a {}"]
    assert all(0 <= row["val"] <= 1 for row in [*found["scores"], found["ensemble"]])
    assert fake_evaluator.opened == 0
    assert call("evaluate", "--templates", "t.json", "--split", "test", "--json") == 0
    assert fake_evaluator.opened == 1


class Reporting(FakeEvaluator):
    """An evaluator that says which classes it confuses."""

    def inspect(self, ensemble: Sequence[str], *, split: str) -> Inspection:
        """Always the same."""
        return Inspection(
            classes=(ClassAccuracy("cat", 4, 3), ClassAccuracy("[dog]", 4, 1), ClassAccuracy("cow", 0, 0)),
            confusions=(Confusion("[dog]", "cat", 3), Confusion("cat", "[dog]", 1)),
        )


def test_evaluate_says_which_classes_are_confused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On request: as JSON, as tables with the worst class first; an evaluator that cannot is reported."""
    Path("t.json").write_text('["the {}", "a photo of a {}"]')
    ask = ("evaluate", "--templates", "t.json", "--confusions")
    assert call(*ask) == 2
    assert "does not say which classes it confuses" in only_line(capsys.readouterr().err)
    stand_in(monkeypatch, lambda _spec: Reporting())
    assert call(*ask, "1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["confusions"] == [{"true": "[dog]", "taken_for": "cat", "images": 3}]
    cat = {"name": "cat", "images": 4, "correct": 3, "accuracy": 0.75, "recall": 0.75, "precision": 0.5}
    assert found["classes"][0] == cat
    assert found["matrix"] == [[3, 1, 0], [3, 1, 0], [0, 0, 0]]
    assert found["classes"][2]["accuracy"] is None
    assert call(*ask) == 0
    out = capsys.readouterr().out
    assert out.index("75.00") > out.index("25.00")
    assert "[dog]" in out
    assert re.search(r"1 cat +│ 3 │ 1 │ 0 │", out)
    assert call(*ask[:-1], "--matrix", "m/found.csv") == 0
    assert (
        Path("m/found.csv").read_text("utf-8")
        == "true class,cat,[dog],cow\ncat,3,1,0\n[dog],3,1,0\ncow,0,0,0\n"
    )
    out, err = capsys.readouterr()
    assert "most often confused" not in out
    assert "confusion matrix: m/found.csv" in err
    assert call(*ask, "0") == 2


def test_evaluate_shows_white_box_references_beside_templates(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a real model, on the split that is asked for; apart from the templates, and named white box."""
    monkeypatch.delenv("PROMPTCLIMB_CUSTOM_SCORER")
    spec = pictures(tmp_path)
    clip = ("--data", spec.data, "--model", spec.model, "--pretrained", spec.pretrained, "--shots", "4")
    ask = ("evaluate", *clip, "--device", "cpu", "--white-box", "tip-adapter,linear-probe")
    assert call(*ask, "--split", "val", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["template"] for row in found["scores"]] == ["a photo of a {}"]
    assert [row["name"] for row in found["white_box"]] == ["tip-adapter", "linear-probe"]
    assert all(0 <= row["val"] <= 1 and row["test"] is None for row in found["white_box"])
    Path("t.txt").write_text("the {}\nmy {}\n")
    assert call(*ask, "--templates", "t.txt") == 0
    out, err = capsys.readouterr()
    assert out.index("ensemble of all 2") < out.index("white box") < out.index("tip-adapter")
    assert "alpha 1, beta 5.5, a photo of a {}" in " ".join(re.sub("[│┃]", " ", out).split())
    assert sum(line.startswith("model:") for line in err.splitlines()) == 1
    assert "linear-probe: fitted in" in err
    assert re.search(r"the \{\} .* \d+\.\d\d .* \d+\.\d to \d+\.\d", out)
    assert "use --split val to choose" in err


def test_a_black_box_of_ones_own_works_on_the_command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Search, resume from another folder, and evaluate, with a factory from a file."""
    Path("own.py").write_text(
        "class Lengths:\n"
        "    def score(self, templates):\n"
        "        return [1 / (1 + abs(20 - len(template))) for template in templates]\n"
    )
    own = ("--custom-scorer", "own.py:Lengths", "--data", "notes")
    assert call("search", *own, "--method", "random", "--restarts", "1", "--run-dir", "r", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"]["name"] == "Lengths"
    assert (found["ensemble"]["train"], found["best"]["test"]) == (None, None)
    (tmp_path / "r" / "result.json").unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert call("resume", str(tmp_path / "r"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["leaderboard"] == found["leaderboard"]
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_text("a photo of a {}\n")
    assert call("evaluate", *own, "--templates", "t.txt", "--split", "train", "--json") == 0
    assert json.loads(capsys.readouterr().out)["scores"] == [
        {"template": "a photo of a {}", "train": pytest.approx(1 / 6)}
    ]
    assert call("evaluate", *own, "--templates", "t.txt") == 2
    assert "has no test images; choose another split" in only_line(capsys.readouterr().err)


class Named(FakeEvaluator):
    """An evaluator whose classes have names in scripts that few encodings have."""

    def inspect(self, ensemble: Sequence[str], *, split: str) -> Inspection:
        names = ("café", "猫")
        classes = tuple(ClassAccuracy(name=name, images=4, correct=3) for name in names)
        return Inspection(classes=classes, confusions=(Confusion(*names, 3),))


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_every_name_can_be_written_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an encoding lacks is written as an escape; JSON stays JSON."""
    stand_in(monkeypatch, lambda _spec: Named())
    Path("t.txt").write_text("a {}\nun café {}\n", "utf-8")
    for name in ("猫", "café"):
        for number in range(3):
            path = Path("data", name, f"{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (80 * number, len(name), 0)).save(path)
    written = []
    for command in (
        ["evaluate", "--templates", "t.txt", "--confusions"],
        ["evaluate", "--templates", "t.txt", "--confusions", "--json"],
        ["datasets", "data", "--shots", "1"],
        ["datasets", "data", "--shots", "1", "--json"],
    ):
        out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr("sys.stdout", out)
        assert call(*command) == 0
        out.flush()
        written.append(out.buffer.getvalue().decode(encoding))  # type: ignore[attr-defined]
    assert json.loads(written[1])["classes"][1]["name"] == "猫"
    assert set(json.loads(written[3])["classes"]) == {"café", "猫"}
    assert all(("猫" if encoding == "utf-8" else "\\u732b") in text for text in written)


def test_scores_outside_of_0_to_1_are_no_percentages(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The table and ``evaluate`` show the numbers that the black box gives."""
    Path("own.py").write_text(
        "class Costs:\n"
        "    def score(self, templates):\n"
        "        return [-7000 - len(template) for template in templates]\n"
    )
    own = ("--custom-scorer", "own.py:Costs")
    assert call("search", *own, "--method", "random", "--restarts", "1", "--run-dir", "r") == 0
    Path("t.txt").write_text("a {}\n")
    assert call("evaluate", *own, "--templates", "t.txt", "--split", "train") == 0
    out, err = capsys.readouterr()
    assert out.count("-70") == 4
    assert "%" not in out + err
    assert "-700000" not in out + err


def test_models_are_searched_by_name_and_tag(capsys: pytest.CaptureFixture[str]) -> None:
    """Only those that match are listed, bundled ones among them; that none does is said."""
    assert call("models", "--grep", "zzz") == 0
    out, err = capsys.readouterr()
    assert (out, only_line(err)) == ("", "no model has 'zzz' in its name or tag")
    assert call("models", "--grep", "vit-b-32") == 0
    assert all("ViT-B-32" in line for line in capsys.readouterr().out.splitlines()[1:])
    assert call("models", "--grep", "PICO", "--json") == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["RN-pico", "ViT-pico"]


def test_the_dry_run_does_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It says what a search would do at most, and leaves no trace."""
    limits = ("--price", "1/2", "--rpm", "3", "--base-url", "http://127.0.0.1:9/v1")
    assert call("search", *SMALL, *limits, "--dry-run", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["calls"], found["evaluations"], found["minutes"]) == (6, 38, 2.0)
    assert found["cost_usd"] > 0
    assert list(tmp_path.iterdir()) == []
    assert call("search", "--method", "random", "--dry-run") == 0
    free = capsys.readouterr().out
    assert "templates scored" in free
    assert not any(word in free for word in ("calls", "tokens", "$"))


def test_an_unexpected_error_is_a_line_and_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """No traceback reaches the user; it is in a file, without secrets."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def exploding(*_given: object, **_named: object) -> None:
        raise ZeroDivisionError(f"never seen {KEY}")

    monkeypatch.setattr("promptclimb.agent.search.opening.ready_evaluator", exploding)
    assert call("search", "--method", "random", "--run-dir", "r") == 1
    assert "unexpected ZeroDivisionError" in only_line(capsys.readouterr().err)
    (crash,) = tmp_path.glob("promptclimb-crash-*.txt")
    assert "Traceback" in crash.read_text()
    assert KEY not in crash.read_text()


def test_help_is_light() -> None:
    """Asking for help imports neither torch nor open_clip nor openai."""
    code = (
        "import sys; sys.argv = ['run_agent.py', 'search', '--help']\n"
        "import run_agent\n"
        "assert run_agent.main() == 0\n"
        "print(sorted({'torch', 'open_clip', 'openai', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "--max-cost" in done.stdout


def test_a_pool_of_endpoints_goes_on_without_the_one_that_refuses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each endpoint has its own key, by the name of a variable; a refused one is taken out with an event."""
    monkeypatch.setenv("KEY_ONE", KEY)
    monkeypatch.setenv("KEY_TWO", "sk-another-0123456789")
    with Serving(key=KEY) as one, Serving(key="other") as two:
        Path("c.toml").write_text(
            f'[[endpoints]]\nbase_url = "{two.base_url}"\nkey_env = "KEY_TWO"\n'
            f'[[endpoints]]\nbase_url = "{one.base_url}"\nkey_env = "KEY_ONE"\nrpm = 6000\n'
        )
        assert call("search", *SMALL, "--config", "c.toml", "--run-dir", "r", "--json") == 0
        assert one.statistics.billed == 6
    result = json.loads(capsys.readouterr().out)
    assert result["llm"]["base_url"] == f"{two.base_url}, {one.base_url}"
    log = (tmp_path / "r" / "events.jsonl").read_text()
    assert "endpoint.removed" in log
    assert "sk-another" not in log


def test_a_pool_goes_on_without_an_endpoint_that_is_down(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is left out with a line; only a pool without any left is wrong usage."""
    with socket.socket() as free, Serving() as server:
        free.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        Path("c.toml").write_text(
            f'[[endpoints]]\nbase_url = "{down}"\n[[endpoints]]\nbase_url = "{server.base_url}"\n'
        )
        assert call("search", *SMALL, "--config", "c.toml", "--run-dir", "r") == 0
    assert "continuing without an endpoint: nothing answers at" in capsys.readouterr().err
    assert call("search", *SMALL, "--config", "c.toml", "--run-dir", "s") == 2
    assert "nothing answers at" in capsys.readouterr().err


def test_export_writes_every_form_that_it_names(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The help names all forms that there are; an unknown one is refused with them."""
    assert call("export", "--help") == 0
    text = "".join(capsys.readouterr().out.split())  # lines break in names too
    assert ",".join(FORMS) in text
    data = ("--data", pictures(tmp_path).data, "--shots", "4")
    assert call("search", *data, "--method", "random", "--restarts", "1", "--run-dir", "r") == 0
    capsys.readouterr()
    assert call("export", "r", "--format", "open-clip", "--out", "t.json") == 0
    out, err = capsys.readouterr()
    assert out == "t.json\n"
    assert "ensemble" in only_line(err)
    assert json.loads((tmp_path / "t.json").read_text())
    assert call("export", "r", "--format", "open-clip", "--out", "t.json", "--only", "best") == 0
    assert "best template" in only_line(capsys.readouterr().err)
    assert len(json.loads((tmp_path / "t.json").read_text())) == 1
    assert call("export", "r", "--format", "csv", "--only", "best") == 2
    assert "--only best" in only_line(capsys.readouterr().err)
    assert call("export", "r", "--format", "all", "--out", "every") == 0
    out, err = capsys.readouterr()
    assert sorted(out.splitlines()) == sorted(map(str, (tmp_path / "every").iterdir()))
    assert "left out: safetensors: " in err
    assert "Where a file can hold several templates: it holds the ensemble" in err
    assert call("export", "r", "--format", "csv", "--out", "every") == 2
    assert "--out every is a folder; name a file" in only_line(capsys.readouterr().err)
    assert call("export", "r", "--format", "openclip") == 2
    assert "class-names, all; did you mean open-clip?" in only_line(capsys.readouterr().err)
    for words in (("--format", "word"), ()):
        assert call("export", "r", *words) == 2
        assert "open-clip" in only_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    "command",
    [
        ("search", "--method", "random", "--dry-run"),
        ("suite", "--data", "one", "--methods", "random", "--dry-run"),
        ("evaluate", "--templates", "t.txt", "--split", "train"),
        ("datasets", "digits", "--shots", "1"),
    ],
)
def test_a_mistyped_variable_is_noted(
    command: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """By every command that reads settings from the environment, with what may be meant."""
    (tmp_path / "t.txt").write_text("a {}\n")
    monkeypatch.setenv("PROMPTCLIMB_SHOT", "2")
    assert call(*command) == 0
    err = capsys.readouterr().err
    assert err.count("PROMPTCLIMB_SHOT is not a setting of this program and is ignored; did") == 1
    assert "did you mean PROMPTCLIMB_SHOTS?" in err  # and no variable that shares the prefix only


def test_the_report_is_made_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The page is in the run's folder, and can be written anew from its files; other folders are refused."""
    assert call("search", "--method", "random", "--restarts", "1", "--run-dir", "r") == 0
    page = tmp_path / "r" / "report.html"
    text = page.read_text()
    page.unlink()
    capsys.readouterr()
    assert call("report", "r") == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert page.read_text() == text
    page.unlink()
    page.mkdir()
    assert call("report", "r") == 2
    assert f"{page} cannot be written: it is not a file" in only_line(capsys.readouterr().err)
    (tmp_path / "r" / "result.json").write_text("[" * 100_000)
    assert call("report", "r") == 2
    assert "result.json cannot be read: not a result" in only_line(capsys.readouterr().err)
    (tmp_path / "r" / "result.json").unlink()
    assert call("export", "r", "--format", "csv") == 2
    assert only_line(capsys.readouterr().err).endswith("Resume it: python run_agent.py resume r")


def test_the_page_opens_where_there_is_a_browser(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Never in CI or without a screen; the path is printed in any case."""
    assert call("search", "--method", "random", "--restarts", "1", "--run-dir", "r") == 0
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or len(opened) < 2)
    monkeypatch.delenv("CI", raising=False)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    page = tmp_path / "r" / "report.html"

    def said() -> str:
        capsys.readouterr()
        assert call("report", "r", "--open") == 0
        out, err = capsys.readouterr()
        assert out == f"{page}\n"
        return err

    if sys.platform == "linux":
        assert "no browser here" in said()
    monkeypatch.setenv("BROWSER", "mine")
    assert said() == ""
    assert opened == [page.as_uri()]
    assert "no browser here" in said()
    monkeypatch.setenv("CI", "true")
    assert "no browser here" in said()
    assert len(opened) == 2


def test_a_run_without_a_result_is_reported_as_far_as_it_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What it scored so far is shown, and nothing of the test images."""
    assert call("search", "--method", "random", "--restarts", "1", "--run-dir", "r") == 0
    (tmp_path / "r" / "result.json").unlink()
    capsys.readouterr()
    assert call("report", "r") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'r' / 'report.html'}\n"
    text = (tmp_path / "r" / "report.html").read_text()
    assert "Not finished: the search was interrupted after" in text
    assert "the test images are held out" in text
    assert "promptclimb resume r continues the run" in text
    assert "What was gained" not in text


def test_a_run_at_work_is_not_to_be_resumed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What needs a result says that it is at work; of one that was interrupted, how to go on."""
    assert call("search", "--method", "random", "--restarts", "1", "--run-dir", "r") == 0
    (tmp_path / "r" / "result.json").unlink()
    for command in (("compare", "r", "r"), ("export", "r", "--format", "csv")):
        capsys.readouterr()
        with Store.open(tmp_path / "r"):
            assert call(*command) == 2
        said = only_line(capsys.readouterr().err)
        assert "r has no result yet: it is running. Wait for its end" in said
        assert "resume" not in said
        assert call(*command) == 2
        assert only_line(capsys.readouterr().err).endswith(
            "interrupted. Resume it: python run_agent.py resume r"
        )


def test_a_suites_folder_is_called_that(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Its runs are in the list of all; a command that takes one run says how the suite goes on."""
    few = ("--restarts", "1", "--conversations", "1", "--rounds", "2", "--initial", "5")
    assert call("suite", "--data", "one", "--methods", "random", "--seeds", "1-2", *few) == 0
    assert call("search", "--method", "random", *few, "--run-dir", "runs/own") == 0
    capsys.readouterr()
    assert call("status") == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]}
    suite = Path("runs/suite")
    scorer = "tests.fakes.black_box-opened"
    assert listed == {"runs/own", *(str(suite / f"seed{seed}-{scorer}-one-random") for seed in (1, 2))}
    way_on = "the command that began it, python run_agent.py suite ... --suite-dir runs/suite, resumes it"
    for summed in (True, False):
        for command in (("report",), ("resume",), ("export", "--format", "csv")):
            assert call(command[0], suite, *command[1:]) == 2
            about = ", all finished; name one" if summed else f" begun: {way_on}; or name one"
            assert f"runs/suite is a suite's folder, with 2 searches{about}" in only_line(
                capsys.readouterr().err
            )
        assert call("status", suite) == 0
        out, err = capsys.readouterr()
        assert (way_on in only_line(err)) != summed
        assert out.count("finished") == 2
        (suite / "suite.json").unlink(missing_ok=not summed)
    assert call("report", "runs") == 2
    assert only_line(capsys.readouterr().err).endswith(
        "runs is not a run, but holds 1 run: name one, runs/own"
    )
    assert call("report", suite) == 2
    err = only_line(capsys.readouterr().err)
    assert err.endswith(f": {suite}/seed2-{scorer}-one-random, {suite}/seed1-{scorer}-one-random")


def test_status_shows_accuracies_in_percent_and_money_in_dollars(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the list and of one run."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    money = ("--price", "1/2", "--max-cost", "1")
    assert call("search", *SMALL, "--base-url", server.base_url, "--run-dir", "runs/r", *money) == 0
    capsys.readouterr()
    assert call("status") == 0
    assert re.search(r" \d+\.\d%  ", capsys.readouterr().out)
    assert call("status", "runs/r") == 0
    shown = capsys.readouterr().out
    assert re.search(r"\(train \d+\.\d%\)", shown)
    assert re.search(r"^6 calls, [\d,]+ tokens, \$0\.\d{4}$", shown, re.MULTILINE)
    assert re.search(r"left of --max-cost: \$0\.\d{4}\n", shown)
    assert call("search", *SMALL, "--base-url", server.base_url, "--run-dir", "runs/unpriced") == 0
    capsys.readouterr()
    assert call("status", "runs/unpriced") == 0
    shown = capsys.readouterr().out
    assert re.search(r"^6 calls, [\d,]+ tokens$", shown, re.MULTILINE)
    assert "$" not in shown


def test_a_secret_that_is_not_utf_8_does_no_harm(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else is in the environment, a command does its work."""
    monkeypatch.setenv("FOO_KEY", "abc\udcffdefghijk")
    monkeypatch.setenv("FOO_URL", "http://user:\udcffdefghijk@h/")
    assert call("models") == 0
    assert "RN-pico" in capsys.readouterr().out


@pytest.mark.usefixtures("small_sets")
def test_a_folder_with_the_name_of_a_data_set_is_refused_unless_a_run_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the command line and in Python; a run that has begun keeps the set that it has."""
    monkeypatch.delenv("PROMPTCLIMB_CUSTOM_SCORER")
    small = (
        "--method",
        "random",
        "--initial",
        "2",
        "--restarts",
        "1",
        "--rounds",
        "1",
        "--data",
        "frames",
    )
    small = (*small, "--augmentations", "0")
    assert call("search", *small, "--max-minutes", "0", "--run-dir", "begun") == 0
    for name in ("a", "b"):
        (tmp_path / "frames" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "frames" / name / "1.png")
    capsys.readouterr()
    refused = ("search", *small), ("search", *small, "--dry-run"), ("datasets", "frames")
    for command in refused:
        assert call(*command) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "frames is a data set of that name and a folder here: write --data ./frames" in said
    for used in (load_data, search_sync):
        with pytest.raises(UsageError, match="is a data set of that name and a folder here"):
            used(SearchConfig(data="frames", method="random", initial=2, rounds=1))
    assert call("resume", "begun", "--max-minutes", "0") == 0


def test_datasets_shows_a_torn_test_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a search would refuse is a note here, images that are tested on included."""
    for number, name in enumerate(
        f"{part}/{label}/{n}" for part in ("train", "test") for label in "ab" for n in range(2)
    ):
        image = tmp_path / f"{name}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(image)
    (tmp_path / "test" / "b" / "1.png").write_bytes(image.read_bytes()[:40])
    assert main(["datasets", str(tmp_path), "--shots", "2"]) == 0
    shown = " ".join("".join(capsys.readouterr()).split())
    assert f"note: a search would stop: {tmp_path}/test/b/1.png" in shown
    assert "; --on-bad-image skip leaves such images out" in shown
    assert "4 test images" in shown
    assert main(["datasets", str(tmp_path), "--shots", "2", "--json"]) == 0
    first, second, *_ = (Path(one["path"]) for one in json.loads(capsys.readouterr().out)["train"])
    first.write_bytes(first.read_bytes()[:40])
    assert main(["datasets", str(tmp_path), "--shots", "2"]) == 0
    assert f"for example {second}" in capsys.readouterr().err


def test_status_lists_runs_and_resume_takes_the_latest_unfinished(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stopped run is shown with its reason and how to resume; finished, nothing is left to do."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert call("status", "--help") == 0
    assert "The best so far is that by training images." in capsys.readouterr().out
    assert main(["status"]) == 0
    assert "No runs" in capsys.readouterr().out
    assert main(["search", *SMALL, "--base-url", server.base_url, "--max-calls", "2"]) == 0
    (run_dir,) = Path("runs").iterdir()
    capsys.readouterr()
    assert main(["status"]) == 0
    assert re.search(r"runs/\S+ +stopped +2 of 6 +2 ", capsys.readouterr().out)
    assert main(["status", str(run_dir)]) == 0
    shown = capsys.readouterr().out
    go_on = f"to resume with a higher limit: python run_agent.py resume {run_dir} --max-calls N\n"
    assert go_on in shown
    assert "left of --max-calls: 0" in shown
    assert main(["resume", "--max-calls", "99"]) == 0
    assert f"the latest unfinished run, {run_dir}" in capsys.readouterr().err
    assert main(["status", str(run_dir), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "finished"
    assert call("resume", run_dir) == 0
    shown = "".join(capsys.readouterr())
    assert "The run was finished already. This is its result:" in shown
    assert "files: " in shown
    assert main(["resume"]) == 2
    assert main(["status", "elsewhere"]) == 2


def test_the_table_is_on_standard_output_and_all_else_on_standard_error(
    fake_evaluator: FakeEvaluator, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the command was asked for can be piped; where that is a document, the table is for people."""
    small = ["search", "--method", "random", "--restarts", "1", "--rounds", "1", "--initial", "4"]
    assert call(*small, "--run-dir", "a") == 0
    out, err = capsys.readouterr()
    assert "best found" in out
    assert "files: " in out
    assert "best found" not in err
    assert "scoring 4 starting templates" in err
    assert call(*small, "--run-dir", "b", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "finished"
    assert "best found" in err


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_shell_can_complete_commands_options_and_values(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script knows every command, the options of each, and names that an option takes."""
    assert call("--print-completion", shell) == 0
    script = capsys.readouterr().out
    for word in (*COMMANDS, "--on-bad-image", "opro", "grammar"):
        assert word in script


def test_bash_completes_by_the_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As it is typed: a command, an option of it, and a method."""
    assert call("--print-completion", "bash") == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    for words, expected in (
        (["ev"], "evaluate"),
        (["search", "--meth"], "--method"),
        (["search", "--method", "op"], "opro"),
    ):
        typed = " ".join(["promptclimb", *words])
        state = f'COMP_WORDS=({typed}); COMP_CWORD={len(words)}; COMP_LINE="{typed}"'
        code = f'source {tmp_path}/script; {state}; _shtab_promptclimb; echo "${{COMPREPLY[@]}}"'
        shown = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
        assert shown.stdout.strip() == expected


def test_the_whole_help_of_search_names_every_option_method_and_form_of_data(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In six groups; and its examples are commands that can be parsed."""
    assert call("search", "--help-all") == 0
    shown = capsys.readouterr().out
    for word in (
        *METHODS,
        *(f"  {option.flag}" for option in OPTIONS.values() if option.flag),
        *(f"\n{group}:\n" for group in get_args(Group)),
        *(f"{scheme}:" for scheme in SCHEMES),
        "hf-hub:",
        "local-dir:",
        ".tsv",
        ".jsonl",
        "--ray [ADDRESS] ",
        "--track NAME[:PLACE] ",
    ):
        assert word in shown
    assert "--resets" not in shown
    examples = shown.partition("examples:")[2].replace("\\\n", " ").strip().splitlines()
    assert len(examples) == 3
    for line in examples:
        given = shlex.split(line)[1:]
        assert make_parser(given).parse_args(given).command == "search"


@pytest.mark.parametrize(
    ("command", "first"),
    [
        ("search", ["--data", "--model", "--pretrained", "--llm", "--describe"]),
        ("suite", ["--data", "--methods", "--seeds", "--suite-dir", "--model"]),
        ("evaluate", ["--templates", "--white-box", "--split", "--confusions", "--matrix"]),
        ("resume", ["--max-calls", "--max-tokens", "--max-cost", "--max-minutes", "--restarts"]),
    ],
)
def test_the_short_help_shows_an_example_and_fifteen_options(
    command: str, first: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What a new user needs comes first; the rest is named by --help-all."""
    assert call(command, "--help") == 0
    shown = capsys.readouterr().out
    options = re.findall(r"^  (?:-h, )?(--[a-z-]+)", shown, re.MULTILINE)
    assert options[:5] == first
    assert len(options) <= 15
    assert {"--help", "--help-all"} <= set(options)
    assert f"{command} --help-all shows " in shown
    assert "example" in shown.partition("options:")[0] or command == "resume"


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output, as the answer to a question: it is no wrong usage."""
    assert call() == 0
    shown = capsys.readouterr()
    assert "COMMAND" in shown.out
    assert all(f"  {command} " in shown.out for command in COMMANDS)
    assert shown.err == ""


def test_an_earlier_name_of_an_option_still_works(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one line that names the new one; so does a variable."""
    monkeypatch.setenv("PROMPTCLIMB_PROMPTS", "class-names")
    assert call("config", "--show", "--method", "random", "--views", "0") == 0
    out, err = capsys.readouterr()
    assert "augmentations = 0 " in out
    assert 'search_for = "class-names"' in out
    assert "note: --views is now called --augmentations; the old name will be removed" in err
    assert "note: PROMPTCLIMB_PROMPTS is now called PROMPTCLIMB_SEARCH_FOR; " in err


def test_the_earlier_name_of_what_a_file_of_templates_holds_still_works(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`evaluate --prompts` is `--search-for`: the settings shared with `search` do not include it."""
    assert call("evaluate", "--templates", "missing.txt", "--prompts", "instruction") == 2
    err = capsys.readouterr().err
    assert "note: --prompts is now called --search-for; the old name will be removed" in err
    assert "no option" not in err


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_says_what_it_does_and_closes_its_brackets(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a sentence at its head; what may be left out stands in brackets that are whole."""
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    line = COMMANDS[command]
    assert f"\n\n{line[0].upper()}{line[1:]}.\n" in shown
    assert shown.count("[") == shown.count("]")
    assert len(shown.partition("\n\n")[0].splitlines()) <= 3, "usage is a line or two"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("search", "--patience", "3"), "patience = 3"),
        (("resume", "--until=95%", "r"), 'until = "95%"'),
        (("evaluate", "--scorer-detail"), 'scorer_detail = "low|high|auto"'),
        (("suite", "--cache-answers", "--json"), "cache_answers = true"),
    ],
)
def test_a_setting_without_an_option_is_answered_with_its_line_in_the_file(
    arguments: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a settings file is taken; with the value that was given."""
    assert call(*arguments) == 2
    flag = arguments[1].partition("=")[0]
    said = f"error: {flag} is not an option; write {line} in FILE.toml and give --config FILE.toml"
    assert said in only_line(capsys.readouterr().err)


@pytest.mark.parametrize(("gone", "current"), GONE_NAMES.items())
def test_an_option_that_is_gone_is_answered_with_the_current_one(
    gone: str, current: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a command that has the current one; a similar name would mislead."""
    old, new = (f"--{name.replace('_', '-')}" for name in (gone, current))
    assert call("search", old, "3") == 2
    assert f"there is no option '{old}'; it is now called {new} " in only_line(capsys.readouterr().err)
    assert call("report", old, "3") == 2
    assert "it is now called" not in only_line(capsys.readouterr().err)


def test_a_settings_file_changes_a_run_that_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """As in a new search; an option wins over it."""
    once = ("--method", "random", "--restarts", "1", "--initial", "5", "--run-dir", "r")
    assert call("search", *once) == 0
    Path("more.toml").write_text("restarts = 9\nconversations = 3\n")
    assert call("resume", "r", "--config", "more.toml", "--restarts", "2") == 0
    assert "2 restarts, 36 rounds" in capsys.readouterr().err
