"""``report``: the page of a run, made again from its files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..results.page import write_report
from ..results.run_config import config_text
from ..results.run_dir import result_of
from .folders import folder_with_result
from .output import print_text

if TYPE_CHECKING:
    from .parser import Commands


def report(arguments: argparse.Namespace) -> int:
    """Write the page and print where it is; the result and the config are read, the store is not.

    Raises:
        UsageError: There is no result, or the page cannot be written.
    """
    run_dir = folder_with_result(arguments.directory)
    result = result_of(run_dir)
    try:
        page = write_report(run_dir, result, config_text(run_dir))
    except OSError as error:
        raise UsageError(f"{error.filename or run_dir} cannot be written: {error.strerror}") from error
    print_text(f"{page}\n")
    return 0


def add_parser(commands: Commands, line: str) -> None:
    """Add ``report``."""
    parser = commands.add_parser("report", help=line)
    parser.add_argument("directory", metavar="RUN_DIR")
    parser.set_defaults(run=report)
