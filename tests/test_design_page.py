"""Each example of docs/design.md and tests/data/extensions.md works in a copy of the program."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.paths import ROOT
from tests.test_house import ORDER

PAGE = ROOT / "docs" / "design.md"
EXTENSIONS = ROOT / "tests" / "data" / "extensions.md"
ROOMS = ("agent", "evaluator", "prompts", "promptclimb")
BLOCK = re.compile(r"<!-- (file|change): (\S+) -->\n```(?:python|diff)\n(.*?)```", re.DOTALL)
FAKE = ("--custom-scorer", "promptclimb.evaluator.fakes:FakeEvaluator", "--data", "words")
SMALL = ("--restarts", "1", "--conversations", "1", "--rounds", "2", "--initial", "6")
WITH_AN_LLM = """
from pathlib import Path
from promptclimb import SearchConfig, search_sync
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.fakes import FakeEvaluator

class Chat:
    def chat(self, messages):
        critic = messages[-1]["content"].startswith("What is wrong")
        return "too plain" if critic else "- a bright {}\\n- the {} at night"

config = SearchConfig(
    data="words", method="critique", llm="me", restarts=1, conversations=1, rounds=2, initial=6, run_dir="r"
)
search_sync(config, custom_scorer=FakeEvaluator(), chat=Chat())
with Store.open(Path("r")) as store:
    print([tuple(place) for place in sorted(each.position for each in store.exchanges())])
"""


ONE_BY_ONE = """
import json, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from promptclimb.agent.cli.main import main

for line in sys.stdin:
    script, arguments = json.loads(line)
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = main(arguments) if script is None else exec(script, {}) or 0
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""


def put_in(copy: Path, kind: str, name: str, text: str) -> None:
    """Do what the page says: a new file, or lines beside others."""
    path = copy / name
    if kind == "file":
        path.write_text(text, "utf-8")
        return
    lines = path.read_text("utf-8").splitlines()
    changes = text.splitlines()
    kept = [line[1:] for line in changes if line[:1] != "+"]
    (start,) = [at for at in range(len(lines)) if lines[at : at + len(kept)] == kept]
    lines[start : start + len(kept)] = [line[1:] for line in changes]
    path.write_text("\n".join(lines) + "\n", "utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program with everything of the page in it; the large files are links."""
    folder = tmp_path_factory.mktemp("copy")
    for room in ROOMS:
        ignored = shutil.ignore_patterns("checkpoints", "sets")  # compiled files are used there, too
        shutil.copytree(ROOT / room, folder / room, ignore=ignored)
    for name in ("checkpoints", "sets"):
        (folder / "evaluator" / "pico" / name).symlink_to(ROOT / "evaluator" / "pico" / name)
    blocks = [block for page in (PAGE, EXTENSIONS) for block in BLOCK.findall(page.read_text("utf-8"))]
    assert len(blocks) >= 11
    for kind, name, text in blocks:
        put_in(folder, kind, name, text)
    return folder


class Program:
    """One process of the copy that runs command after command: imports are most of a command's time."""

    def __init__(self, copy: Path) -> None:
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
        self._process = subprocess.Popen(
            [sys.executable, "-c", ONE_BY_ONE], cwd=copy, env=environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.folder = copy

    def run(self, *arguments: str | Path, script: str | None = None) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([script, list(map(str, arguments))]) + "\n")
        self._process.stdin.flush()
        code, out, err = json.loads(self._process.stdout.readline())
        assert code == 0, err
        return str(out)

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def program(copy: Path) -> Iterator[Program]:
    changed = Program(copy)
    yield changed
    changed.close()


@pytest.fixture(scope="module")
def made(program: Program) -> Path:
    program.run("search", *FAKE, *SMALL, "--method", "combine", "--run-dir", "made")
    return program.folder / "made"


def test_the_packages_stand_in_their_order() -> None:
    """The table is the order in which packages may import each other."""
    table = PAGE.read_text("utf-8").partition("|package|purpose|")[2].partition("\n\n")[0]
    assert tuple(re.findall(r"^\|`(\w+)(?:/|\.py)`\|", table, re.MULTILINE)) == ORDER["agent"]


def test_the_functions_to_follow_exist() -> None:
    """Each stands in the file that the page names."""
    table = PAGE.read_text("utf-8").partition("|stage|functions")[2].partition("\n\n")[0]
    stages = re.findall(r"`(\S+\.py)`: ((?:`\w+`(?:, )?)+)", table)
    assert len(stages) >= 12
    for file, names in stages:
        code = (ROOT / file).read_text("utf-8")
        for name in re.findall(r"\w+", names):
            assert re.search(rf"^ *(?:async def|def|class) {name}\b", code, re.MULTILINE), (file, name)


def test_a_method_of_two_steps(program: Program) -> None:
    """Both requests of a round are filed by position; help and dry run know the method."""
    places = program.run(script=WITH_AN_LLM)
    assert places.strip() == "[(1, 1, 1, 0), (1, 1, 1, 1), (1, 1, 2, 0), (1, 1, 2, 1)]"
    assert "critique a critique, then better ones" in " ".join(program.run("search", "--help").split())
    llm = ("--llm", "m", "--base-url", "http://127.0.0.1:9/v1")
    plan = program.run("search", *FAKE, *SMALL, "--method", "critique", *llm, "--dry-run", "--json")
    assert json.loads(plan)["calls"] == 4


def test_a_writer_of_events(made: Path) -> None:
    """It wrote its file beside the others."""
    assert "(restart 1, conversation 1, round 1)" in (made / "best.txt").read_text("utf-8")


def test_a_command(program: Program, made: Path) -> None:
    """It stands in the help and does its work."""
    assert "count the words of a run's templates" in program.run("--help")
    assert program.run("words", made, "--most", "1").split()[1] == "{}"


def test_an_export(program: Program, made: Path) -> None:
    """The command takes the new form."""
    path = program.run("export", made, "--format", "markdown").strip()
    assert Path(path).read_text("utf-8").startswith("- `")
    best = program.run("export", made, "--format", "markdown", "--only", "best").strip()
    assert len(Path(best).read_text("utf-8").splitlines()) == 1


def test_a_layout_of_data(program: Program, tmp_path: Path) -> None:
    """The new scheme is read, and checked like any other."""
    for name in ("red", "green"):
        for number in range(6):
            picture = Image.new("RGB", (8, 8), (number * 20, 10 if name == "red" else 200, 0))
            picture.save(tmp_path / f"{name}.{number}.png")
    document = json.loads(program.run("datasets", f"flat:{tmp_path}", "--shots", "2", "--json"))
    assert (document["classes"], len(document["train"]), document["test_size"]) == (["green", "red"], 4, 4)
