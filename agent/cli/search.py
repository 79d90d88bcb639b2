"""``search``: a new run."""

from __future__ import annotations

import argparse
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ...evaluator.counts import enumerated
from ..config.fields import DEFAULT_BASE_URL, without_credentials
from ..config.schema import SearchConfig
from ..config.sources import flag_of, from_sources
from ..errors import EndpointError, InterruptedRunError, ModelNotFoundError
from ..events import Bus, Event, Listener, RunOpened, SearchStopped
from ..llm.dialects.keys import is_azure
from ..results.result import NOTHING_USABLE, SearchResult
from ..search.allowance import LIMITS
from ..search.session import Session
from ..stop import Stop
from . import exit_codes
from .display import Display
from .interrupts import run_interruptible
from .options import (
    add_config_file,
    add_json,
    add_live,
    add_search_options,
    given_settings,
    say_unknown_variables,
)
from .output import console, json_alone, print_json, resume_command, say, with_higher
from .table import print_result

if TYPE_CHECKING:
    from .parser import Commands


EXAMPLE = """\
example:
  promptclimb search --data path/to/images --model ViT-B-32 --pretrained laion2b_s34b_b79k \\
      --llm gpt-4o-mini --describe "what your images show" --price auto --max-cost 1
"""
DETAILS = """\
what --data takes:
  backgrounds                   a set by name; `datasets` lists them
  path/to/images                folders DIR/CLASS/*.jpg, or DIR/{train,val,test}/CLASS/*
  images.csv                    a table with path, label and perhaps split (.csv, .tsv, .jsonl); see --columns
  hf:OWNER/NAME, hf:FOLDER      Hugging Face's, from the hub or a folder (extra [hf])
  torchvision:NAME              torchvision's, under --data-root

what --model takes:
  RN-pico, ViT-pico             the bundled ones
  ViT-B-32                      open_clip's names, with --pretrained TAG or FILE; `models --grep` lists them
  hf-hub:OWNER/NAME             from Hugging Face's hub
  local-dir:FOLDER              a folder with open_clip_config.json and weights

examples:
  promptclimb search --data binary-numbers --describe "numbers written in binary" --llm local
  promptclimb search --data path/to/images --model ViT-B-32 --pretrained laion2b_s34b_b79k \\
      --llm gpt-4o-mini --describe "what the pictures show" --price auto --max-cost 1
  promptclimb search --data images.csv --columns path=file,label=species --method combine \\
      --describe "birds at a feeder" --dry-run
"""


def search(arguments: argparse.Namespace) -> int:
    """Start a new run."""
    config = config_from(arguments)
    if arguments.dry_run:
        from .dry_run import print_plan

        return print_plan(config, as_json=arguments.as_json)
    return run_session(config, lambda found: found.start(), as_json=arguments.as_json, live=arguments.live)


def config_from(arguments: argparse.Namespace) -> SearchConfig:
    """Return the config that command line, environment and file make; say which variables mean nothing."""
    say_unknown_variables()
    config = from_sources(
        given_settings(arguments), os.environ, arguments.config_file, report=lambda line: say(f"note: {line}")
    )
    say_unheard([config])
    return config


def say_unheard(configs: Sequence[SearchConfig]) -> None:
    """Say what was given in vain: a description, once for each method, and limits of what nobody asks for."""
    for line in dict.fromkeys(config.unused_description for config in configs):
        if line is not None:
            say(f"note: {line}")
    say_idle_limits(configs)


def say_idle_limits(configs: Sequence[SearchConfig]) -> None:
    """Say which limits bound nothing, where no search asks an LLM."""
    if any(config.needs_llm for config in configs):
        return
    given = {name for name in LIMITS for one in configs if getattr(one, name) is not None}
    flags = [flag_of(name) or name for name in LIMITS if name in given and name != "max_minutes"]
    if flags:
        verb = "bounds" if len(flags) == 1 else "bound"
        say(f"note: {enumerated(flags)} {verb} what an LLM takes, and none is asked")


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

    def say(self, config: SearchConfig, *, elsewhere: bool = False) -> None:
        """Say how to go on, if there is a run, and what that takes beside the command.

        Args:
            config: What was searched.
            elsewhere: Whether that takes another address than it was given.
        """
        if self.run_dir is None:
            return
        command = resume_command(self.run_dir, self._limits)
        if elsewhere:
            say(f"everything is kept; go on with the right address: {command} --base-url URL/v1")
        else:
            say(f"everything is kept; go on{with_higher(self._limits) or ' with'}: {command}")
        if (lost := _not_kept(config)) is not None:
            say(f"but {lost}")


def _not_kept(config: SearchConfig) -> str | None:
    """Return which credentials a resumed run lacks, with what to do; None for none."""
    if config.shown_url is None:
        return None
    if config.endpoints:
        kept = all(one.base_url == without_credentials(one.base_url) for one in config.endpoints)
        what = (
            "the credentials in the addresses of [[endpoints]] are not kept: go on from Python, with "
            "resume(RUN_DIR, changes={'endpoints': ...})"
        )
    else:
        kept = config.base_url is None or config.base_url == without_credentials(config.base_url)
        what = "the credentials in the address are not kept: give it with --base-url or OPENAI_BASE_URL"
    return None if kept else what


def run_session(
    config: SearchConfig,
    work: Callable[[Session], Awaitable[SearchResult]],
    *,
    as_json: bool,
    live: int | None = None,
) -> int:
    """Run a session under the eyes of the user, and print its result; ``live`` is the port of a page."""
    screen, going_on = console(), _GoingOn()

    async def run(stop: Stop) -> SearchResult:
        async with AsyncExitStack() as stack:
            told: list[Listener] = [going_on]
            if live is not None:
                from .live_page import live_page

                page = await stack.enter_async_context(live_page(live))
                say(f"live: {page.address}")
                told.append(page)
            display = stack.enter_context(Display(screen))
            return await work(Session(config=config, emit=Bus(display, *told), stop=stop))

    try:
        with json_alone(as_json):
            result = run_interruptible(run)
    except BaseException as error:
        going_on.say(config, elsewhere=_at_fault(config, error))
        if isinstance(error, InterruptedRunError) and going_on.run_dir is None:
            say("stopped while things were opened: nothing was asked or scored")
        raise
    # The table is what the command was asked for, unless that is a document.
    if going_on.run_dir is None:
        say("the run was finished already; this is its result")
    print_result(console(stderr=as_json), result, going_on.run_dir or result.run_dir)
    if (hint := config.description_tip) is not None:
        say(hint)
    if result.status == "stopped":
        going_on.say(config)
    if as_json:
        print_json(result.to_json())
    return exit_codes.NOTHING_USABLE if NOTHING_USABLE in result.notes else exit_codes.FINISHED


def _at_fault(config: SearchConfig, error: BaseException) -> bool:
    """Return whether a search ended before any answer because of its address, as far as that can be told."""
    missing = isinstance(error, EndpointError) and isinstance(error.__cause__, ModelNotFoundError)
    url = config.base_url or DEFAULT_BASE_URL
    return missing and not config.endpoints and not url.endswith("/v1") and not is_azure(url)


def add_parser(commands: Commands, line: str) -> None:
    """Add ``search``."""
    parser = commands.add_parser(
        "search", help=line, usage="%(prog)s [OPTION ...]", description=EXAMPLE, epilog=DETAILS
    )
    add_search_options(parser)
    add_config_file(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="open data and model, say what the search would take at most and as a rule, and pay nothing",
    )
    add_live(parser)
    add_json(parser)
    parser.set_defaults(run=search)
