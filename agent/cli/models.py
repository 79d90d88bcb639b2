"""List the bundled models, and open_clip's."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .options import add_json
from .output import print_json, print_table, say

if TYPE_CHECKING:
    from .parser import Commands


def models(arguments: argparse.Namespace) -> int:
    """List the bundled models, and those of open_clip that match a text."""
    from ...evaluator.pico.models import bundled_models

    rows = [{name: str(value) for name, value in model.items()} for model in bundled_models()]
    matches: list[dict[str, str]] = []
    if arguments.grep is not None:
        from ...evaluator.clip.model_files import pretrained_pairs

        text = arguments.grep.lower()
        matches = [
            {"name": name, "pretrained": tag}
            for name, tag in pretrained_pairs()
            if text in name.lower() or text in tag.lower()
        ]
        rows += matches
    if arguments.as_json:
        print_json(rows)
        return 0
    print_table(("name", "pretrained", "file", "config"), rows)
    if arguments.grep is not None and not matches:
        say(f"no pretrained model of open_clip has {arguments.grep!r} in its name or tag")
    elif arguments.grep is None:
        say("open_clip's own models work too: `models --grep ViT-B-32` lists them")
    return 0


def add_parser(commands: Commands, line: str) -> None:
    """Add ``models``."""
    parser = commands.add_parser("models", help=line)
    parser.add_argument("--grep", metavar="TEXT", help="open_clip's pretrained pairs with this text")
    add_json(parser)
    parser.set_defaults(run=models)
