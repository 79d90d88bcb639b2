"""Every command that stands in a block on a page, run as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.test_examples import draw_own_images
from tests.test_pages import BLOCK, PAGES

NOT_RUN: Mapping[str, str] = {
    "make run": "asks the local LLM for two minutes",
    "make install": "sets up an environment; test_packaging does",
    "source .venv/bin/activate": "enters it",
    "promptclimb search --data path/to/images": "fetches a model, and may use a paid LLM",
    "promptclimb search --data backgrounds --run-dir runs/api": "asks a server",
    "promptclimb evaluate --data backgrounds --scorer embeddings": "asks a server",
    "promptclimb search --data photos --llm MODEL": "may use a paid LLM; test_name_search searches for names",
    "promptclimb search --base-url https://api.mistral.ai/v1": "uses a paid LLM",
    "promptclimb evaluate --data path/to/images": "fetches a model; test_measuring measures with a tiny one",
    "python examples/clip_server.py": "ends when it is stopped; test_clip_server starts it",
    "python benchmarks/published_sets.py": "fetches packages",
    "python benchmarks/returned.py": "searches for hours",
    "python benchmarks/unread_names.py": "searches for hours",
    "python -m training.draw": "takes the checkout; test_sets draws",
}
"""Commands that are not run, by how they begin, and why."""
STANDS_FOR: Mapping[str, str] = {
    "RUN_DIR": "runs/mine",
    "OTHER_RUN_DIR": "runs/other",
    "FILE": "leaderboard.out",
}
"""Words of a command that a reader replaces."""
SCORER = """
class Shortness:
    fingerprint = "shortness"

    def score(self, templates):
        return [1 / len(template) for template in templates]
"""


def blocks_of(page: Path) -> Iterator[tuple[str, ...]]:
    """The commands of each block of a page, each in one line, without its comment."""
    for kind, block in BLOCK.findall(page.read_text("utf-8")):
        if kind in ("console", "bash", "sh"):
            lines = re.sub(r"\\\n\s*", "", block).splitlines()
            commands = (line.removeprefix("$ ") for line in lines if line.startswith("$ "))  # else output
            yield tuple(re.sub(r"\s+#\s.*", "", command) for command in commands)


BLOCKS = list(dict.fromkeys((page.name, block) for page in PAGES for block in blocks_of(page)))
"""Page and commands: those of a block follow each other, and one may read what another wrote."""
COMMANDS = [command for _, block in BLOCKS for command in block]
RUN = [
    (page, run)
    for page, block in BLOCKS
    if (run := tuple(command for command in block if not command.startswith(tuple(NOT_RUN))))
]


def test_what_is_not_run_stands_on_a_page() -> None:
    """The table of exceptions names no command that is gone, and most commands of ours are run."""
    for beginning in NOT_RUN:
        assert any(command.startswith(beginning) for command in COMMANDS), beginning
    assert sum(command.startswith("promptclimb ") for _, block in RUN for command in block) >= 8


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages take for there: images, a scorer, templates, a small study, and runs."""
    folder = tmp_path_factory.mktemp("desk")
    program = folder / "bin" / "promptclimb"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / "run_agent.py"}" "$@"\n', "utf-8")
    program.chmod(0o755)
    draw_own_images(folder / "path" / "to" / "images")
    (folder / "my_scorers.py").write_text(SCORER, "utf-8")
    (folder / "mine.txt").write_text("a photo of a {}\n", "utf-8")
    studies = BLOCK.findall((ROOT / "docs" / "studies.md").read_text("utf-8"))
    smallest = next(block for kind, block in studies if kind == "toml")
    (folder / "small.toml").write_text(
        f"{smallest}[search]\nrestarts = 1\nrounds = 1\ninitial = 4\n", "utf-8"
    )
    scorer = "--custom-scorer my_scorers:Shortness --data notes"
    for name in ("mine", "other"):
        printed = run(folder, f"promptclimb search {scorer} --method random --run-dir runs/{name}")
        assert "(recommended)" in printed
    clip = "--data path/to/images --method random --restarts 1 --rounds 1 --initial 4 --run-dir runs/clip"
    assert "(recommended)" in run(folder, f"promptclimb search {clip}")
    return folder


def run(folder: Path, line: str) -> str:
    """Both outputs of a command, without a key and without the network; it must succeed."""
    nowhere = "http://127.0.0.1:9"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROMPTCLIMB_")}
    environment |= {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PROMPTCLIMB_CACHE": os.environ["PROMPTCLIMB_CACHE"],
        "HF_HUB_OFFLINE": "1",
        "http_proxy": nowhere,
        "https_proxy": nowhere,
    }
    done = subprocess.run(
        ["bash", "-ec", line], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("page", "block"), RUN)
def test_commands_do_what_they_are_shown_for(desk: Path, page: str, block: tuple[str, ...]) -> None:
    """Each ends with exit code 0, and says something, but for one that only sets a variable."""
    for line in block:
        # A custom scorer names no classes and gives no features.
        with_clip = ("promptclimb predict", "promptclimb export", "promptclimb evaluate --config")
        stands_for = STANDS_FOR | ({"RUN_DIR": "runs/clip"} if line.startswith(with_clip) else {})
        command = line
        for word, mine in stands_for.items():
            command = re.sub(rf"\b{word}\b", mine, command)
        printed = run(desk, command)
        assert printed.strip() or command.startswith("export ")
