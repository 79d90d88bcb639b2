"""``report``: the page of a run, made again from its files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..results.page import write_report
from ..results.run_config import config_text
from ..results.run_dir import result_of
from .output import print_text

if TYPE_CHECKING:
    from .parser import Commands


def report(arguments: argparse.Namespace) -> int:
    """Write the page and print where it is; the result and the config are read, the store is not."""
    run_dir = arguments.directory.expanduser().resolve()
    print_text(f"{write_report(run_dir, result_of(run_dir), config_text(run_dir))}\n")
    return 0


def add_parser(commands: Commands, line: str) -> None:
    """Add ``report``."""
    parser = commands.add_parser("report", help=line)
    parser.add_argument("directory", type=Path, metavar="RUN_DIR")
    parser.set_defaults(run=report)
