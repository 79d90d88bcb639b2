"""``serve``: what it refuses, what it prints, and how it stops."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from promptclimb.agent.cli import serve as module
from promptclimb.agent.cli.main import main
from promptclimb.evaluator.serving import server
from tests.fakes.word_embedder import WordEmbedder
from tests.paths import ROOT


class Closing(WordEmbedder):
    """An embedder that is closed with its server."""

    closed = False

    def close(self) -> None:
        """Note it."""
        Closing.closed = True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["RN-pico", "--host", "0.0.0.0"], "--allow-remote"),
        (["RN-pico", "--host", "0.0.0.0", "--allow-remote"], "SERVE_API_KEY"),
        (["RN-pico", "--port", "70000"], "not a port"),
        (["RN-pico", "--max-body", "0"], "above 0"),
        (["RN-pico", "--data", "dice"], "--data"),
        (["no-such-model"], "no-such-model"),
        (["RN-pico", "--device", "abacus"], "abacus"),
        ([], "MODEL"),
    ],
)
def test_wrong_use_is_said_in_a_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2."""
    assert main(["serve", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_code_0(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once it has said where it listens; the model is closed and the port free again."""
    monkeypatch.setattr(server, "_open", lambda _spec, _report: Closing())
    monkeypatch.setattr(Closing, "closed", False)
    printed: list[str] = []

    def shown(line: str) -> None:
        printed.append(line)
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)

    monkeypatch.setattr(module, "print_text", shown)
    assert main(["serve", "RN-pico", "--port", "0"]) == 0
    assert Closing.closed
    assert "RN-pico at http://127.0.0.1:" in printed[0]
    assert "stopped" in capsys.readouterr().err


def test_the_example_names_the_key_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """And never by its value; odd names of models are quoted."""
    spec = server.ServerSettings(spec=server.EvaluatorSpec(model="local-dir:a b"), key="sk-secret")
    line = module.example(spec, "http://127.0.0.1:1/v1")
    assert "sk-secret" not in line
    assert line.startswith("SCORER_API_KEY=$SERVE_API_KEY ")
    assert "local-dir:a b" in shlex.split(line)


async def test_the_key_of_the_environment_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback too."""
    monkeypatch.setattr(server, "_open", lambda _spec, _report: Closing())
    monkeypatch.setenv("SERVE_API_KEY", "sk-of-this-server")
    from promptclimb.agent.cli.parser import make_parser

    arguments = ["serve", "RN-pico", "--port", "0", "--scores"]
    settings = module._settings(make_parser(arguments).parse_args(arguments))
    assert (settings.key, settings.scores) == ("sk-of-this-server", True)
    async with server.serving(settings) as url, aiohttp.request("GET", f"{url}/models") as reply:
        assert reply.status == 401


@pytest.mark.slow
def test_the_example_works_as_it_is_printed(tmp_path: Path) -> None:
    """Server and search as processes of their own."""
    program = str(ROOT / "run_agent.py")
    command = [sys.executable, program, "serve", "RN-pico", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            search = shlex.split(line.partition("for example: ")[2])
            assert search[:2] == ["python", program]
            more = [
                "--shots",
                "2",
                "--restarts",
                "1",
                "--rounds",
                "1",
                "--initial",
                "4",
                "--test-images",
                "20",
            ]
            given = [sys.executable, *search[1:], *more]
            done = subprocess.run(given, cwd=tmp_path, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()
