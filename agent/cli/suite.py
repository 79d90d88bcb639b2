"""``suite``: several searches in one command, with mean and spread."""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...evaluator.errors import ConfigError
from ...evaluator.settings import shown
from ...evaluator.user_paths import user_path
from ..config.schema import OPTIONS, SearchConfig
from ..config.sources import flag_of, from_sources
from ..events import Bus
from ..results.run_dir import SUMMARY, write_atomically
from ..search.allowance import LIMITS, Allowance
from ..search.same_content import placed
from ..search.suite import Cell, as_it_is, check_cells, folder_name
from ..search.suite_summary import summary
from ..search.unfinished import INTERRUPTED, Found, Refusals, way_on
from ..stop import Stop
from ..store.lock import refuse_beside_another
from .display import Display
from .options import add_config_file, add_json, add_search_options, given_settings, say_unknown_variables
from .output import console, print_json, print_text, say, short_path
from .search import say_unused
from .suite_runs import Held, check_llms, exit_code, made, run_one, say_refused_llms, say_unfinished
from .suite_table import summary_text

if TYPE_CHECKING:
    from .parser import Commands, Parser

EXAMPLES = """\
examples:
  promptclimb suite --data dice,tallies --methods combine,random --seeds 1-3
  promptclimb suite study.toml --dry-run
"""
MOST_SEEDS = 1000
"""The most seeds of a suite: each is a search for every data set and method."""
_SEEDS = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?")


def suite(arguments: argparse.Namespace) -> int:
    """Run all searches, one after another, and sum them up."""
    if arguments.file is not None:
        from .study import run_study

        return run_study(arguments)
    if arguments.datasets is None:
        raise ConfigError("say what to search on: --data A,B,..., or a suite file, FILE.toml")
    folder = user_path("runs/suite" if arguments.suite_dir is None else arguments.suite_dir, "--suite-dir")
    cells = cells_of(arguments, folder)
    if arguments.dry_run:
        refuse_beside_another(folder)
        return _print_plan(cells, folder, as_json=arguments.as_json)
    results: list[Found] = []
    with Held(folder, [SUMMARY]) as held:
        waiting = check_cells(cells)
        check_llms([cell.config for cell in waiting], Allowance(folder))
        held.make()
        document = made(
            lambda stop: _run_all(cells, Allowance(folder), stop, results),
            lambda: _summed_up(folder, cells, results),
            lambda: _tell_what_is_there(folder, cells, results),
            as_json=arguments.as_json,
        )
    show = say if arguments.as_json else print_text
    show(f"{summary_text(document)}files: {folder}{'' if arguments.as_json else chr(10)}")
    if (line := way_on(results)) is not None:
        say(line)
    if arguments.as_json:
        print_json(document)
    return exit_code(results)


def _summed_up(folder: Path, cells: Sequence[Cell], results: Sequence[Found]) -> dict[str, Any]:
    document = summary(cells, results)
    _write(folder, document)
    return document


def _tell_what_is_there(folder: Path, cells: Sequence[Cell], results: Sequence[Found]) -> None:
    """Sum up what is there when a suite ends too early, and say the way on."""
    with suppress(OSError, ValueError):
        left = [as_it_is(cell, INTERRUPTED) for cell in cells[len(results) :]]
        _summed_up(folder, cells, [*results, *left])
        say(f"what there is so far is summed up in {short_path(folder / SUMMARY)}")
    say("everything is kept; the same command goes on from here")


