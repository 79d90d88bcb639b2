"""The command line: exit codes, what goes where, and errors that are one line."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from promptclimb.agent.api import load_data, search_sync
from promptclimb.agent.cli.evaluate import search_command
from promptclimb.agent.cli.main import main
from promptclimb.agent.cli.options import HIDDEN_ALIASES
from promptclimb.agent.cli.output import EXIT_NOTHING_USABLE, FAILED
from promptclimb.agent.cli.parser import COMMANDS, make_parser
from promptclimb.agent.cli.search import run_session
from promptclimb.agent.config.schema import OPTIONS, SearchConfig
from promptclimb.agent.config.sources import on_command_line
from promptclimb.agent.methods.registry import METHODS
from promptclimb.agent.results.exports import FORMS
from promptclimb.agent.search.run import start_run
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.datasets.loading import SCHEMES
from promptclimb.evaluator.errors import UsageError
from promptclimb.evaluator.scoring import Predictions, SplitScores
from promptclimb.evaluator.settings import Group
from tests.fakes.black_box import stand_in
from tests.fakes.chat_server import ChatServer
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.serving import serving_chat
from tests.fakes.suite_files import STUDY, pictures, write_suite
from tests.paths import ROOT
from tests.recorded import check_session

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


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """An endpoint that asks for the key."""
    with serving_chat(key=KEY) as serving:
        yield serving


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
    assert (result["schema"], result["status"], result["usage"]["calls"]) == (5, "finished", 6)
    assert set(result["baselines"]) == {
        "default template",
        "bare class name",
        "best hand-made",
        "best starting template",
    }
    assert "default template" in map(str.strip, err.split("│"))
    names = {path.name for path in (tmp_path / "r").iterdir()}
    assert names == {
        "config.toml", "details.json", "events.jsonl", "leaderboard.csv", "report.html", "result.json",
        "store", "templates.json",
    }  # fmt: skip
    assert json.loads((tmp_path / "r" / "templates.json").read_text()) == result["texts"]["templates"]


def test_the_key_is_nowhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Not in a file, not on a screen, even if the server echoes it and the address holds a password."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving_chat(key=KEY, script=("echo_key", "ok", "ok", "echo_key")) as server:
        url = server.base_url.replace("http://", "http://me:pw-0123456789@")
        code = call("search", *SMALL, "--base-url", url, "--run-dir", "r", "--concurrency", "1")
    out, err = capsys.readouterr()
    files = [path.read_bytes() for path in (tmp_path / "r").rglob("*") if path.is_file()]
    for secret in (KEY, "pw-0123456789"):
        assert secret not in out + err
        assert not any(secret.encode() in content for content in files)
    assert code in (0, 2)


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
    assert code == EXIT_NOTHING_USABLE
    assert "proposed no new template that could be scored" in capsys.readouterr().out
    assert call("resume", "r") == EXIT_NOTHING_USABLE


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
    options = {
        "search": ("--data", "one", "--method", "random", *FEW, "--run-dir", "r"),
        "suite": (write_suite(data=["one"], seeds=[1]),),
        "evaluate": ("--data", "one", "--templates", "mine.txt"),
    }[command]
    assert call(command, *options, "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)
    assert "the black box says" in err


def test_the_dry_run_knows_prices_from_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """With what is asked at most of the most expensive kind of token."""
    vendor = (
        "--base-url", "https://api.anthropic.com/v1", "--llm", "claude-haiku-4-5", "--dry-run", "--json",
    )  # fmt: skip
    costs = []
    for price in ("1/5", "2/5", "auto"):
        assert call("search", *SMALL, *vendor, "--price", price, "--dry-run", "--json") == 0
        costs.append(json.loads(capsys.readouterr().out)["cost_usd"])
    # Written to a cache for an hour, a token of the messages costs twice as much.
    assert costs[0] < costs[1] == costs[2]


@pytest.mark.usefixtures("one_attempt")
def test_an_endpoint_that_fails_is_named_with_what_it_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """On the terminal and on the page: its address, the last error, and how many calls failed."""
    with serving_chat(faults={"500": 1.0}) as server:
        few = ("--restarts", "1", "--rounds", "1")
        assert (
            call("search", *SMALL, *few, "--base-url", server.base_url, "--run-dir", "r")
            == EXIT_NOTHING_USABLE
        )
    out, err = capsys.readouterr()
    page = (tmp_path / "r" / "report.html").read_text()
    problem = f"no answer in the last round ({server.base_url}: no usable answer in 1 attempt: the endpoint"
    for text in (out, page):
        assert problem in text
        assert "1 attempt failed" in text
    assert "Resume with: " in err


def test_a_forgotten_end_of_the_address_is_thought_of(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A search that gets 404 asks about /v1."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    url = server.base_url.removesuffix("/v1")
    assert call("search", *SMALL, "--base-url", url, "--run-dir", "r") == 2
    *_, way_on, last = capsys.readouterr().err.strip().splitlines()
    assert "is the address right? It usually ends in /v1" in last
    assert way_on.endswith("Resume with the right address: python run_agent.py resume r --base-url URL/v1")
    assert call("resume", "r", "--base-url", server.base_url) == 0


def test_a_wrong_model_is_corrected_when_nothing_was_paid(capsys: pytest.CaptureFixture[str]) -> None:
    """By the printed command; once an answer is on disk, another model needs another run."""
    with serving_chat(model="right") as server:
        options = ("--base-url", server.base_url, "--run-dir", "r")
        assert call("search", *SMALL[:-4], "--method", "pn", "--llm", "wrong", *options) == 2
        *_, way_on, last = capsys.readouterr().err.strip().splitlines()
        assert "check the model's name in --llm" in last
        assert way_on.endswith("Resume with the right model: python run_agent.py resume r --llm MODEL")
        assert call("resume", "r", "--llm", "right", "--max-calls", "2") == 0
        assert call("resume", "r", "--llm", "another", "--max-calls", "9") == 2
        assert "llm: it was 'right', now 'another'" in capsys.readouterr().err
        assert call("resume", "r", "--max-calls", "99") == 0


def test_the_version_names_what_the_program_runs_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Packages, devices and the folder of caches, for a report of a problem."""
    assert call("--version") == 0
    program, packages, devices, cache = capsys.readouterr().out.splitlines()
    assert program.startswith("promptclimb ")
    assert re.fullmatch(r"Python 3[.\d]+, torch \S+, open_clip_torch \S+, openai \S+", packages)
    assert devices.startswith("devices: cpu")
    assert Path(cache.removeprefix("cache: ")).is_dir()


