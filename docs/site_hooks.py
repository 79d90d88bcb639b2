"""Hooks of mkdocs: add the pages of the checkout's root, and adapt links."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
FROM_ROOT: Mapping[str, str] = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages of the checkout's root, and their names on the site."""
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")
IMAGE = re.compile(r"(!\[[^\]]*\]\()docs/")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages from the root."""
    for name, page in FROM_ROOT.items():
        text = (ROOT / name).read_text("utf-8")
        files.append(File.generated(config, page, content=IMAGE.sub(r"\1", _linked(text, ""))))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Adapt the links of a page in ``docs/``, which may lead to files of the checkout."""
    return markdown if page.file.src_uri in FROM_ROOT.values() else _linked(markdown, "docs")


def _linked(text: str, folder: str) -> str:
    """Return a page with links as the site has them; links to other files become plain text."""

    def one(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        path = posixpath.normpath(posixpath.join(folder, target))
        if path in FROM_ROOT:
            return f"[{words}]({FROM_ROOT[path]}{anchor})"
        inside = path.removeprefix("docs/")
        is_page = inside != path and (ROOT / path).is_file()
        return f"[{words}]({inside}{anchor})" if is_page else words

    return LINK.sub(one, text)
