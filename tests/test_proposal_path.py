"""One proposal, followed from the command line to ``result.json``, by the files whose functions get it."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

import jinja2  # noqa: F401 - imported here, as importing these under a profile takes long
import open_clip  # noqa: F401
import openai  # noqa: F401
import pytest

from promptclimb.agent.cli.main import main
from tests.paths import ROOT

PROPOSAL = "a zigzag rendering of a {}"
MOST_FILES = 36
"""Of these one writes the classifier, and one the warnings in the verdict."""
DEPTH = 4
MANY = 40


class Handler(BaseHTTPRequestHandler):
    """Answer every chat request with the same proposal.

    Attributes:
        answered: Whether it has: before, no function can get the proposal.
    """

    answered = False

    def do_POST(self) -> None:
        Handler.answered = True
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        message = {"role": "assistant", "content": f"- {PROPOSAL}"}
        reply = {
            "id": "1", "object": "chat.completion", "created": 1, "model": "fake",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
        }  # fmt: skip
        body = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@contextmanager
def endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


@cache
def source_file(filename: str) -> str | None:
    """The path of a file of ours, from the root of the checkout; None for any other."""
    path = Path(filename)
    if not path.is_relative_to(ROOT):
        return None
    name = path.relative_to(ROOT).as_posix()
    return name if name.startswith(("agent/", "evaluator/", "prompts/")) else None


def holds_proposal(value: Any, depth: int = DEPTH) -> bool:
    """Whether a value, or a member of it, is a text with the proposal."""
    if isinstance(value, str):
        return PROPOSAL in value
    if isinstance(value, bytes):
        return PROPOSAL.encode() in value
    if depth == 0:
        return False
    if isinstance(value, dict):
        members: list[Any] = list(value.values())[:MANY] + list(value)[:MANY]
    elif isinstance(value, list | tuple | set | frozenset):
        members = list(value)[:MANY]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        members = [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    else:
        return False
    return any(holds_proposal(member, depth - 1) for member in members)


def files_passed(url: str, folder: Path) -> list[str]:
    """Search in this process; return the files whose functions got the proposal before the result."""
    passed: set[str] = set()
    result = folder / "result.json"
    command = [
        "search", "--data", "backgrounds", "--llm", "fake", "--base-url", url, "--run-dir", str(folder),
        "--method", "pn", "--restarts", "1", "--conversations", "1", "--rounds", "1", "--initial", "4",
        "--shots", "1", "--augmentations", "0",
    ]  # fmt: skip

    def look(frame: FrameType, event: str, value: Any) -> None:
        if not Handler.answered or event not in ("call", "return"):
            return
        name = source_file(frame.f_code.co_filename)
        if name is None or name in passed:
            return
        if event == "return":
            arguments = [value]
        else:
            code = frame.f_code
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            arguments = [frame.f_locals.get(argument) for argument in names if argument != "self"]
        if any(map(holds_proposal, arguments)) and not result.exists():
            passed.add(name)

    Handler.answered = False
    threading.setprofile(look)
    sys.setprofile(look)
    try:
        code = main(command)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert code == 0
    assert PROPOSAL in {row["template"] for row in json.loads(result.read_text("utf-8"))["leaderboard"]}
    return sorted(passed)


@pytest.mark.slow
@pytest.mark.usefixtures("small_sets")
def test_a_proposal_passes_few_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line, over the LLM's answer and the scorer, to the result and its report."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with endpoint() as url:
        files = files_passed(url, tmp_path / "run")
    capsys.readouterr()
    assert len(files) <= MOST_FILES, "\n".join(files)