def _write(folder: Path, document: dict[str, Any]) -> None:
    write_atomically(folder / SUMMARY, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _print_plan(cells: Sequence[Cell], folder: Path, *, as_json: bool) -> int:
    from .expected import usually
    from .plan import plan, plan_of_suite, print_bounds, shape
    from .suite_expected import Opened

    configs = [cell.config for cell in cells]
    plans = {config.run_dir: plan(config) for config in configs}
    bounds = plan_of_suite(configs, lambda config: plans[config.run_dir])
    waiting = check_cells(cells)
    calls = sum(one["calls"] for one in plans.values())
    usual = Opened(configs, as_json=as_json).of_all(configs, bounds, calls)
    if as_json:
        print_json({**bounds, "expected": usual})
    else:
        print_bounds(f"the whole suite, each search of {shape(configs[0])}", bounds, as_json=False)
        print_text(usually(bounds, usual))
    say_refused_llms([cell.config for cell in waiting], folder)
    return 0


async def _run_all(cells: Sequence[Cell], allowance: Allowance, stop: Stop, results: list[Found]) -> None:
    """Add what came of every search, one after another: what is there when a signal comes can be shown."""
    screen, refusals = console(), Refusals()
    for number, cell in enumerate(cells, start=1):
        say(f"[{number}/{len(cells)}] {cell.run_dir.name}")
        with Display(screen) as display:
            results.append(await run_one(cell, allowance, refusals, Bus(display), stop))
        say_unfinished(results[-1])


def cells_of(arguments: argparse.Namespace, folder: Path) -> list[Cell]:
    """Return every search of the suite, its config checked before the first one begins.

    Args:
        arguments: What was parsed.
        folder: The suite's folder.

    Raises:
        ConfigError: A list or a setting is wrong.
    """
    datasets = data_sets_of(arguments.datasets)
    methods = _listed("guided" if arguments.methods is None else arguments.methods, "--methods")
    say_unknown_variables()
    cells = []
    for data in datasets:
        for method in methods:
            for seed in seeds_of("1-3" if arguments.seeds is None else arguments.seeds):
                own = {"data": data, "method": method, "seed": seed}
                config = _config(arguments, {**own, "run_dir": folder / folder_name(data, method, seed)})
                cells.append(Cell(data=data, config=config))
    say_unused([cell.config for cell in cells])
    places = placed([cell.config for cell in cells])
    cells = [replace(cell, config=config) for cell, config in zip(cells, places, strict=True)]
    if len({cell.run_dir for cell in cells}) < len(cells):
        raise ConfigError("two of the data sets have the same name, so their searches would share a folder")
    return cells


def data_sets_of(given: Sequence[str]) -> Sequence[str]:
    """Return the data sets that ``--data`` names, each time it is given; a name in quotes may hold commas.

    Raises:
        ConfigError: There are none, or quotes are left open.
    """
    try:
        rows = list(csv.reader(given, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ConfigError(
            f"--data {shown(','.join(given))}: it is no list ({error}); put a name with a comma in double "
            "quotes inside the shell's own, '\"a,b\",c', and give --data once for each name with quotes"
        ) from error
    return _unique([part.strip() for row in rows for part in row if part.strip()], "--data")


def seeds_of(text: str) -> list[int]:
    """Return the seeds that ``1,2,5`` or ``1-3`` stand for.

    Raises:
        ConfigError: It is neither, or they are too many.
    """
    seeds: dict[int, None] = {}
    for part in _listed(text, "--seeds"):
        written = _SEEDS.fullmatch(part)
        first, last = (int(written[1]), int(written[2] or written[1])) if written else (1, 0)
        if last < first:
            raise ConfigError(f"--seeds {shown(text)}: write them as 1,2,3 or 1-3")
        seeds |= dict.fromkeys(range(first, min(last, first + MOST_SEEDS) + 1))
        if len(seeds) > MOST_SEEDS:
            raise ConfigError(f"--seeds {shown(text)}: a suite has at most {MOST_SEEDS} seeds")
    return list(seeds)


def _config(arguments: argparse.Namespace, own: dict[str, Any]) -> SearchConfig:
    return from_sources({**given_settings(arguments), **own}, os.environ, arguments.config_file)


def _listed(text: str, flag: str) -> Sequence[str]:
    return _unique([part.strip() for part in text.split(",") if part.strip()], flag)


def _unique(parts: Sequence[str], flag: str) -> Sequence[str]:
    if not parts:
        raise ConfigError(f"{flag} is empty")
    return list(dict.fromkeys(parts))


def add_parser(commands: Commands, line: str) -> None:
    """Add ``suite``."""
    parser = commands.add_parser(
        "suite", help=line, usage="%(prog)s [OPTION ...] [FILE.toml]", description=EXAMPLES
    )
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE.toml",
        help="a suite file: data, shots, seeds, models, methods and LLMs, and what is asked of them "
        "(docs/studies.md); in place of --data, --methods and --seeds",
    )
    parser.add_argument(
        "--data",
        dest="datasets",
        action="append",
        metavar="A,B,...",
        help="data sets, folders; may be given again; one with a comma in its name in double quotes: "
        "'\"a,b\",c'",
    )
    parser.add_argument("--methods", metavar="A,B,...", help="methods (default: guided)")
    parser.add_argument("--seeds", metavar="1,2,3|1-3", help="seeds (default: 1-3)")
    parser.add_argument(
        "--suite-dir",
        metavar="DIR",
        help="folder; the same command goes on with what is in it (default: runs/suite, or runs/ and the "
        "file's name)",
    )
    add_search_options(
        parser,
        leave_out=("data", "method", "seed", "run_dir", *LIMITS),
        first=("model", "pretrained", "llm", "describe", "price"),
    )
    _add_limits(parser)
    add_config_file(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="open data and models, say what the whole suite would do and cost at most, and what is to be "
        "expected of it, and do nothing",
    )
    add_json(parser)
    parser.set_defaults(run=suite)


def _add_limits(parser: Parser) -> None:
    """Add the limits, which a search has too, with what they mean here: they include earlier sessions."""
    texts = {
        "max_calls": "calls at most",
        "max_tokens": "tokens at most, in and out",
        "max_cost": "dollars at most; needs --price",
        "max_minutes": "minutes of active time at most",
    }
    for name in LIMITS:
        parser.add_to(
            "Limits",
            flag_of(name),
            hide=not OPTIONS[name].first,
            dest=name,
            default=argparse.SUPPRESS,
            metavar=OPTIONS[name].show,
            help=f"{texts[name]}, over the whole suite",
        )
