"""List the bundled models, and open_clip's."""

from __future__ import annotations

import argparse

from .options import add_json
from .output import print_json, print_table, program, say
from .parser import Parser


def models(arguments: argparse.Namespace) -> int:
    """List the bundled models, or all that match a text, open_clip's too."""
    from ...evaluator.pico.models import bundled_models

    rows = bundled_models()
    if arguments.grep is not None:
        from ...evaluator.clip.model_files import pretrained_pairs

        text = arguments.grep.lower()
        rows += [{"name": name, "pretrained": tag} for name, tag in pretrained_pairs()]
        rows = [row for row in rows if text in row["name"].lower() or text in row["pretrained"].lower()]
    if arguments.as_json:
        print_json(rows)
    elif not rows:
        say(f"no model has {arguments.grep!r} in its name or tag")
    else:
        print_table(("name", "pretrained", "file", "config"), rows)
    if arguments.grep is None:
        say(f"open_clip's own models work too: `{program()} models --grep ViT-B-32` lists them")
    return 0


def add_options(parser: Parser) -> None:
    """Add the options of ``models``."""
    parser.add_argument("--grep", metavar="TEXT", help="those with this text in name or tag, open_clip's too")
    add_json(parser)
