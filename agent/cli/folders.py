"""Check folders that an option names: runs and suites."""

from __future__ import annotations

import shlex
from pathlib import Path

from ...evaluator.counts import counted
from ...evaluator.errors import UsageError
from ...evaluator.files import user_path
from ...evaluator.settings import near
from ..results.history import state_of
from ..results.run_dir import RESULT, is_run, runs_in
from .output import PROGRAM, program, resume_command, short_path

MOST_NAMED = 5


def run_folder(text: str) -> Path:
    """Return the absolute folder of a run; its content is not read.

    Raises:
        UsageError: It does not exist, is a file, or holds runs without being one.
    """
    folder = existing_folder(text)
    if not is_run(folder) and (runs := runs_in(folder)):
        names = ", ".join(short_path(run) for run in runs[:MOST_NAMED])
        more = f" and {len(runs) - MOST_NAMED:,} more" if len(runs) > MOST_NAMED else ""
        held = counted(len(runs), "run")
        raise UsageError(f"{short_path(folder)} is not a run, but holds {held}: name one, {names}{more}")
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
