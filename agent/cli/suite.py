"""Run the study of a suite file, under limits over all its runs."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from filelock import BaseFileLock

from ...evaluator.counts import counted
from ...evaluator.errors import ConfigError, PromptclimbError, StoreError, UsageError
from ...evaluator.files import user_path
from ...evaluator.settings import applying_to
from ...evaluator.threads import in_thread
from ..config.schema import MAY_EXCEED, OPTIONS, SearchConfig
from ..config.sources import as_in_a_file, by_source, check_layers, from_environment, on_command_line
from ..errors import InterruptedRunError, StoreLockedError
from ..events.types import Bus, Event, Noted
from ..limits import COST, LIMIT_SETTINGS
from ..present.page import write_report
from ..present.terminal import Display, sentence
from ..results.result import SearchResult
from ..search.opening import RunRequest
from ..stop import Stop
from ..store.lock import lock_folder, refuse_beside_another, was_locked
from ..study.document import FILES, MARKDOWN, findings, pages, write_findings
from ..study.grid import Cell, cells_of, decides
from ..study.outcomes import RunOutcome, blocks_of, fit_reference, outcome_of, outcomes_so_far
from ..study.preflight import check_budget, check_cells, check_llms, check_size
from ..study.runs import SearchEnd, SharedLimits, Stopped, how_to_resume, run_search
from ..study.study import Study, read_study
from ..study.transfer import Transferred
from ..text import printable
from .interrupts import run_interruptible
from .options import add_json, add_search_options, given_layers, given_settings, positive_number
from .output import (
    EXIT_NOTHING_USABLE,
    FAILED,
    FINISHED,
    aligned,
    console,
    print_json,
    print_text,
    result_alone,
    say,
    short_path,
)
from .parser import Parser
from .search import exit_code, unused

EXAMPLES = """\
examples:
  promptclimb suite study.toml --dry-run
  promptclimb suite study.toml --jobs 4

the smallest study.toml:
  data = ["braille-letters", "backgrounds"]
  methods = ["combine", "random"]
  shots = [1]

