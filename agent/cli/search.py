"""``search`` and ``resume``."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console

from ..config.fields import without_credentials
from ..config.schema import SearchConfig
from ..config.sources import from_environment, from_sources
from ..results.result import SearchResult
from ..results.run_dir import CONFIG
from ..results.settings import stored_config
from ..search.session import Search
from ..stop import Halt
from .display import Progress
from .interrupts import run_interruptible
from .options import given_settings
from .output import console, print_json, resume_command, say
from .table import print_result


def search(arguments: argparse.Namespace) -> int:
    """Starts a new run."""
    config = config_from(arguments)
    if arguments.dry_run:
        from .plan import print_plan

        return print_plan(config, as_json=arguments.as_json)
    return _run(config, lambda found: found.start(), as_json=arguments.as_json)


def resume(arguments: argparse.Namespace) -> int:
    """Goes on with a run."""
    run_dir = arguments.directory.expanduser().resolve()
    config = stored_config(run_dir, given_settings(arguments))
    return _run(_with_credentials(config), lambda found: found.resume(run_dir), as_json=arguments.as_json)


def config_from(arguments: argparse.Namespace) -> SearchConfig:
    """The config that a command line, the environment and a file make; says which variables mean nothing."""
    for name in from_environment(os.environ)[1]:
        say(f"note: the variable {name} is no setting of this program; it is not used")
    return from_sources(given_settings(arguments), os.environ, arguments.config_file)


def watched(config: SearchConfig, screen: Console, halt: Halt) -> tuple[Search, Progress]:
    """A search, and the display that hears of it and asks it what is used and left."""
    holder: list[Search] = []
    progress = Progress(screen, gauge=lambda: holder[0].gauge())
    holder.append(Search(config, on_event=progress, halt=halt))
    return holder[0], progress


def _with_credentials(config: SearchConfig) -> SearchConfig:
    """The stored address has no password; the environment's, if it is the same place, may."""
    url = os.environ.get("OPENAI_BASE_URL")
    if url and config.base_url and without_credentials(url).rstrip("/") == config.base_url:
        return config.model_copy(update={"base_url": url.rstrip("/")})
    return config


def _run(config: SearchConfig, work: Callable[[Search], Awaitable[SearchResult]], *, as_json: bool) -> int:
    screen = console()
    holder: list[Search] = []

    async def run(halt: Halt) -> SearchResult:
        found, progress = watched(config, screen, halt)
        holder.append(found)
        with progress:
            return await work(found)

    try:
        result = run_interruptible(run)
    except BaseException:
        with contextlib.suppress(IndexError):
            _say_how_to_go_on(holder[0].run_dir)
        raise
    run_dir = holder[0].run_dir
    print_result(screen, result, run_dir)
    if result.status == "stopped":
        _say_how_to_go_on(run_dir)
    if as_json:
        print_json(result.to_json())
    return 0


def _say_how_to_go_on(run_dir: Path | None) -> None:
    if run_dir is not None and (run_dir / CONFIG).exists():
        say(f"everything is kept; go on with: {resume_command(run_dir)}")
