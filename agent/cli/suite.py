"""Run a study, from options or a file, under limits over all its runs."""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from filelock import BaseFileLock

from ...evaluator.counts import counted
from ...evaluator.errors import ConfigError, PromptclimbError, UsageError
from ...evaluator.files import user_path
from ...evaluator.messages import shown
from ...evaluator.scoring import BASELINE_DEFAULT
from ...evaluator.settings import near
from ...evaluator.threads import in_thread
from ...evaluator.white_box.references import REFERENCES as WHITE_BOX
from ..config.schema import OPTIONS, SearchConfig
from ..config.sources import PREFIX, from_environment, from_sources
from ..errors import InterruptedRunError, StoreError, StoreLockedError
from ..events.types import Bus, Event, Noted
from ..limits import LIMIT_SETTINGS
from ..methods.registry import METHODS
from ..present.terminal import Display, sentence
from ..results.gain import BEST_STARTING
from ..results.result import SearchResult
from ..search.opening import RunRequest
from ..stop import Stop
from ..store.lock import lock_folder, refuse_beside_another, was_locked
from ..study.document import FILES, MARKDOWN, findings, pages, write_findings
from ..study.grid import (
    STAND_IN,
    Cell,
    ConfigOf,
    cells_of,
    configs_of_file,
    decides,
    refuse_deciding,
)
from ..study.outcomes import RunOutcome, blocks_of, fit_reference, outcome_of, outcomes_so_far
from ..study.preflight import check_budget, check_cells, check_llms, check_size
from ..study.runs import Refusals, SearchEnd, SharedLimits, Stopped, how_to_resume, run_search
from ..study.study import Study, read_study, study_of
from ..study.transfer import Transferred
from ..text import printable
from .interrupts import interruptible, run_interruptible
from .options import add_json, add_search_options, given_settings, positive_number, say_unknown_variables
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
from .search import exit_code, say_unused

EXAMPLES = """\
examples:
  promptclimb suite --data dice,tallies --methods combine,random --seeds 1-3
  promptclimb suite study.toml --dry-run
"""
MOST_SEEDS = 1000
LONGEST_SCORER = 60
_SEEDS = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?")
_LISTS = {"datasets": "--data", "methods": "--methods", "seeds": "--seeds", "config_file": "--config"}
"""Options that a suite file replaces."""


def suite(arguments: argparse.Namespace) -> int:
    """Run every search of a study in turn, and write their joint results."""
    if arguments.file is not None:
        running = _from_file(arguments)
    elif arguments.datasets is not None:
        running = _from_options(arguments)
    else:
        raise ConfigError("Nothing to search on. Give --data A,B,..., or a suite file, FILE.toml.")
    say_unused([cell.config for cell in running.cells if cell.white_box is None])
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
            configs = [cell.config for cell in running.cells if cell.white_box is None]
            asks = any(config.needs_llm or config.is_api for config in configs)
            run_interruptible(running.run, waits="Finishing open requests." if asks else "Stopping.")
        with interruptible():
            document = running.write(running.outcomes)
    except UsageError:
        raise
    except BaseException:
        running.write_so_far()
        raise
    lines = []
    for heading, about, table in pages(document):
        lines += [printable(heading), about, aligned(table)]
    counts = sum(run["counts"] for run in document["runs"])
    lines.append(f"{counts} of {counted(len(document['runs']), 'run')} finished and counted")
    lines.append(f"files: {short_path(running.folder)}")
    if as_json:
        say("\n".join(lines))
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
    """A study with its runs and their outcomes; ``file`` is None if options made it."""

    def __init__(self, study: Study, folder: Path, file: Path | None, config_of: ConfigOf, jobs: int) -> None:
        check_size(study)
        self.study, self.folder, self.file, self.jobs = study, folder, file, jobs
        self.cells = cells_of(study, folder, config_of)
        self._outcomes: dict[Path, RunOutcome] = {}
        self.transfer_failed: str | None = None
        self._transferred = Transferred(folder)
        self._shared, self._refusals = SharedLimits(folder, jobs), Refusals()
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
        place = f"[{number}/{len(self.cells)}] {cell.run_dir.name}"
        say(place)
        outcome = await self._run(cell, stop)
        self._outcomes[cell.run_dir] = outcome
        of_which = f"{place}: " if self.jobs > 1 else ""
        if outcome.end is not None and not isinstance(outcome.end, SearchResult):
            say(f"{of_which}{outcome.status}: {outcome.reason}")
        elif self.jobs > 1:
            say(f"{of_which}{outcome.status}")

    async def _run(self, cell: Cell, stop: Stop) -> RunOutcome:
        if cell.white_box is not None:
            async with self._fitting:  # torch's random numbers are those of the process
                return await fit_reference(cell, stop)
        # Several panels would overwrite each other: runs at once have lines alone.
        with Display(console()) if self.jobs == 1 else nullcontext(_say_sentence) as display:

            def show_once(event: Event) -> None:
                # Most runs of a study have the same model and data: each note is shown once.
                if not isinstance(event, Noted) or event.text not in self._noted:
                    display(event)
                if isinstance(event, Noted):
                    self._noted.add(event.text)

            def request_of(config: SearchConfig) -> RunRequest:
                return RunRequest(
                    config=config,
                    emit=Bus(show_once),
                    stop=stop.child(),
                )

            return outcome_of(cell, await run_search(cell, self._shared, self._refusals, request_of))

    def write(self, outcomes: Sequence[RunOutcome]) -> dict[str, Any]:
        """Write the study's files; return its document."""
        title = self.folder.name if self.file is None else self.file.stem
        document = findings(self.study, outcomes, self._transferred, title)
        write_findings(self.folder, document, outcomes)
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


