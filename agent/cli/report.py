"""Rewrite the page of a run from its files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..results.page import rewrite_report
from .folders import run_folder
from .output import print_text

if TYPE_CHECKING:
    from .parser import Commands


def report(arguments: argparse.Namespace) -> int:
    """Rewrite a run's page, live or unfinished too, and print its path.

    Only the run's files are read: not its store, data or model. Test is not evaluated.
    """
    page = rewrite_report(run_folder(arguments.directory), pictures=arguments.pictures)
    print_text(f"{page}\n")
    return 0


def add_parser(commands: Commands, line: str) -> None:
    """Add ``report``."""
    parser = commands.add_parser("report", help=line)
    parser.add_argument("directory", metavar="RUN_DIR")
    parser.add_argument(
        "--no-pictures", dest="pictures", action="store_false", help="leave the small test images out"
    )
    parser.set_defaults(run=report)
