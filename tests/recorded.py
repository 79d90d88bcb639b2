"""Recorded pages: what a command prints or a page says, compared with a file.

``RECORD_PAGES=1 python -m pytest FILE`` writes its pages anew; read what changed before a commit.
"""

from __future__ import annotations

import html.parser
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import pytest

from promptclimb.agent.cli.main import main
from tests.paths import ROOT

PAGES = ROOT / "tests" / "data" / "pages"
VARYING = {
    r"127\.0\.0\.1:\d+": "HOST",
    r"\b[\d,]+ s of active time(?:, after [\d,]+ s of opening data and model)?": "N s of active time",
    r"\b\d{8}-\d{6}-": "TIME-",
    r"genai-prices [\d.]+": "genai-prices",
    r"(?m)^\| (?:\[\d+:\d\d\] |model: |images: |texts: |opening \.\.\.|[\d,]+ images? .*encoded).*\n": "",
    r"last event: ([^,]+), .* UTC": r"last event: \1, TIME",
}
"""Patterns of what differs from run to run, and the words in their places."""


def check_page(name: str, text: str) -> None:
    """Compare a text with the recorded page of that name."""
    path = PAGES / f"{name}.txt"
    text = "".join(f"{line.rstrip()}\n" for line in text.strip("\n").split("\n"))
    if os.environ.get("RECORD_PAGES"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    assert path.read_text("utf-8") == text, f"{path} is of another text; RECORD_PAGES=1 writes it anew"


class _Text(html.parser.HTMLParser):
    """The text of a page: a line for each block, cells apart, without styles and drawings."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("style", "svg", "script")
        if tag in ("h1", "h2", "h3", "p", "li", "tr", "summary", "pre", "div", "br", "title"):
            self.text += "\n## " if tag == "h2" else "\n"
        if tag in ("td", "th"):
            self.text += " | "

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "svg", "script")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text += data


def text_of(page: str) -> str:
    """Return the text of an HTML page as lines, none of them empty."""
    reader = _Text()
    reader.feed(page)
    lines = (re.sub(r"[ \t]+", " ", line).strip() for line in reader.text.splitlines())
    return "\n".join(line for line in lines if line)


def check_session(
    name: str, capsys: pytest.CaptureFixture[str], *commands: str | Sequence[str | Path]
) -> None:
    """Run commands in this process, and compare what they print with the recorded page of that name.

    Lines on standard error have a bar in front. What differs from run to run has a word in its place.
    """
    capsys.readouterr()
    text = ""
    with patch.dict(os.environ, COLUMNS="100"):
        for command in commands:
            words = shlex.split(command) if isinstance(command, str) else list(map(str, command))
            code = main(words)
            out, err = capsys.readouterr()
            stderr = "".join(f"| {line}\n" for line in err.splitlines())
            text += f"$ {shlex.join(words)}\n{out}{stderr}" + (f"(exit code {code})\n" if code else "") + "\n"
    for pattern, word in VARYING.items():
        text = re.sub(pattern, word, text)
    check_page(name, text.replace(f"{Path.cwd()}", "FOLDER"))
