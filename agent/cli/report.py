"""``report``: the page of a run, made again from its files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.sources import to_toml
from ..errors import UsageError
from ..results.page import write_report
from ..results.run_dir import RESULT, read_result
from ..search.api import stored_config
from .output import print_text

if TYPE_CHECKING:
    from .parser import Commands


def report(arguments: argparse.Namespace) -> int:
    """Writes the page and prints where it is."""
    run_dir = arguments.directory.expanduser().resolve()
    config = stored_config(run_dir, {})
    try:
        result = read_result(run_dir)
    except FileNotFoundError:
        raise UsageError(f"{run_dir} holds no {RESULT} yet: resume it to its end first") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{run_dir / RESULT} cannot be read: {error}") from error
    print_text(f"{write_report(run_dir, result, to_toml(config))}\n")
    return 0


def add_parser(commands: Commands, line: str) -> None:
    """Add ``report``."""
    parser = commands.add_parser("report", help=line)
    parser.add_argument("directory", type=Path, metavar="RUN_DIR")
    parser.set_defaults(run=report)
