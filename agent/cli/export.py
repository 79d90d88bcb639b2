"""``export``: what a run found, for another tool."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..results import exports
from .folders import folder_with_result
from .output import print_text

if TYPE_CHECKING:
    from .parser import Commands


def export(arguments: argparse.Namespace) -> int:
    """Write the file and print where it is."""
    run_dir = folder_with_result(arguments.directory)
    print_text(f"{exports.export(run_dir, arguments.form, out=arguments.out)}\n")
    return 0


def add_parser(commands: Commands, line: str) -> None:
    """Add ``export``."""
    parser = commands.add_parser("export", help=line)
    parser.add_argument("directory", metavar="RUN_DIR")
    parser.add_argument(
        "--format", dest="form", required=True, metavar="FORMAT", help=f"one of {', '.join(exports.FORMS)}"
    )
    parser.add_argument("--out", metavar="FILE", help="where to (default: RUN_DIR/exports/)")
    parser.set_defaults(run=export)
