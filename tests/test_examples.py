"""The documented ways to use the library, run as they stand."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.paths import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Path], str]:
    """Runs a program in an empty folder, as a script, and returns what it prints."""
    monkeypatch.chdir(tmp_path)

    def printed(program: Path) -> str:
        runpy.run_path(str(program), run_name="__main__")
        return capsys.readouterr().out

    return printed


def test_the_python_page_runs_as_it_stands(tmp_path: Path, run: Callable[[Path], str]) -> None:
    """All its blocks, one after another, in one program."""
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    blocks = BLOCK.findall(page)
    assert len(blocks) >= 5
    (tmp_path / "page.py").write_text("\n".join(blocks), "utf-8")
    assert "restart 1:" in run(tmp_path / "page.py")
    assert (tmp_path / "runs" / "first" / "result.json").exists()


def test_an_llm_of_your_own_restarts(run: Callable[[Path], str]) -> None:
    """The example improves on its starting templates."""
    out = run(ROOT / "examples" / "own_llm.py")
    start, found = map(float, re.findall(r"([\d.]+)%", out))
    assert found > start


def test_a_black_box_that_is_no_clip_is_maximised(run: Callable[[Path], str]) -> None:
    """The example finds a query that finds more than its start."""
    out = run(ROOT / "examples" / "not_clip.py")
    start, found = map(int, re.findall(r"^(\d+)%", out, re.MULTILINE))
    assert found > start


@pytest.mark.slow
def test_the_bundled_clip_is_searched(run: Callable[[Path], str]) -> None:
    """The example runs on what ships with the program."""
    out = run(ROOT / "examples" / "bundled_clip.py")
    assert re.search(r"on test: default template [\d.]+%, best [\d.]+%", out)


@pytest.mark.slow
def test_the_readme_runs_as_it_stands(tmp_path: Path, run: Callable[[Path], str]) -> None:
    """Its Python block finds a template."""
    (block,) = BLOCK.findall((ROOT / "README.md").read_text("utf-8"))
    (tmp_path / "page.py").write_text(block, "utf-8")
    assert re.search(r"\{\}.* 0\.\d+", run(tmp_path / "page.py"))
