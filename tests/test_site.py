"""The pages as a site: built without a warning, whole, and without anything from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

FETCHED = re.compile(
    r"<(?:script|img|iframe)[^>]* src=\"?(?:https?:)?//|<link[^>]* rel=\"?stylesheet[^>]* href=\"?https?:"
)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """Each page is on it, those at the root of the checkout too; a reader's browser asks nobody else."""
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    pages = {path.stem: path.read_text("utf-8") for path in tmp_path.glob("*.html")}
    expected = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert set(pages) == expected | {"404", "index", "contributing", "security", "changelog"}
    for name, text in pages.items():
        assert not FETCHED.search(text), name
    assert "The words around a class name" in pages["index"]
    assert 'href="method.html#' in pages["index"]
