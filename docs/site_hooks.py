"""Hooks of mkdocs: add the pages of the checkout's root and those made from the program, and adapt links."""

from __future__ import annotations

import argparse
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from mkdocs.structure.files import File, Files

from promptclimb.agent.cli.parser import make_parser
from promptclimb.agent.config.schema import OPTIONS
from promptclimb.agent.events.types import Event
from promptclimb.evaluator.settings import Group

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
OPTIONS_PAGE = """# Options

Every setting of `promptclimb search`. A setting may also stand in a TOML file given by `--config`
(`shots = 4`) or in the environment (`PROMPTCLIMB_SHOTS=4`). Options win over the environment, the
environment over the file. Some settings have no option;
[they stand in a file](#in-a-settings-file-only). Other commands list their options with `--help`.
`promptclimb config --show` prints where each value comes from, and `promptclimb config --init my.toml`
writes a file with all of them.
"""


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages from the root, and the options."""
    for name, page in FROM_ROOT.items():
        text = (ROOT / name).read_text("utf-8")
        files.append(File.generated(config, page, content=IMAGE.sub(r"\1", _linked(text, ""))))
    files.append(File.generated(config, "options.md", content=OPTIONS_PAGE + _options()))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Adapt the links of a page in ``docs/``, which may lead to files of the checkout; add the events."""
    if page.file.src_uri == "files.md":
        markdown = markdown.replace("<!-- events -->", _events())
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


def _options() -> str:
    """Return all options of a search by group, then the settings without an option."""
    shown = list(_shown_options())
    lines = []
    for title in dict.fromkeys(group for group, _, _ in shown):
        heading = "General" if title == "options" else title[0].upper() + title[1:]
        lines += ["", f"## {heading}", ""]
        lines += [f"- {option}: {text}" for group, option, text in shown if group == title]
    lines += ["", "## In a settings file only", ""]
    for setting in sorted(OPTIONS.values(), key=lambda setting: get_args(Group).index(setting.group)):
        default = "" if setting.default in (None, ()) else f" (default: {setting.default})"
        lines += [f"- `{setting.name}`: {setting.help}{default}"] if setting.file_only else []
    return "\n".join([*lines, ""])


def _shown_options() -> Iterator[tuple[str, str, str]]:
    """Yield group, option and help of each option of a search."""
    parser = make_parser(["search"]).called
    assert parser is not None
    for group in parser._action_groups:
        for action in group._group_actions:
            if action.help == argparse.SUPPRESS or not action.option_strings or action.dest == "help":
                continue
            text = " ".join(parser._get_formatter()._expand_help(action).split())
            yield str(group.title), f"`{_written(action)}`", text


def _written(action: argparse.Action) -> str:
    """Return an option as it is written: ``--shots N``."""
    if isinstance(action, argparse.BooleanOptionalAction):
        return "`, `".join(action.option_strings)
    if action.nargs == 0:
        return action.option_strings[-1]
    value = str(action.metavar or ",".join(map(str, action.choices or ())) or action.dest.upper())
    return f"{action.option_strings[-1]} {f'[{value}]' if action.nargs == '?' else value}"


def _events() -> str:
    """Return every event with the first sentence of its docstring."""
    texts = {
        kind.name: " ".join(str(kind.__doc__).split("\n\n")[0].split()).partition(". ")[0].rstrip(".")
        for kind in _kinds(Event)
        if "name" in vars(kind) and kind is not Event
    }
    return "\n".join(f"- `{name}`: {text}" for name, text in sorted(texts.items()))


def _kinds(event: type[Event]) -> Iterator[type[Event]]:
    yield event
    for kind in event.__subclasses__():
        yield from _kinds(kind)
