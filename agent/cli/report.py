"""``report``: the page of a run, made again from its files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..results.page import write_report
from ..results.run_dir import RESULT, result_of
from ..results.run_state import is_run, state_of
from ..results.run_view import view_of
from .folders import run_folder
from .output import print_text

if TYPE_CHECKING:
    from .parser import Commands


def report(arguments: argparse.Namespace) -> int:
    """Write the page and print where it is, of a live or an unfinished run as well.

    What the run left in its folder is read; its store, the data and the model are not, and the test images
    stay sealed.

    Raises:
        UsageError: There is no run, its result cannot be read, or the page cannot be written.
    """
    run_dir = run_folder(arguments.directory)
    if not is_run(run_dir):
        result_of(
            run_dir
        )  # says what is wrong with it, unless it is a copy of a run's files without its store
    elif (run_dir / RESULT).exists() and state_of(run_dir).state != "live":
        result_of(run_dir)
    try:
        page = write_report(run_dir, view_of(run_dir, pictures=arguments.pictures))
    except OSError as error:
        raise UsageError(f"{error.filename or run_dir} cannot be written: {error.strerror}") from error
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
