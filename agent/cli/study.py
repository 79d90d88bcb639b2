"""``suite FILE.toml``: a study by its file, and what its runs say together."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.errors import ConfigError, PromptclimbError
from ...evaluator.threads import in_thread
from ...evaluator.user_paths import user_path
from ..config.sources import PREFIX, from_environment
from ..errors import InterruptedRunError
from ..events import Bus
from ..search.allowance import Allowance
from ..search.content_check import placed
from ..search.unfinished import Refusals, way_on
from ..stop import Stop
from ..store.lock import refuse_beside_another
from ..study.beforehand import check_budget, check_cells, check_size
from ..study.grid import StudyCell, cells_of, decides, refuse_deciding
from ..study.made import Made, as_they_are, fit
from ..study.outcomes import Outcome, blocks_of, outcome_of
from ..study.study_document import FILES, MARKDOWN, findings, write_findings
from ..study.study_file import Study, read_study
from ..study.study_forms import parts
from ..study.transfer import TRANSFER, Carried
from ..text import printable
from . import exit_codes
from .display import Display
from .options import given_settings, say_unknown_variables
from .output import aligned, console, print_json, print_text, say, short_path
from .plan import plan
from .search import say_idle_limits
from .study_plan import print_study_plan
from .suite_runs import Held, check_llms, exit_code, made, run_one, say_unfinished

_OF_A_LIST = {"datasets": "--data", "methods": "--methods", "seeds": "--seeds", "config_file": "--config"}
"""Options in whose place a file stands."""


def run_study(arguments: argparse.Namespace) -> int:
    """Run every search of a file, and write what they say together."""
    file = Path(short_path(user_path(arguments.file, "suite FILE")))
    study, cells, folder = _read(arguments, file)
    if arguments.dry_run:
        refuse_beside_another(folder)
        return print_study_plan(cells, file, as_json=arguments.as_json)
    with Held(folder, [*FILES, TRANSFER]) as held:
        waiting = check_cells(cells, file, say)
        check_llms([one.config for one in waiting], Allowance(folder))
        held.make()
        running = _Running(study, cells, folder)
        document, no_picture = made(
            running.run,
            lambda: _written(running, [one.outcome for one in running.found], file),
            lambda: _tell_what_is_there(running, file),
            as_json=arguments.as_json,
        )
    found = running.found
    show = say if arguments.as_json else print_text
    show(f"{_text(document)}\nfiles: {short_path(folder)}{'' if arguments.as_json else chr(10)}")
    if no_picture is not None:
        say(f"no picture: {no_picture}")
    for note in document["notes"]:
        say(f"note: {note}")
    results = [one.result for one in found if one.result is not None]
    if (line := way_on(results) or running.transfer_failed) is not None:
        say(line)
    if arguments.as_json:
        print_json(document)
    return exit_codes.FAILED if running.transfer_failed else exit_code(results)


def _written(running: _Running, outcomes: Sequence[Outcome], file: Path) -> tuple[dict[str, Any], str | None]:
    """Write the tables; return what they say, and why there is no picture."""
    document = findings(running.study, outcomes, running.carried, file.stem)
    return document, write_findings(running.folder, document, outcomes)


def _tell_what_is_there(running: _Running, file: Path) -> None:
    """Write the tables of what is there when a study ends too early; nothing is scored or fitted for them."""
    say("writing the tables of what is there (a second signal leaves at once)")
    try:
        cells, found = running.cells, running.found
        outcomes = [one.outcome for one in (*found, *as_they_are(cells[len(found) :]))]
        _written(running, outcomes, file)
    except (OSError, PromptclimbError) as error:
        say(f"no tables: {error}")
    else:
        counts = sum(one.counts for one in outcomes)
        of = counted(len(outcomes), "run")
        say(f"tables of {counts:,} of {of} that are finished: {short_path(running.folder / MARKDOWN)}")
    say("everything is kept; the same command goes on from here")


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
    say_idle_limits([one.config for one in cells])
    places = placed([one.config for one in cells])
    return study, [replace(one, config=config) for one, config in zip(cells, places, strict=True)], folder


def _plan_of(one: StudyCell, calls: int) -> Mapping[str, Any]:
    return plan(one.config.model_copy(update={"max_calls": calls, "max_tokens": None, "max_cost": None}))


class _Running:
    """A study at work: what came of its runs up to now can be looked at when it ends too early.

    Attributes:
        study: The file.
        cells: Every run.
        folder: Where they are kept.
        found: What came of the first of them.
        carried: What was scored on other models.
        transfer_failed: What was said where not all of that could be scored.
    """

    def __init__(self, study: Study, cells: Sequence[StudyCell], folder: Path) -> None:
        self.study, self.cells, self.folder = study, cells, folder
        self.found: list[Made] = []
        self.carried = Carried(folder)
        self.transfer_failed: str | None = None
        self._allowance, self._refusals = Allowance(folder), Refusals()

    async def run(self, stop: Stop) -> None:
        """Make every run, one after another, then score what was found on other models.

        Raises:
            PromptclimbError: A signal, or what is about more than one run.
        """
        for number, one in enumerate(self.cells, start=1):
            say(f"[{number}/{len(self.cells)}] {one.run_dir.name}")
            self.found.append(await self._made(one, stop))
            if (result := self.found[-1].result) is not None:
                say_unfinished(result)
        if not self.study.transfer:
            return
        blocks = blocks_of(one.outcome for one in self.found)
        try:
            with stop.watching():
                await in_thread(lambda: self.carried.complete(self.study, blocks, say))
        except InterruptedRunError:
            raise
        except PromptclimbError as error:
            self.transfer_failed = f"not everything was scored on other models: {error}"

    async def _made(self, one: StudyCell, stop: Stop) -> Made:
        if one.white_box is not None:
            return await fit(one, stop)
        with Display(console()) as display:
            result = await run_one(
                one.cell, self._allowance, self._refusals, Bus(display), stop, curve=self.study.curve
            )
        return Made(outcome_of(one, result), result)


def _text(document: Mapping[str, Any]) -> str:
    """Return every table for the terminal."""
    pages = []
    for heading, about, lines in parts(document):
        pages += [printable(heading), about, aligned(lines)]
    counts = sum(one["counts"] for one in document["runs"])
    of = counted(len(document["runs"]), "run")
    return "\n".join([*pages, f"{counts} of {of} finished and counted"])
