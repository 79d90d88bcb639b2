"""The pages as a site: no broken link, nothing loaded from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.paths import ROOT

MADE = {"index", "contributing", "security", "changelog", "options"}
FETCHED = re.compile(
    r"<(?:script|img|iframe)[^>]* src=\"?(?:https?:)?//|<link[^>]* rel=\"?stylesheet[^>]* href=\"?https?:"
)


def expected() -> set[str]:
    docs = ROOT / "docs"
    pages = docs.rglob("*.md")
    return {path.relative_to(docs).with_suffix("").as_posix() for path in pages} | MADE


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_site_builds_strictly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No broken link; each page is there; a reader's browser loads nothing from elsewhere."""
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True)
    build(config)
    pages = {
        path.relative_to(tmp_path).with_suffix("").as_posix(): path.read_text("utf-8")
        for path in tmp_path.rglob("*.html")
    }
    assert set(pages) == {name.replace("README", "index") for name in expected()} | {"404"}
    assert [name for name, text in pages.items() if FETCHED.search(text)] == []
    assert 'src="assets/iframe-worker.js"' in pages["index"]  # else the search would fetch one
    assert (tmp_path / "search" / "search_index.js").read_text("utf-8").startswith("var __index")
    tabs = pages["index"].partition('class="md-tabs"')[2].partition("</nav>")[0]
    assert 'href="results.html"' in tabs
    assert "Measures which prompts" in pages["index"]
    assert "Search for better templates" in pages["api"]
    assert 'href="method.html' in pages["index"]
    assert "--shots" in pages["options"]
    assert "give_up_after" in pages["options"]
    assert "restart.finished" in pages["files"]
