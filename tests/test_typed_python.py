"""Type checkers find what is wrong in calls, and pass what the pages show."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.test_examples import BLOCK

CALLS = """
from pathlib import Path
from promptclimb import EvaluatorSpec, SearchConfig, export, resume_sync, search_sync

config = SearchConfig(
    data=Path("images"), run_dir="runs/first", price="0.15/0.60", scorer_price="0.002/call",
    initial="mine.txt", track="mlflow", extra_body={"top_p": 0.9},
)
result = search_sync(config, on_event=print)
resume_sync("runs/first", changes={"max_minutes": 10})
export("runs/first", "open-clip").read_text("utf-8")
EvaluatorSpec(data="digits", shots=4)

search_sync(config, on_evnt=print)  # type: ignore[call-arg]
resume_sync("runs/first", trusted=True)  # type: ignore[call-arg]
"""
"""Right calls, and wrong ones: a wrong one that is not found is an error too."""


def test_an_editable_installation_shows_its_modules_to_type_checkers() -> None:
    """The folder that it puts on the path links to them."""
    shown = ROOT / "editable" / "promptclimb"
    assert (shown / "__init__.pyi").samefile(ROOT / "promptclimb" / "__init__.py")
    for name in ("agent", "evaluator", "prompts"):
        assert (shown / name).samefile(ROOT / name)


@pytest.mark.slow
def test_mypy_passes_what_the_pages_show(tmp_path: Path) -> None:
    """Each page's program and the examples' own, by the links of an editable installation."""
    (tmp_path / "calls.py").write_text(CALLS, "utf-8")
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    (tmp_path / "page.py").write_text("\n".join(BLOCK.findall(page)), "utf-8")
    options = ["--cache-dir", str(ROOT / ".mypy_cache"), "--warn-unused-ignores"]
    files = map(str, [*tmp_path.glob("*.py"), *(ROOT / "examples").glob("*.py")])
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *files], cwd=tmp_path,
        env={"MYPYPATH": str(ROOT / "editable"), "PATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