def test_credentials_that_a_resumed_run_lacks_are_reported(
    server: ChatServer, capfd: pytest.CaptureFixture[str]
) -> None:
    """Beside the command that goes on, and without them."""
    url = server.base_url.replace("://", "://user:passw0rd1@")
    call("search", *SMALL, "--base-url", url, "--max-calls", "1", "--run-dir", "r")
    shown = capfd.readouterr().err
    assert "address are not kept: give it with" in shown
    assert "passw0rd1" not in shown


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_everything_and_says_how_to_go_on(
    number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    """Exit code 128 + the signal's number; resumed, it finishes."""

    def strike(templates: Sequence[str]) -> None:
        if len(evaluator.batches) == 3:
            os.kill(os.getpid(), number)

    evaluator = FakeEvaluator(before_batch=strike)
    stand_in(monkeypatch, lambda _spec: evaluator)
    with serving_chat() as server:
        assert call("search", *SMALL, "--base-url", server.base_url, "--run-dir", "r") == code
        assert "python run_agent.py resume r" in capsys.readouterr().err
        assert not (tmp_path / "r" / "result.json").exists()
        assert call("resume", "r") == 0
    assert json.loads((tmp_path / "r" / "result.json").read_text())["status"] == "finished"


class Reporting(FakeEvaluator):
    """An evaluator that gives its predictions, always the same."""

    names = ("cat", "[dog]", "cow")

    def __init__(self) -> None:
        super().__init__()
        self._info = replace(self._info, classes=len(self.names), class_names=self.names)

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        return Predictions((0, 0, 0, 0, 1, 1, 1, 1), ((0, 0, 0, 1, 0, 0, 0, 1),) * len(ensembles))


def test_evaluate_takes_augmented_copies_for_the_references_that_learn_from_them() -> None:
    """As a search does; other settings of the choice of templates have no use here."""
    command = ["evaluate", "--white-box", "coop", "--all-labels", "--augmentations", "0"]
    assert make_parser(command).parse_args(command).augmentations == "0"


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
    document = json.loads(capsys.readouterr().out)
    assert document["model"]["name"] == "Lengths"
    assert document["best"]["test"] is None
    (tmp_path / "r" / "result.json").unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert call("resume", str(tmp_path / "r"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["leaderboard"] == document["leaderboard"]
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_text("a photo of a {}\n")
    assert call("evaluate", *own, "--templates", "t.txt", "--split", "train", "--json") == 0
    assert json.loads(capsys.readouterr().out)["scores"] == [
        {"template": "a photo of a {}", "train": pytest.approx(1 / 6)}
    ]
    assert call("evaluate", *own, "--templates", "t.txt") == 2
    assert "has no test images; score templates on another split" in only_line(capsys.readouterr().err)


class Named(Reporting):
    """An evaluator whose classes have names in scripts that few encodings have."""

    names = ("café", "猫")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_every_name_can_be_written_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an encoding lacks is written as an escape; JSON stays JSON."""
    stand_in(monkeypatch, lambda _spec: Named())
    Path("t.txt").write_text("a {}\nun café {}\n", "utf-8")
    pictures(Path("data"), 3, ("猫", "café"))
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


def test_an_unexpected_error_is_a_line_and_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """No traceback reaches the user; it is in a file, without secrets."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def exploding(*_given: object, **_named: object) -> None:
        raise ZeroDivisionError(f"never seen {KEY}")

    monkeypatch.setattr("promptclimb.agent.search.opening.ready_evaluator", exploding)
    assert call("search", "--method", "random", "--run-dir", "r") == 1
    assert "the program has a fault (" in only_line(capsys.readouterr().err)
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


@pytest.mark.usefixtures("small_sets")
@pytest.mark.parametrize(
    "command",
    [
        ("search", "--method", "random", "--dry-run"),
        ("suite", "small.toml", "--dry-run"),
        ("evaluate", "--templates", "t.txt", "--split", "train"),
        ("datasets", "backgrounds", "--shots", "1"),
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
    write_suite()
    monkeypatch.setenv("PROMPTCLIMB_SHOT", "2")
    assert call(*command) == 0
    err = capsys.readouterr().err
    assert err.count("PROMPTCLIMB_SHOT is not a setting of this program and is ignored; did") == 1
    assert "did you mean PROMPTCLIMB_SHOTS?" in err  # and no variable that shares the prefix only


@pytest.mark.parametrize(
    "command",
    ["search", "evaluate", "datasets dice", "config --show", "suite small.toml", "resume r",
     "predict new --run r", "predict new --templates t.txt --class-names t.txt"],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_a_command_that_does_not_use_it(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command that reads settings names the variable or the file."""
    assert call("search", *FEW, "--method", "random", "--run-dir", "r") == 0
    Path("t.txt").write_text("a {}\n")
    pictures(Path("new"), 2)
    write_suite()
    Path("s.toml").write_text('search_for = "nonsense"\n')
    if not command.startswith("suite"):
        assert call(*command.split(), "--config", "s.toml") == 2
        assert "error: search_for = 'nonsense' (from s.toml): unknown kind" in capsys.readouterr().err
    monkeypatch.setenv("PROMPTCLIMB_SEARCH_FOR", "nonsense")
    assert call(*command.split()) == 2
    assert (
        "error: search_for = 'nonsense' (from PROMPTCLIMB_SEARCH_FOR): unknown kind"
        in capsys.readouterr().err
    )


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

    def hint() -> str:
        capsys.readouterr()
        assert call("report", "r", "--open") == 0
        out, err = capsys.readouterr()
        assert out == f"{page}\n"
        return err

    if sys.platform == "linux":
        assert "no browser here" in hint()
    monkeypatch.setenv("BROWSER", "mine")
    assert hint() == ""
    assert opened == [page.as_uri()]
    assert "no browser here" in hint()
    monkeypatch.setenv("CI", "true")
    assert "no browser here" in hint()
    assert len(opened) == 2


def test_a_secret_that_is_not_utf_8_does_no_harm(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else is in the environment, a command does its work."""
    monkeypatch.setenv("FOO_KEY", "abc\udcffdefghijk")
    monkeypatch.setenv("FOO_URL", "http://user:\udcffdefghijk@h/")
    assert call("models") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "RN-pico" in lines[1]
    assert max(map(len, lines)) < 100


@pytest.mark.usefixtures("small_sets")
def test_a_folder_with_the_name_of_a_data_set_is_refused_unless_a_run_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the command line and in Python; a run that has begun keeps the set that it has."""
    monkeypatch.delenv("PROMPTCLIMB_CUSTOM_SCORER")
    small = (
        *("--method", "random", "--initial", "2", "--restarts", "1", "--rounds", "1"),
        *("--data", "backgrounds", "--augmentations", "0", "--shots", "1"),
    )
    assert call("search", *small, "--max-minutes", "0", "--run-dir", "begun") == 0
    pictures(tmp_path / "backgrounds", 1)
    capsys.readouterr()
    refused = ("search", *small), ("search", *small, "--dry-run"), ("datasets", "backgrounds")
    for command in refused:
        assert call(*command) == 2
        stderr = " ".join(capsys.readouterr().err.split())
        assert (
            "backgrounds is a data set of that name and a folder here: write ./backgrounds for the folder"
            in stderr
        )
    for used in (load_data, search_sync):
        with pytest.raises(UsageError, match="is a data set of that name and a folder here"):
            used(SearchConfig(data="backgrounds", method="random", initial=2, rounds=1))
    assert call("resume", "begun", "--max-minutes", "0") == 0


def test_datasets_shows_a_torn_test_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a search would refuse, or leave out, is a note here; images that are tested on included."""
    for part in ("train", "test"):
        pictures(tmp_path / part, 2, "ab")
    image = tmp_path / "test" / "b" / "1.png"
    image.write_bytes(image.read_bytes()[:40])
    assert main(["datasets", str(tmp_path), "--shots", "2"]) == 0
    shown = " ".join("".join(capsys.readouterr()).split())
    assert f"note: evaluate and search with these shots and seed will stop: {tmp_path}/test/b/1.png" in shown
    assert "; to leave such images out, write PROMPTCLIMB_ON_BAD_IMAGE=skip before the command" in shown
    assert "4 test images" in shown
    monkeypatch.setenv("PROMPTCLIMB_ON_BAD_IMAGE", "skip")
    assert main(["datasets", str(tmp_path), "--shots", "2"]) == 0
    shown = capsys.readouterr().err
    assert f"note: skipped: {tmp_path}/test/b/1.png" in shown
    assert "will stop" not in shown
    assert main(["datasets", str(tmp_path), "--shots", "2", "--json"]) == 0
    first, second, *_ = (Path(item["path"]) for item in json.loads(capsys.readouterr().out)["train"])
    first.write_bytes(first.read_bytes()[:40])
    assert main(["datasets", str(tmp_path), "--shots", "2", "--json"]) == 0
    kept = [Path(item["path"]) for item in json.loads(capsys.readouterr().out)["train"]]
    assert first not in kept
    assert len(kept) == 3
    assert main(["datasets", str(tmp_path), "--shots", "2"]) == 0
    (tmp_path / "test" / "a" / "copy.png").write_bytes((tmp_path / "test" / "a" / "0.png").read_bytes())
    assert main(["datasets", str(tmp_path), "--shots", "2"]) == 0
    shown = capsys.readouterr().err
    assert f"a labelled image: {second}" in shown
    assert f"note: 1 test image is a copy of another one, such as {tmp_path}/test/a/" in shown


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
    assert len(examples) == 2
    for line in examples:
        command = shlex.split(line)[1:]
        assert make_parser(command).parse_args(command).command == "search"


def test_three_options_have_a_hidden_alias(capsys: pytest.CaptureFixture[str]) -> None:
    """With the same effect; the whole help names none of them."""
    command = ["search", "--evaluator", "m:f", "--prompts", "class-names", "--views", "0"]
    parsed = make_parser(command).parse_args(command)
    assert (parsed.custom_scorer, parsed.search_for, parsed.augmentations) == ("m:f", "class-names", "0")
    command = ["evaluate", "--templates", "t.txt", "--prompts", "instruction"]
    assert make_parser(command).parse_args(command).search_for == "instruction"
    assert call("search", "--help-all") == 0
    shown = capsys.readouterr().out
    assert not any(f"{alias} " in shown for alias in HIDDEN_ALIASES.values())


@pytest.mark.parametrize(
    ("command", "first"),
    [
        ("search", ["--data", "--model", "--pretrained", "--describe", "--shots"]),
        ("suite", ["--jobs", "--suite-dir", "--device", "--concurrency", "--base-url"]),
        ("evaluate", ["--data", "--model", "--pretrained", "--shots", "--templates"]),
        ("resume", ["--max-calls", "--max-tokens", "--max-cost", "--max-minutes", "--restarts"]),
    ],
)
def test_the_short_help_shows_an_example_and_few_options(
    command: str, first: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What a new user needs comes first; the rest is named by --help-all."""
    assert call(command, "--help") == 0
    shown = capsys.readouterr().out
    options = re.findall(r"^  (?:-h, )?(--[a-z-]+)", shown, re.MULTILINE)
    assert options[:5] == first
    assert len(options) <= 17
    assert options[-2:] == ["--help-all", "--help"]
    assert f"{command} --help-all shows " in shown
    assert "example" in shown.partition("options:")[0] or command == "resume"
    # Messages name some that are no options, such as ``on_bad_image``.
    assert "--config FILE.toml" in shown or command != "evaluate"


def test_the_help_of_resume_leaves_out_what_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Files that decide the result stand apart, as they may have moved; a run keeps its own values."""
    assert call("resume", "--help-all") == 0
    changes, _, moved = capsys.readouterr().out.partition("Files of the run that have moved")
    fixed = {option.flag: option.reads for option in OPTIONS.values() if option.resumable == "no"}
    assert set(re.findall(r"^  (--[a-z-]+)", moved, re.MULTILINE)) == {
        flag for flag, reads in fixed.items() if flag and reads
    }
    assert fixed.keys().isdisjoint(re.findall(r"^  (--[a-z-]+)", changes, re.MULTILINE))
    assert "(default: " not in moved
    assert all(f"  {flag} " in changes for flag in ("--device", "--restarts", "--max-cost"))


def test_the_help_begins_with_a_search_on_named_data(capsys: pytest.CaptureFixture[str]) -> None:
    """It can be copied, and describes the data that it names."""
    assert call() == 0
    lines = capsys.readouterr().out.replace("\\\n", "").splitlines()
    (line,) = (line for line in lines if " search --" in line)
    command = shlex.split(line.partition("run_agent.py")[2])
    parsed = make_parser(command).parse_args(command)
    assert parsed.data == "backgrounds"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_says_what_it_does_and_closes_its_brackets(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a sentence at its head; what may be left out stands in brackets that are whole."""
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "docs/" not in shown, "pages are not installed"
    line = COMMANDS[command]
    assert f"\n\n{line[0].upper()}{line[1:]}.\n" in shown
    assert shown.count("[") == shown.count("]")
    assert shown.startswith(f"usage: promptclimb {command} ")
    assert "positional arguments" not in shown
    assert "[OPTION ...]" in shown.partition("\n\n")[0]
    assert len(shown.partition("\n\n")[0].splitlines()) <= 3, "usage is a line or two"


MINE = "--initial mine.txt --method pn --llm m --restarts 1 --conversations 1 --rounds 2 --concurrency 1"


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[str]:
    """The options of a small search whose templates come from a file and a server, not from the program."""
    (tmp_path / "mine.txt").write_text("a photo of {}\nthe {} here\nsome {} in a row\nan old {}\n")
    with serving_chat() as server:
        yield f"{MINE} --base-url {server.base_url}"


def test_a_run_from_its_search_to_its_report(
    asking: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Standard output has what was asked for; a finished run is shown again, and takes more rounds."""
    Path("file").write_text("x")
    Path("more.toml").write_text("restarts = 9\nconversations = 2\n")
    check_session(
        "search", capsys,
        f"search {asking} --run-dir r", f"search {asking} --run-dir r", f"search {asking} --run-dir file",
        "status r", "resume r", "resume r --shots 1", "resume r --config more.toml --restarts 2", "report r",
    )  # fmt: skip
    page = tmp_path / "r" / "report.html"
    text = page.read_text()
    page.unlink()
    assert call("report", "r") == 0
    assert page.read_text() == text
    (tmp_path / "r" / "result.json").write_text("[" * 100_000)
    check_session("search-damaged", capsys, "report r", "status r")


def test_the_search_that_evaluate_suggests_has_the_scorers_address_without_its_credentials() -> None:
    """A key in it would reach the screen."""
    address = ["--scorer", "embeddings", "--model", "m", "--scorer-url", "http://user:secret@host/v1"]
    command = ["evaluate", "--data", "x", *address]
    arguments = make_parser(command).parse_args(command)
    words = search_command(arguments, SearchConfig())
    assert "--scorer-url http://host/v1 " in words
    assert "secret" not in words


def test_the_search_that_evaluate_suggests_leaves_out_bad_images_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that stood before one command is not there for the next."""
    monkeypatch.setenv("PROMPTCLIMB_ON_BAD_IMAGE", "skip")
    command = ["evaluate", "--data", "x"]
    words = search_command(make_parser(command).parse_args(command), SearchConfig())
    assert re.match(r"PROMPTCLIMB_ON_BAD_IMAGE=skip .*search --data x ", words)


def test_limits_that_are_reached(asking: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What stopped each run, and the options that raise it: by the search, by status and in the list."""
    limits = (
        "--max-tokens 1600 --rounds 9", "--max-minutes 0.0001", "--max-cost 0.0016 --price 1/1 --rounds 9",
        "--max-calls 2 --max-tokens 1600 --rounds 9", "--max-calls 1", "--max-tokens 200",
        "--max-cost 0.0005 --price 1/1",
    )  # fmt: skip
    runs = [f"search {asking} --run-dir runs/{n} {limit}" for n, limit in enumerate(limits)]
    shown = [f"status runs/{n}" for n in range(5)]
    check_session(
        "limits", capsys, "status", *runs, *shown, "status", "resume --max-calls 99", "resume runs/4",
        "status",
    )  # fmt: skip


@pytest.mark.usefixtures("one_attempt")
@pytest.mark.parametrize(
    ("script", "command", "code"),
    [
        (("null",) * 4, "suite", EXIT_NOTHING_USABLE),
        (("null",) * 2, "suite", 0),
        (("ok", *("500",) * 99), "search --method pn", FAILED),
    ],
)
def test_the_exit_code_says_whether_an_llm_gave_anything(
    script: tuple[str, ...], command: str, code: int
) -> None:
    """One usable answer in a suite is enough; a search that an outage stopped has failed."""
    with serving_chat(script=script) as server:
        options = ["--data", "one", *FEW, "--llm", "m", "--base-url", server.base_url]
        if command == "suite":
            llms = [{"llm": "m", "base_url": server.base_url}]
            options = [write_suite(data=["one"], methods=["pn", "random"], llms=llms, compare=[])]
        assert call(*command.split(), *options) == code


def test_wrong_usage_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    """What was wrong and what would be right; nothing is on standard output."""
    settings = (
        "[data]\nshots = 4\n[search]\nseed = 1\n", "api_key = 'x'\n", "data = dice\n", "shots 4\n",
        "shotz = 4\n", "[endpoints]\nbase_url = 'http://h/v1'\n", "[[endpoints]]\nbase_urls = 'http://h/v1'\n",
        'rounds = "ten"\n', 'shared_cache = "a\\u0000b"\n',
    )  # fmt: skip
    for number, text in enumerate(settings):
        Path(f"{number}.toml").write_text(text)
    contents = (
        b"", b"\n\n", b"caf\xe9 {}\n", b"a photo\n", b"\xff\xfe\x00", b"[1, 2]", b'["a {}"', b"{}\n{}\n",
        b"one {only} {\n",
    )  # fmt: skip
    for number, content in enumerate(contents):
        Path(f"{number}.txt").write_bytes(content)
    pictures(Path("deep"), 5, ("bird", "cat"))
    check_session(
        "wrong-usage", capsys, *WRONG,
        *(f"search --method random --initial {number}.txt" for number in range(len(contents))),
        *(f"search --method random --config {number}.toml" for number in range(len(settings))),
    )  # fmt: skip


WRONG = """
search --method nope --llm x
search --base-url nowhere --llm x
search --method guided
search --base-url http://127.0.0.1:9/v1 --llm x
search --llm x --price auto --max-cost 1 --base-url http://127.0.0.1:9/v1
search --method random --config missing.toml
search --method random --initial missing.txt
search --method random --max-cost x
search --method random --max-minut 3
search --method random --data ''
search --frobnicate
search --method random --augmentations 0 --shots 0
resume missing
resume
report missing
report --resets 3
status elsewhere
--hepl
serach
nonsense
evaluate --split val
evaluate --confusions
evaluate --templates missing.txt --search-for instruction
evaluate --white-box coop,tip-adaptr
evaluate --white-box ,
evaluate --white-box coop
evaluate --scorer-image-size
models --grep zzz
search --out x
predict deep --output x
evaluate --run r
config
datasets deep/bird
help
search --dta x
search --qqq=sk-9
search here
search dice
search --llm x --shots many
datasets https://h/x.zip
search --llm x --initial ²
search --llm x --restarts 300000000
search --llm x --max-minutes inf
search --llm x --run-dir ''
search --method random --run-dir ~nobody-here/x
resume ''
report ~nobody-here/x
datasets ~nobody-here
search --method random --initial 'a photo of a'
evaluate --templates 'a photo of a' --search-for instruction
evaluate 'a photo of a {}'
evaluate --templates 'a photo of a {}' --split val --augmentations 5
search --same
search --lr 1
""".strip().splitlines()


def test_evaluate(asking: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores, classes and confusions; numbers that are no accuracies are shown as they are."""
    Path("t.json").write_text('["the {}", "a photo of a {}"]')
    Path("own.py").write_text(
        "class Costs:\n"
        "    def score(self, templates):\n"
        "        return [-7000 - len(template) for template in templates]\n"
    )
    ask, own = "evaluate --templates t.json", "--custom-scorer own.py:Costs"
    check_session(
        "evaluate", capsys, "evaluate", f"evaluate {own}", ask, f"{ask} --split val", f"{ask} --confusions",
        f"{ask} --confusions 0",
        f"{ask} {own} --split train", f"{ask} {own}", f"search {own} {asking} --run-dir r",
    )  # fmt: skip
    stand_in(monkeypatch, lambda _spec: FakeEvaluator(favourites={"bad": -9.0}))
    Path("bad.json").write_text('["a bad {}", "the {}"]')
    check_session("evaluate-chance", capsys, "evaluate --templates bad.json")
    stand_in(monkeypatch, lambda _spec: Reporting())
    check_session(
        "evaluate-classes", capsys, f"{ask} --confusions", f"{ask} --confusions 1 --json",
        f"{ask} --matrix m/found.csv",
    )  # fmt: skip
    written = Path("m/found.csv").read_text("utf-8")
    assert written == "true class,cat,[dog],cow\ncat,3,1,0\n[dog],3,1,0\ncow,0,0,0\n"


@pytest.mark.usefixtures("small_sets")
def test_export(asking: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each format, which templates it holds, and what is refused; the help names them all."""
    assert call("export", "--help") == 0
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert all(f"{name} {on_command_line(form.about)}" in shown for name, form in FORMS.items())
    assert call("search", *asking.split(), "--run-dir", "r") == 0
    made = "export r --format open-clip --out t.json"
    check_session(
        "export", capsys, made, f"{made} --only best", "export r --format csv --only best",
        "export r --format all --out every", "export r --format csv --out every",
        "export r --format openclip", "export r --format word", "export r",
    )  # fmt: skip
    assert len(json.loads((tmp_path / "t.json").read_text())) == 1


@pytest.mark.parametrize("state", ["interrupted", "live"])
def test_a_run_without_a_result(
    state: str, asking: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is shown as far as it is; what needs a result says how to get one, or to wait."""
    assert call("search", *asking.split(), "--run-dir", "r") == 0
    (tmp_path / "r" / "result.json").unlink()
    with Store.open(tmp_path / "r") if state == "live" else nullcontext():
        commands = ("compare r r", "export r --format csv", "report r", "status r")
        check_session(f"without-result-{state}", capsys, *commands)
    ended = {"live": "the search is running", "interrupted": "the search was interrupted"}[state]
    assert f"Not finished: {ended} after 2 of 2 rounds." in (tmp_path / "r" / "report.html").read_text()


def test_status_of_a_run_that_is_opening_its_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its folder is made at once, and holds at most the labels of a scorer; any other folder holds no run."""
    opening, other = tmp_path / "opening", tmp_path / "other"
    opening.mkdir()
    (opening / "labels.sqlite").write_bytes(b"")
    other.mkdir()
    (other / "notes.txt").write_text("")
    assert main(["status", str(opening)]) == 2
    assert "holds no run yet. A search there is opening data and model, or ended" in capsys.readouterr().err
    assert main(["status", str(other)]) == 2
    assert "holds no run. Give a run's folder" in capsys.readouterr().err


def test_the_folder_of_a_suite(asking: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its runs are in the list of all; a command that takes one run says how the suite goes on."""
    llms = [{"llm": "m", "base_url": asking.split()[-1]}]
    search = {**STUDY["search"], "initial": "mine.txt"}
    file = write_suite(data=["one"], methods=["pn"], llms=llms, search=search, compare=[])
    assert call("suite", file, "--concurrency", "1") == 0
    assert call("search", *asking.split(), "--run-dir", "runs/own") == 0
    commands = [f"{name} runs/small" for name in ("report", "resume", "export --format csv", "status")]
    check_session("suite-folder", capsys, *commands, "status", "status runs", "report runs")
    Path("runs/small/suite.json").unlink()
    check_session("suite-folder-begun", capsys, *commands)
