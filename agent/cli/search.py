"""``search``: a new run."""

from __future__ import annotations

import argparse
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.schema import SearchConfig
from ..config.sources import from_environment, from_sources
from ..events import Bus, Event, RunOpened, SearchStopped
from ..results.result import NOTHING_USABLE, SearchResult
from ..search.session import Session
from ..stop import Stop
from . import exit_codes
from .display import Display
from .interrupts import run_interruptible
from .options import add_config_file, add_json, add_search_options, given_settings
from .output import console, print_json, resume_command, say, with_higher
from .table import print_result

if TYPE_CHECKING:
    from .parser import Commands


def search(arguments: argparse.Namespace) -> int:
    """Start a new run."""
    config = config_from(arguments)
    if arguments.dry_run:
        from .plan import print_plan

        return print_plan(config, as_json=arguments.as_json)
    return run_session(config, lambda found: found.start(), as_json=arguments.as_json)


def config_from(arguments: argparse.Namespace) -> SearchConfig:
    """Return the config that command line, environment and file make; say which variables mean nothing."""
    say_unknown_variables()
    return from_sources(given_settings(arguments), os.environ, arguments.config_file)


def say_unknown_variables() -> None:
    """Say which variables under our prefix mean nothing."""
    for name in from_environment(os.environ)[1]:
        say(f"note: the variable {name} is no setting of this program; it is not used")


class _GoingOn:
    """Remembers what it takes to go on with a run: its folder, and the limits that it came to."""

    def __init__(self) -> None:
        self.run_dir: Path | None = None
        self._limits: tuple[str, ...] = ()

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunOpened):
            self.run_dir = Path(event.run_dir)
        elif isinstance(event, SearchStopped):
            self._limits = event.limits

    def say(self) -> None:
        """Say how to go on, if there is a run."""
        if self.run_dir is None:
            return
        what = with_higher(self._limits) or " with"
        say(f"everything is kept; go on{what}: {resume_command(self.run_dir, self._limits)}")


def run_session(
    config: SearchConfig, work: Callable[[Session], Awaitable[SearchResult]], *, as_json: bool
) -> int:
    """Run a session under the eyes of the user, and print its result."""
    screen, going_on = console(), _GoingOn()

    async def run(stop: Stop) -> SearchResult:
        with Display(screen) as display:
            return await work(Session(config=config, tell=Bus(display, going_on), stop=stop))

    try:
        result = run_interruptible(run)
    except BaseException:
        going_on.say()
        raise
    print_result(screen, result, going_on.run_dir)
    if (hint := config.untold) is not None:
        say(hint)
    if result.status == "stopped":
        going_on.say()
    if as_json:
        print_json(result.to_json())
    return exit_codes.NOTHING_USABLE if NOTHING_USABLE in result.notes else exit_codes.FINISHED


def add_parser(commands: Commands, line: str) -> None:
    """Add ``search``."""
    parser = commands.add_parser("search", help=line)
    add_search_options(parser)
    add_config_file(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="say what the search would do and cost at most, and do nothing"
    )
    add_json(parser)
    parser.set_defaults(run=search)
