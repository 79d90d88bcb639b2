"""``export``: what a run found, for another tool."""

from __future__ import annotations

import argparse

from ..results import exports
from .output import print_text


def export(arguments: argparse.Namespace) -> int:
    """Write the file and print where it is."""
    run_dir = arguments.directory.expanduser().resolve()
    print_text(f"{exports.export(run_dir, arguments.form, out=arguments.out)}\n")
    return 0
