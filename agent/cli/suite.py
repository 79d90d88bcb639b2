"""``suite``: several searches in one command, with mean and spread."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.schema import SearchConfig
from ..config.sources import from_sources
from ..errors import ConfigError, UsageError
from ..events import Bus
from ..results.result import SearchResult
from ..results.run_dir import write_atomically
from ..search.session import Session
from ..search.suite import Cell, folder_name, run_cell, summary
from ..stop import Stop
from ..text import printable
from .display import Display
from .interrupts import run_interruptible
from .options import add_config_file, add_json, add_search_options, given_settings
from .output import aligned, console, print_json, say
from .search import say_unknown_variables

if TYPE_CHECKING:
    from .parser import Commands

SUMMARY = "suite.json"


def suite(arguments: argparse.Namespace) -> int:
    """Run all searches, one after another, and sum them up."""
    cells = cells_of(arguments)
    screen = console()

    async def run(stop: Stop) -> list[SearchResult]:
        results = []
        for number, cell in enumerate(cells, start=1):
            say(f"[{number}/{len(cells)}] {cell.run_dir.name}")
            with Display(screen) as display:
                session = Session(config=cell.config, tell=Bus(display), stop=stop)
                results.append(await run_cell(cell, session))
        return results

    try:
        results = run_interruptible(run)
    except UsageError:
        raise
    except BaseException:
        say("everything is kept; the same command goes on from here")
        raise
    document = summary(cells, results)
    folder = arguments.suite_dir.expanduser().resolve()
    write_atomically(folder / SUMMARY, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    say(f"{summary_text(document)}files: {folder}")
    if document["stopped"]:
        say("everything is kept; the same command, with higher limits, goes on from here")
    if arguments.as_json:
        print_json(document)
    return 0


def cells_of(arguments: argparse.Namespace) -> list[Cell]:
    """Return every search of the suite, its config checked before the first one begins.

    Raises:
        ConfigError: A list or a setting is wrong.
    """
    folder = arguments.suite_dir.expanduser().resolve()
    datasets = _listed(arguments.datasets, "--data")
    methods = _listed(arguments.methods, "--methods")
    say_unknown_variables()
    cells = []
    for data in datasets:
        for method in methods:
            for seed in seeds_of(arguments.seeds):
                own = {"data": data, "method": method, "seed": seed}
                config = _config(arguments, {**own, "run_dir": folder / folder_name(data, method, seed)})
                cells.append(Cell(data=data, config=config))
    if len({cell.run_dir for cell in cells}) < len(cells):
        raise ConfigError("two of the data sets have the same name, so their searches would share a folder")
    folder.mkdir(parents=True, exist_ok=True)
    return cells


def seeds_of(text: str) -> list[int]:
    """Return the seeds that ``1,2,5`` or ``1-3`` stand for.

    Raises:
        ConfigError: It is neither.
    """
    seeds: list[int] = []
    for part in _listed(text, "--seeds"):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or (dash and int(last) < int(first)):
            raise ConfigError(f"--seeds {text!r}: write them as 1,2,3 or 1-3")
        seeds += range(int(first), int(last or first) + 1)
    return list(dict.fromkeys(seeds))


def summary_text(document: dict[str, Any]) -> str:
    """Return mean and spread on test as a table, a row for each data set and method.

    The JSON has further baselines. What was stopped is named below the table, and is in no mean.
    """
    there = {name for row in document["rows"] for name in row["test"]}
    names = [name for name in _COLUMNS if name in there]
    rows = [(row["data"], row, f"{len(row['seeds'])} of {row['of']}") for row in document["rows"]]
    if len({data for data, _, _ in rows}) > 1:
        rows += [
            (f"mean of {row['data_sets']} of {row['of']}", row, str(len(row["seeds"])))
            for row in document["overall"]
        ]
    lines = [
        (first, row["method"], n, *(_shown(row["test"].get(name)) for name in names))
        for first, row, n in rows
    ]
    title = "test accuracy in %, mean ± standard deviation over n seeds, the same ones for every method"
    stopped = [
        f"stopped, in no mean: {run['data']}, {run['method']}, seed {run['seed']}: {run['stop_reason']}"
        for run in document["stopped"]
    ]
    table = aligned([("data set", "method", "n", *names), *lines])
    return "\n".join([title, table.rstrip("\n"), *map(printable, stopped), ""])


_COLUMNS = ("plain", "hand-made", "initial pool", "best", "ensemble")


def _config(arguments: argparse.Namespace, own: dict[str, Any]) -> SearchConfig:
    return from_sources({**given_settings(arguments), **own}, os.environ, arguments.config_file)


def _listed(text: str, flag: str) -> Sequence[str]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise ConfigError(f"{flag} is empty")
    return list(dict.fromkeys(parts))


def _shown(found: dict[str, Any] | None) -> str:
    if found is None or found["mean"] is None:
        return "-"
    spread = "" if found["std"] is None else f" ±{100 * found['std']:.1f}"
    return f"{100 * found['mean']:.1f}{spread}"


def add_parser(commands: Commands, line: str) -> None:
    """Add ``suite``."""
    parser = commands.add_parser("suite", help=line)
    parser.add_argument(
        "--data", dest="datasets", required=True, metavar="A,B,...", help="data sets, folders"
    )
    parser.add_argument("--methods", default="pn", metavar="A,B,...", help="methods (default: pn)")
    parser.add_argument("--seeds", default="1-3", metavar="1,2,3|1-3", help="seeds (default: 1-3)")
    parser.add_argument(
        "--suite-dir",
        type=Path,
        default=Path("runs/suite"),
        metavar="DIR",
        help="folder; the same command goes on with what is in it (default: runs/suite)",
    )
    add_search_options(parser, leave_out=("data", "method", "seed", "run_dir"))
    add_config_file(parser)
    add_json(parser)
    parser.set_defaults(run=suite)