def _say_sentence(event: Event) -> None:
    if (text := sentence(event)) is not None:
        say(text)


def _exit_code(ends: Sequence[SearchEnd]) -> int:
    """Return FAILED if a run failed; EXIT_NOTHING_USABLE if no LLM that was asked gave anything usable."""
    if any(isinstance(end, Stopped) for end in ends):
        return FAILED
    results = [end for end in ends if isinstance(end, SearchResult) and end.llm.model is not None]
    asked = [end for end in results if end.usage.calls or end.usage.failed_calls or end.usage.replayed]
    codes = set(map(exit_code, asked))
    if codes == {EXIT_NOTHING_USABLE}:
        return EXIT_NOTHING_USABLE
    return FAILED if FAILED in codes else FINISHED


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


def _from_file(arguments: argparse.Namespace) -> _RunningStudy:
    file = Path(short_path(user_path(arguments.file, "suite FILE")))
    for name, option in _LISTS.items():
        if getattr(arguments, name) is not None:
            raise ConfigError(f"{option} is given beside the suite file {file}: set it there")
    flags = given_settings(arguments)
    refuse_deciding(flags, file)
    say_unknown_variables()
    for name in from_environment(os.environ)[0]:
        if decides(name):
            say(f"note: {PREFIX}{name.upper()} decides the result, and is not used beside a suite file")
    study = read_study(file)
    folder = _folder(arguments, Path("runs") / file.stem)
    try:
        running = _RunningStudy(study, folder, file, configs_of_file(os.environ, flags), arguments.jobs)
        check_budget(study, running.cells)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error
    return running


def _from_options(arguments: argparse.Namespace) -> _RunningStudy:
    data = listed(arguments.datasets, "--data")
    methods = listed(["guided" if arguments.methods is None else arguments.methods], "--methods")
    known = (*METHODS, *WHITE_BOX)
    if unknown := next((name for name in methods if name not in known), None):
        raise ConfigError(
            f"--methods: unknown method {shown(unknown)}{near(unknown, known)}; known are {', '.join(known)}"
        )
    seeds = seeds_of("1-3" if arguments.seeds is None else arguments.seeds)
    folder = _folder(arguments, Path("runs/suite"))
    say_unknown_variables()
    flags = given_settings(arguments)

    def config_of(settings: Mapping[str, Any]) -> SearchConfig:
        return from_sources({**flags, **settings}, os.environ, arguments.config_file)

    axes = {"data": data[0], "seed": seeds[0]}
    configs = [config_of({**axes, "method": STAND_IN if name in WHITE_BOX else name}) for name in methods]
    first = configs[0]
    # A custom scorer replaces the model that the settings name.
    scorer = short_name(Path(first.custom_scorer).name) if first.custom_scorer else ""
    baselines = (BASELINE_DEFAULT, BEST_STARTING)
    study = study_of(
        {
            "data": data,
            "shots": [first.shots],
            "seeds": seeds,
            "models": [{"model": first.model, "pretrained": str(first.pretrained), "name": scorer}],
            "methods": methods,
            "llms": [first.llm] if first.llm and any(config.needs_llm for config in configs) else [],
            "ensembles": True,
            "compare": [{"first": name, "second": baseline} for name in methods for baseline in baselines],
        }
    )
    return _RunningStudy(study, folder, None, config_of, arguments.jobs)


