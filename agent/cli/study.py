"""``suite FILE.toml``: a study by its file, and what its runs say together."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.user_paths import user_path
from ..config.sources import PREFIX, from_environment
from ..errors import ConfigError, UsageError
from ..events import Bus
from ..results.result import SearchResult
from ..search.allowance import Allowance
from ..search.suite import NotRun
from ..stop import Stop
from ..study.beforehand import check_budget, check_cells, check_size
from ..study.grid import StudyCell, cells_of, decides, refuse_deciding
from ..study.outcomes import Outcome, blocks_of, outcome_of
from ..study.study_document import findings, write_findings
from ..study.study_file import Study, read_study
from ..study.study_forms import parts
from ..study.transfer import Carried
from ..study.white_box_runs import fitted
from ..text import printable
from . import exit_codes
from .display import Display
from .interrupts import run_interruptible
from .options import given_settings, say_unknown_variables
from .output import aligned, console, json_alone, print_json, print_text, say, short_path
from .plan import plan
from .study_plan import print_study_plan
from .suite_runs import exit_code, make_folder, run_one

_OF_A_LIST = {"datasets": "--data", "methods": "--methods", "seeds": "--seeds", "config_file": "--config"}
"""Options in whose place a file stands."""


def run_study(arguments: argparse.Namespace) -> int:
    """Run every search of a file, and write what they say together."""
    file = Path(short_path(user_path(arguments.file, "suite FILE")))
    study, cells, folder = _read(arguments, file)
    if arguments.dry_run:
        return print_study_plan(cells, file, as_json=arguments.as_json)
    check_cells(cells, file)
    make_folder(folder)
    carried = Carried(folder)
    try:
        with json_alone(arguments.as_json):
            found = run_interruptible(partial(_run_all, study, cells, folder))
            outcomes = [one for one, _ in found]
            if study.transfer:
                carried.complete(study, blocks_of(outcomes), say)
    except UsageError:
        raise
    except BaseException:
        say("everything is kept; the same command goes on from here")
        raise
    document = findings(study, outcomes, carried, file.stem)
    no_picture = write_findings(folder, document, outcomes)
    show = say if arguments.as_json else print_text
    show(f"{_text(document)}\nfiles: {short_path(folder)}{'' if arguments.as_json else chr(10)}")
    if no_picture is not None:
        say(f"no picture: {no_picture}")
    for note in document["notes"]:
        say(f"note: {note}")
    if document["left_out"]:
        say("everything is kept; the same command, with higher limits, goes on from here")
    if arguments.as_json:
        print_json(document)
    results = [result for _, result in found if result is not None]
    return exit_code(results) if results else exit_codes.FINISHED


def _read(arguments: argparse.Namespace, file: Path) -> tuple[Study, list[StudyCell], Path]:
    """Return the file, its runs and their folder; all of it checked as far as that takes no data.

    Raises:
        ConfigError: Something is wrong.
    """
    for name, option in _OF_A_LIST.items():
        if getattr(arguments, name) is not None:
            raise ConfigError(f"{option} is given beside the suite file {file}: say it there")
    flags = given_settings(arguments)
    refuse_deciding(flags, file)
    say_unknown_variables()
    for name in from_environment(os.environ)[0]:
        if decides(name):
            say(f"note: {PREFIX}{name.upper()} decides what is found, and is not used beside a suite file")
    study = read_study(file)
    own = Path("runs") / file.stem
    folder = user_path(own if arguments.suite_dir is None else arguments.suite_dir, "--suite-dir")
    try:
        check_size(study)
        cells = cells_of(study, folder, os.environ, flags)
        check_budget(study, cells, _plan_of)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error
    return study, cells, folder


def _plan_of(one: StudyCell, calls: int) -> Mapping[str, Any]:
    return plan(one.config.model_copy(update={"max_calls": calls, "max_tokens": None, "max_cost": None}))


async def _run_all(
    study: Study, cells: Sequence[StudyCell], folder: Path, stop: Stop
) -> list[tuple[Outcome, SearchResult | NotRun | None]]:
    """Return what came of every run, and the result of those that are searches."""
    screen, allowance = console(), Allowance(folder)
    found: list[tuple[Outcome, SearchResult | NotRun | None]] = []
    for number, one in enumerate(cells, start=1):
        say(f"[{number}/{len(cells)}] {one.run_dir.name}")
        if one.white_box is not None:
            found.append((await fitted(one, stop), None))
            continue
        with Display(screen) as display:
            result = await run_one(one.cell, allowance, Bus(display), stop, curve=study.curve)
        found.append((outcome_of(one, result), result))
        if isinstance(result, NotRun):
            say(f"not run: {result.reason}")
    return found


def _text(document: Mapping[str, Any]) -> str:
    """Return every table for the terminal."""
    pages = []
    for heading, about, lines in parts(document):
        pages += [printable(heading), about, aligned(lines)]
    counts = sum(one["counts"] for one in document["runs"])
    of = counted(len(document["runs"]), "run")
    return "\n".join([*pages, f"{counts} of {of} finished and counted"])
