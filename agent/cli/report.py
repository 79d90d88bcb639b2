"""``report``: write the page of a run again, from its files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..results.page import rewrite_report
from .folders import run_folder
from .output import print_text

if TYPE_CHECKING:
    from .parser import Commands


def report(arguments: argparse.Namespace) -> int:
    """Write the page and print its path, of a live or an unfinished run as well.

    The files in the run's folder are read; its store, the data and the model are not, and test is not
    evaluated.

    Raises:
        UsageError: There is no run, its result cannot be read, or the page cannot be written.
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