The tables are printed, and stand in the study's folder, runs/study/tables.md.
"""


def suite(arguments: argparse.Namespace) -> int:
    """Run every search of a study in turn, and write their joint results."""
    try:
        return _suite(arguments)
    except UsageError as error:
        error.message = as_in_a_file(error.message, decides)  # no option of this command sets those
        raise


def _suite(arguments: argparse.Namespace) -> int:
    running = _study_of(arguments)
    flags = given_settings(arguments)
    for line in unused([cell.config for cell in running.cells if cell.white_box is None]):
        say(f"note: {as_in_a_file(by_source(line, arguments.layers), lambda name: name not in flags)}")
    folder = running.folder
    if arguments.dry_run:
        from .dry_run import dry_run_study

        refuse_beside_another(folder)
        return dry_run_study(running.cells, folder, running.file, as_json=arguments.as_json)
    # Make and lock a new folder only after all checks.
    lock = _lock(folder) if was_locked(folder) else None
    try:
        waiting = check_cells(running.cells, running.file, say)
        check_llms([cell.config for cell in waiting], SharedLimits(folder))
        _make_folder(folder)
        lock = lock or _lock(folder)
        return _run_and_report(running, as_json=arguments.as_json)
    finally:
        if lock is not None:
            lock.release()


def _run_and_report(running: _RunningStudy, *, as_json: bool) -> int:
    try:
        with result_alone():
            asks = any(cell.config.needs_llm for cell in running.cells if cell.white_box is None)
            run_interruptible(running.run, has_requests=asks)
        document = running.write(running.outcomes)
    except UsageError:
        raise
    except BaseException:
        running.write_so_far()
        raise
    lines = [
        "".join(f"{printable(title)}\n{about}\n{aligned(table)}\n" for title, about, table in pages(document))
    ]
    counts = sum(run["counts"] for run in document["runs"])
    lines.append(f"{counts} of {counted(len(document['runs']), 'run')} finished and counted")
    lines.append(f"files: {short_path(running.folder)}")
    if as_json:
        for text in "\n".join(lines).splitlines():
            say(text)
    else:
        print_text("\n".join(lines) + "\n")
    for note in document["notes"]:
        say(f"note: {note}")
    ends = [outcome.end for outcome in running.outcomes if outcome.end is not None]
    if (line := how_to_resume(ends) or running.transfer_failed) is not None:
        say(line)
    if as_json:
        print_json(document)
    return FAILED if running.transfer_failed else _exit_code(ends)


class _RunningStudy:
    """A study with its runs and their outcomes."""

    def __init__(self, study: Study, file: Path, folder: Path, flags: Mapping[str, Any], jobs: int) -> None:
        check_size(study)
        self.study, self.folder, self.file, self.jobs = study, folder, file, jobs
        self.cells = cells_of(study, folder, os.environ, flags)
        check_budget(study, self.cells)
        self._outcomes: dict[Path, RunOutcome] = {}
        self.transfer_failed: str | None = None
        self._transferred = Transferred(folder)
        self._shared = SharedLimits(folder, jobs)
        self._fitting = asyncio.Lock()
        self._noted: set[str] = set()

    @property
    def outcomes(self) -> list[RunOutcome]:
        """The outcomes so far, in the study's order."""
        return [self._outcomes[cell.run_dir] for cell in self.cells if cell.run_dir in self._outcomes]

    async def run(self, stop: Stop) -> None:
        waiting = iter(enumerate(self.cells, start=1))

        async def work_off() -> None:
            for number, cell in waiting:
                try:
                    await self._run_next(number, cell, stop)
                except Exception as error:
                    stop.request(error)  # the runs beside it keep what they have paid for
                    raise

        ends = await asyncio.gather(*(work_off() for _ in range(self.jobs)), return_exceptions=True)
        if stop.cause is not None:
            raise stop.cause
        for end in ends:
            if end is not None:
                raise end
        if not self.study.transfer:
            return
        blocks = blocks_of(self.outcomes)
        try:
            with stop.watching():
                await in_thread(lambda: self._transferred.complete(self.study, blocks, say))
        except InterruptedRunError:
            raise
        except PromptclimbError as error:
            self.transfer_failed = f"not everything was scored on other models: {error}"

    async def _run_next(self, number: int, cell: Cell, stop: Stop) -> None:
        numbered_name = f"[{number}/{len(self.cells)}] {cell.run_dir.name}"
        say(numbered_name)
        outcome = await self._run(cell, stop)
        self._outcomes[cell.run_dir] = outcome
        of_which = f"{numbered_name}: " if self.jobs > 1 else ""
        if outcome.end is not None and not isinstance(outcome.end, SearchResult):
            say(f"{of_which}{outcome.status}: {outcome.reason}")
        elif self.jobs > 1:
            say(f"{of_which}{outcome.status}")

    async def _run(self, cell: Cell, stop: Stop) -> RunOutcome:
        if cell.white_box is not None:
            async with self._fitting:  # torch's random numbers are those of the process
                return await fit_reference(cell, stop)
        # Several panels would overwrite each other: runs at once have lines alone.
        with Display(console()) if self.jobs == 1 else nullcontext() as display:

            def show_once(event: Event) -> None:
                # Most runs of a study have the same model and data: each note is shown once.
                if isinstance(event, Noted) and event.text in self._noted:
                    return
                if isinstance(event, Noted):
                    self._noted.add(event.text)
                    # A description has no option here, and stands beside the name of its data set.
                    event = Noted(text=event.text.replace("`describe = TEXT`", "[describe] in the file"))
                if display is not None:
                    display(event)
                elif (text := sentence(event)) is not None:
                    say(text)

            def request_of(config: SearchConfig) -> RunRequest:
                return RunRequest(
                    config=config,
                    emit=Bus(show_once),
                    write_page=write_report,
                    stop=stop.child(),
                )

            return outcome_of(cell, await run_search(cell, self._shared, request_of))

    def write(self, outcomes: Sequence[RunOutcome]) -> dict[str, Any]:
        """Write the study's files; return its document."""
        document = findings(self.study, outcomes, self._transferred, self.file.stem)
        write_findings(self.folder, document)
        return document

    def write_so_far(self) -> None:
        """Write the finished runs' tables when a study ends early; nothing is scored or fitted."""
        say("Writing tables of the finished runs. Press Ctrl-C again to quit now.")
        try:
            missing = [cell for cell in self.cells if cell.run_dir not in self._outcomes]
            self._outcomes |= {outcome.cell.run_dir: outcome for outcome in outcomes_so_far(missing)}
            outcomes = self.outcomes
            self.write(outcomes)
        except (OSError, PromptclimbError) as error:
            say(f"no tables: {error}")
        else:
            finished, runs = sum(outcome.counts for outcome in outcomes), counted(len(outcomes), "run")
            say(f"tables of {finished:,} finished of {runs}: {short_path(self.folder / MARKDOWN)}")
        say(f"What is in {short_path(self.folder)} is kept. Run the same command again to resume.")