def short_name(scorer: str) -> str:
    """Return the end of a custom scorer's name that fits a table, begun at a whole word."""
    end = scorer[-LONGEST_SCORER:]
    return end if end == scorer else re.sub(r"^\w*\W+(?=\w)", "", end)


def _folder(arguments: argparse.Namespace, default: Path) -> Path:
    return user_path(default if arguments.suite_dir is None else arguments.suite_dir, "--suite-dir")


def listed(values: Sequence[str], flag: str) -> list[str]:
    """Return what every use of an option lists, once each; a name in double quotes may hold commas."""
    try:
        rows = list(csv.reader(values, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ConfigError(
            f"{flag} {shown(','.join(values))} is not a list ({error}); put a name with a comma in double "
            f"quotes inside the shell's own, '\"a,b\",c', and give {flag} once for each name with quotes"
        ) from error
    names = dict.fromkeys(name.strip() for row in rows for name in row if name.strip())
    if not names:
        raise ConfigError(f"{flag} is empty")
    return list(names)


def seeds_of(text: str) -> list[int]:
    """Return the seeds in ``1,2,5`` or ``1-3``."""
    seeds: dict[int, None] = {}
    for item in listed([text], "--seeds"):
        match = _SEEDS.fullmatch(item)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise ConfigError(f"--seeds {shown(text)}: write them as 1,2,3 or 1-3")
        seeds |= dict.fromkeys(range(first, min(last, first + MOST_SEEDS) + 1))
        if len(seeds) > MOST_SEEDS:
            raise ConfigError(f"--seeds {shown(text)}: a suite has at most {MOST_SEEDS} seeds")
    return list(seeds)


def add_options(parser: Parser) -> None:
    """Add the options of ``suite``."""
    parser.usage = "%(prog)s [OPTION ...] [FILE.toml]"
    parser.description = EXAMPLES
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE.toml",
        help="a suite file with data, shots, seeds, models, methods, LLMs and comparisons, "
        "instead of --data, --methods and --seeds",
    )
    parser.add_argument(
        "--data",
        dest="datasets",
        action="append",
        metavar="A,B,...",
        help="data sets or folders; may be repeated; put a name with a comma in double quotes: '\"a,b\",c'",
    )
    parser.add_argument(
        "--methods",
        metavar="A,B,...",
        help=f"methods: {', '.join(METHODS)}; also white-box references: {', '.join(WHITE_BOX)} "
        "(default: guided)",
    )
    parser.add_argument("--seeds", metavar="1,2,3|1-3", help="seeds (default: 1-3)")
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
        help="folder of the runs; the same command resumes them (default: runs/suite, or runs/FILE)",
    )
    add_search_options(
        parser,
        leave_out=("data", "method", "seed", "run_dir", *LIMIT_SETTINGS),
        first=("model", "pretrained", "llm", "describe", "price"),
    )
    for name in LIMIT_SETTINGS:
        option = OPTIONS[name]
        parser.add_to(
            "Limits",
            option.flag,
            hide=not option.first,
            dest=name,
            default=argparse.SUPPRESS,
            metavar=option.show,
            help=f"over the whole suite: {option.help.removesuffix(', over the whole run')}",
        )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="open data and models, print the most that the whole suite may take, and pay nothing",
    )
    add_json(parser)
