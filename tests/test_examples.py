"""The documented ways to use the library, run as they stand."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


def draw_own_images(folder: Path, count: int = 48) -> None:
    """Draw noise, half of it called a cat."""
    any_colour = np.random.default_rng(1)
    for number in range(count):
        picture = folder / ("cat", "dog")[number % 2] / f"{number}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(any_colour.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(picture)


def test_the_python_page_and_the_readme_run_as_they_stand(tmp_path: Path, run: Callable[[Path], str]) -> None:
    """All their blocks, one after another, in one program; here with the bundled CLIP."""
    blocks = [
        block
        for page in ("docs/python.md", "README.md")
        for block in BLOCK.findall((ROOT / page).read_text("utf-8"))
    ]
    assert len(blocks) >= 6
    program = "\n".join(blocks).replace('"ViT-B-32"', '"RN-pico"').replace('"laion2b_s34b_b79k"', '"pico"')
    program = program.replace('    run_dir="runs/mine",', '    run_dir="runs/mine", restarts=1, initial=5,')
    (tmp_path / "page.py").write_text(program, "utf-8")
    draw_own_images(tmp_path / "path" / "to" / "images")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.jpg")
    printed = run(tmp_path / "page.py")
    assert len(re.findall(r"^\['(?:cat|dog)'\]$", printed, re.MULTILINE)) == 2
    assert re.search(r"^1 [\d.]+% ", printed, re.MULTILINE)
    assert (tmp_path / "runs" / "mine" / "result.json").exists()


def test_an_llm_of_your_own_restarts(run: Callable[[Path], str]) -> None:
    """The example improves on its starting templates."""
    out = run(ROOT / "examples" / "own_llm.py")
    start, best = map(float, re.findall(r"([\d.]+)%", out))
    assert best > start


def test_a_black_box_that_is_no_clip_is_maximised(run: Callable[[Path], str]) -> None:
    """The example finds a query that finds more than its start."""
    out = run(ROOT / "examples" / "not_clip.py")
    start, best = map(int, re.findall(r"^(\d+)%", out, re.MULTILINE))
    assert best > start


@pytest.mark.slow
def test_the_bundled_clip_is_searched(run: Callable[[Path], str]) -> None:
    """The example runs on what ships with the program."""
    out = run(ROOT / "examples" / "bundled_clip.py")
    assert re.search(r"best template: .*% on test\nUse the .* on test", out)


@pytest.mark.slow
def test_ones_own_folder_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[[Path], str]
) -> None:
    """The example finds a template and writes it; here with the bundled CLIP."""
    draw_own_images(tmp_path / "images")
    words = ["own_folder.py", "images", "pets", "--model", "RN-pico", "--pretrained", "pico"]
    monkeypatch.setattr(sys, "argv", words)
    assert re.search(
        r"Use the .* on test.*\nfor open_clip: .*open-clip-templates\.json",
        run(ROOT / "examples" / "own_folder.py"),
    )
