"""Rewrite the page of a run from its files."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from pathlib import Path

from ..present.page import rewrite_report
from ..results.history import view_of
from .folders import run_folder
from .output import print_line, resume_command, say, with_higher
from .parser import Parser

_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
"""Without one of these variables, only a browser in the terminal could open."""


def report(arguments: argparse.Namespace) -> int:
    """Rewrite a run's page, live or unfinished too, and print its path.

    Only the run's files are read: not its store, data or model. Test is not evaluated.
    """
    run_dir = run_folder(arguments.directory)
    view = view_of(run_dir, pictures=arguments.pictures)
    page = rewrite_report(view)
    print_line(str(page))
    if view.state == "live":
        say("The run is not finished: it is running.")
    elif view.state in ("stopped", "unfinished"):
        resume = resume_command(run_dir, view.limits)
        say(f"The run is not finished. To resume it{with_higher(view.limits)}: {resume}")
    if arguments.open and not _shown(page):
        say("There is no browser here. Open the file in one.")
    return 0


def _shown(page: Path) -> bool:
    """Open the page in the user's browser; return whether there is one that has a screen."""
    screen = sys.platform in ("darwin", "win32") or any(map(os.environ.get, _SCREENS))
    try:
        return screen and not os.environ.get("CI") and webbrowser.open(page.as_uri())
    except (webbrowser.Error, OSError):
        return False


def add_options(parser: Parser) -> None:
    """Add the options of ``report``."""
    parser.description = (
        "A search writes it already, every minute and at its end. It contains up to 24 small\n"
        "test images with their file names, and the paths of your data.\n\n"
        "example:\n  promptclimb report runs/mine --open"
    )
    parser.add_argument("directory", metavar="RUN_DIR", help="a run, also one that is not finished")
    parser.add_argument(
        "--no-pictures", dest="pictures", action="store_false", help="leave the small test images out"
    )
    parser.add_argument("--open", action="store_true", help="show it in the browser, except in CI")
