"""Check folders and files that an option names: runs, suites, and where to write."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from ...evaluator.counts import counted
from ...evaluator.errors import UsageError
from ...evaluator.files import user_path
from ...evaluator.regular_files import read_regular
from ...evaluator.settings import near
from ..results.history import state_of
from ..results.run_dir import RESULT, SUMMARY, belongs_to_a_run, is_run, runs_in, write_atomically
from .output import PROGRAM, program, resume_command, short_path

DONE = "finished"
MOST_NAMED = 5
_OF_A_SUITE = re.compile(r"seed\d+-")


def run_folder(text: str) -> Path:
    """Return the absolute folder of a run; its content is not read.

    Raises:
        UsageError: It does not exist, is a file, or holds runs without being one.
    """
    folder = existing_folder(text)
    if not is_run(folder) and (runs := runs_in(folder)):
        raise UsageError(_of_several(folder, runs))
    return folder


def existing_folder(text: str) -> Path:
    """Return the absolute folder of one or several runs; raise UsageError if it is not a folder."""
    folder = user_path(text, "RUN_DIR")
    if not folder.exists():
        known = [short_path(run) for run in runs_in(user_path("runs", "RUN_DIR"))]
        hint = near(text, known) or f"; `{PROGRAM} status` lists the runs in runs/"
        raise UsageError(f"there is no folder {folder}{hint}")
    if folder.is_file():
        above = folder.parent
        run = f"the folder of its run, {short_path(above)}" if is_run(above) else "a run's folder"
        raise UsageError(f"{short_path(folder)} is a file; give {run}")
    return folder


def folder_with_result(text: str) -> Path:
    """Return the folder of a run that has a result, or of something that is not a run."""
    folder = run_folder(text)
    if is_run(folder) and not (folder / RESULT).exists():
        if state_of(folder).state == "live":
            raise UsageError(
                f"{short_path(folder)} has no result yet: it is running. Wait for its end, or see "
                f"{program()} report {shlex.quote(short_path(folder))}"
            )
        raise UsageError(
            f"{short_path(folder)} has no result yet: it was interrupted. Resume it: {resume_command(folder)}"
        )
    return folder


def output_file(text: str, option: str) -> Path:
    """Return the absolute path of a file to write; raise UsageError if a run needs the file of this name."""
    path = user_path(text, option)
    if belongs_to_a_run(path):
        raise UsageError(f"{option} {path} is a run's own file, which that run needs; choose another name")
    return path


def write_file(path: Path, content: str, option: str) -> None:
    """Write a file that an option names, with its folder; raise UsageError if that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be written: {error.strerror or error}") from error


def _of_several(folder: Path, runs: list[Path]) -> str:
    names = ", ".join(short_path(run) for run in runs[:MOST_NAMED])
    more = f" and {len(runs) - MOST_NAMED:,} more" if len(runs) > MOST_NAMED else ""
    if _is_suite(folder, runs):
        choice = "name" if _is_over(folder, runs) else "or name"
        return f"{about_runs(folder, runs)}; {choice} one of them: {names}{more}"
    return (
        f"{short_path(folder)} is not a run, but holds {counted(len(runs), 'run')}: name one, {names}{more}"
    )


def about_runs(folder: Path, runs: list[Path]) -> str:
    """Describe a folder of runs, and how to resume it if something is left to do."""
    shown = short_path(folder)
    if not _is_suite(folder, runs):
        held = counted(len(runs), "run")
        return f"{shown} is not a run, but holds {held}: `{PROGRAM} resume RUN_DIR` resumes one"
    what = f"{shown} is a suite's folder, with {counted(len(runs), 'search', 'searches')}"
    if _is_over(folder, runs):
        return f"{what}, all finished"
    command = f"{PROGRAM} suite ... --suite-dir {shlex.quote(shown)}"
    return f"{what} begun: the command that began it, {command}, resumes it"


def _is_suite(folder: Path, runs: list[Path]) -> bool:
    return (folder / SUMMARY).exists() or all(_OF_A_SUITE.match(run.name) for run in runs)


def _is_over(folder: Path, runs: list[Path]) -> bool:
    """Return whether a suite finished all its searches, including those it left out."""
    try:
        document = json.loads(read_regular(folder / SUMMARY))
    except (OSError, ValueError, RecursionError):
        return False  # missing, or not written by a suite
    left = document.get("left_out") if isinstance(document, dict) else None
    # A finished run that was left out for unknown test figures would not get them.
    over = isinstance(left, list) and all(isinstance(run, dict) and run.get("status") == DONE for run in left)
    return over and all(state_of(run).state == DONE for run in runs)