def _exit_code(ends: Sequence[SearchEnd]) -> int:
    """Return FAILED if a run failed; EXIT_NOTHING_USABLE if no LLM that was asked gave anything usable."""
    if any(isinstance(end, Stopped) for end in ends):
        return FAILED
    results = [end for end in ends if isinstance(end, SearchResult)]
    if FAILED in map(exit_code, results):
        return FAILED
    usages = [(result, result.usage) for result in results if result.llm.model is not None]
    asked = [result for result, usage in usages if usage.calls or usage.failed_calls or usage.replayed]
    return EXIT_NOTHING_USABLE if {*map(exit_code, asked)} == {EXIT_NOTHING_USABLE} else FINISHED


def _lock(folder: Path) -> BaseFileLock:
    try:
        return lock_folder(folder)
    except StoreLockedError:
        raise
    except StoreError as error:
        raise ConfigError(f"--suite-dir {error}; choose another folder") from error


def _make_folder(folder: Path) -> None:
    problem = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if blocked := [name for name in FILES if (folder / name).is_dir()]:
            problem = f"{blocked[0]} in it is a folder"
        elif not os.access(folder, os.W_OK | os.X_OK):
            problem = "it is not writable"
    except OSError as error:
        problem = f"it cannot be made ({error.strerror or error})"
    if problem is not None:
        raise ConfigError(f"--suite-dir {folder}: {problem}; choose another folder")


def _study_of(arguments: argparse.Namespace) -> _RunningStudy:
    file = Path(short_path(user_path(arguments.file, "suite FILE")))
    default = Path("runs") / file.stem
    folder = user_path(default if arguments.suite_dir is None else arguments.suite_dir, "--suite-dir")
    check_layers(given_layers(arguments))
    for variable, layer in from_environment(os.environ)[0]:
        if any(map(decides, layer)):
            say(f"note: {variable} decides the result, and is not used beside a suite file")
    study = read_study(file)
    try:
        return _RunningStudy(study, file, folder, given_settings(arguments), arguments.jobs)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error


def add_options(parser: Parser) -> None:
    """Add the options of ``suite``."""
    parser.description = EXAMPLES
    parser.add_argument(
        "file",
        metavar="FILE.toml",
        help="data, shots, seeds, models, methods, LLMs and comparisons; its settings decide the results",
    )
    parser.add_argument(
        "--jobs",
        type=positive_number,
        default=1,
        metavar="N",
        help="searches at once, as many as the limits allow (default: 1)",
    )
    parser.add_argument(
        "--suite-dir",
        metavar="DIR",
        help="folder of the runs; the same command resumes them (default: runs/FILE)",
    )
    add_search_options(
        parser,
        leave_out=(
            *("run_dir", "config_file"),
            *filter(decides, OPTIONS),
            *LIMIT_SETTINGS,
            *applying_to(SearchConfig, "models behind an API"),  # which no study takes
        ),
        first=("device", "concurrency", "base_url", "price"),
    )
    # No study has a model behind an API.
    texts = {COST.setting: f"dollars to spend at most on the LLM; needs `price`; {MAY_EXCEED}"}
    for name in LIMIT_SETTINGS:
        option = OPTIONS[name]
        text = texts.get(name, option.help).removesuffix(", over the whole run")
        parser.add_to(
            "Limits",
            option.flag,
            hide=not option.first,
            dest=name,
            default=argparse.SUPPRESS,
            metavar=option.show,
            help=f"over the whole suite: {on_command_line(text)}",
        )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check data and settings, and print the most that the whole suite may cost; requests nothing "
        "and downloads no model",
    )
    add_json(parser)
