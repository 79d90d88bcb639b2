"""The documented ways to use the library, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def run(arguments: list[str], folder: Path) -> str:
    """Standard output of a Python program that runs in a folder of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_page_runs_as_it_stands(tmp_path: Path) -> None:
    """All its blocks, one after another, in one program."""
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    blocks = BLOCK.findall(page)
    assert len(blocks) >= 5
    (tmp_path / "page.py").write_text("\n".join(blocks), "utf-8")
    assert "restart 1:" in run(["page.py"], tmp_path)
    assert (tmp_path / "runs" / "first" / "result.json").exists()


def test_an_llm_of_your_own_restarts(tmp_path: Path) -> None:
    """The example improves on its starting templates."""
    out = run([str(ROOT / "examples" / "own_llm.py")], tmp_path)
    start, found = map(float, re.findall(r"([\d.]+)%", out))
    assert found > start


def test_a_black_box_that_is_no_clip_is_maximised(tmp_path: Path) -> None:
    """The example finds a query that finds more than its start."""
    out = run([str(ROOT / "examples" / "not_clip.py")], tmp_path)
    start, found = map(int, re.findall(r"^(\d+)%", out, re.MULTILINE))
    assert found > start


@pytest.mark.slow
def test_the_bundled_clip_is_searched(tmp_path: Path) -> None:
    """The example runs on what ships with the program."""
    out = run([str(ROOT / "examples" / "bundled_clip.py")], tmp_path)
    assert re.search(r"on test: default template [\d.]+%, best [\d.]+%", out)


@pytest.mark.slow
def test_the_readme_runs_as_it_stands(tmp_path: Path) -> None:
    """Its Python block finds a template."""
    (block,) = BLOCK.findall((ROOT / "README.md").read_text("utf-8"))
    (tmp_path / "page.py").write_text(block, "utf-8")
    assert re.search(r"\{\}.* 0\.\d+", run(["page.py"], tmp_path))
