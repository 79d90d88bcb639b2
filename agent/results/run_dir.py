"""The folder of a run: how it is made, and its files, each written whole or not at all."""

from __future__ import annotations

import datetime
import json
import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ...evaluator.errors import ConfigError, UsageError
from ...evaluator.user_paths import user_path
from ..config.schema import SearchConfig
from ..errors import StoreExistsError
from .leaderboard import leaderboard_csv, templates_json
from .result import SearchResult

RESULT = "result.json"
LEADERBOARD = "leaderboard.csv"
TEMPLATES = "templates.json"
CONFIG = "config.toml"
REPORT = "report.html"
DETAILS = "details.json"
BEFORE: Mapping[str, str] = {RESULT: "result.before.json", DETAILS: "details.before.json"}
"""Under which names these files of a finished run are kept when it is extended."""
STOPPED: Mapping[str, str] = {
    RESULT: "result.stopped.json",
    DETAILS: "details.stopped.json",
    REPORT: "report.stopped.html",
}
"""Under which names those of a run that was stopped are kept while it goes on."""
STORE = "store"
SUMMARY = "suite.json"
"""The file in a suite's folder with what came of all its runs."""

_FILES = (RESULT, LEADERBOARD, TEMPLATES, CONFIG, REPORT, DETAILS)
TO_KEEP = _FILES
"""What is worth keeping of a run where it is tracked."""
_ENDINGS = ("", *(f"-{number}" for number in range(2, 1000)))


def new_run_dir(config: SearchConfig) -> Path:
    """Return the folder of a new run as an absolute path.

    One that the config names is not made yet. Else it is made, so that of searches which begin in the same
    second each has its own.

    Raises:
        ConfigError: It can be no path (see ``user_path``), or cannot be made.
    """
    if config.run_dir is not None:
        return user_path(config.run_dir, "--run-dir")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(config.data).name).strip("-.")[:40] or "data"
    now = datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    stem = f"{now}-{name}-{config.method}"
    runs = user_path("runs", "--run-dir")
    try:
        runs.mkdir(parents=True, exist_ok=True)
        return next(path for end in _ENDINGS if _is_made(path := runs / f"{stem}{end}"))
    except OSError as error:
        raise _unwritable(runs, error) from error


def _is_made(folder: Path) -> bool:
    """Make a folder; return whether it was not there already."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _unwritable(run_dir: Path, error: OSError) -> ConfigError:
    return ConfigError(f"--run-dir {run_dir}: it cannot be written ({error.strerror or error})")


def check_run_dir(run_dir: Path) -> None:
    """Make sure that a new run can be written to a folder, and make the folder.

    Raises:
        StoreExistsError: A run is in it already.
        ConfigError: It is not empty, or cannot be written.
    """
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        # What a killed process had begun to make is swept away by the store.
        others = [path for path in run_dir.iterdir() if not path.name.startswith(f"{STORE}.new.")]
        # Looked for afterwards: what was found may be that of a run which has begun since.
        if (run_dir / STORE).exists():
            raise StoreExistsError(
                f"{run_dir} holds a run already; go on with it by `resume {run_dir}`, "
                "or choose another --run-dir"
            )
        if others:
            raise ConfigError(
                f"--run-dir {run_dir}: the folder is not empty and holds no run; choose another"
            )
        with tempfile.TemporaryFile(dir=run_dir):
            pass
    except OSError as error:
        raise _unwritable(run_dir, error) from error


def check_files(run_dir: Path) -> None:
    """Make sure that a run which goes on can replace its files.

    Raises:
        UsageError: A folder has taken the place of one.
    """
    if taken := [run_dir / name for name in _FILES if (run_dir / name).is_dir()]:
        raise UsageError(f"{taken[0]} is a folder, where a file of the run belongs; move it away")


def belongs_to_a_run(path: Path) -> bool:
    """Return whether a file is one of those that a run lives by: of this run, or of another."""
    # Imported here, because the command line lists the forms of exports and then needs neither.
    from ..events.log import FILE_NAME as LOG
    from ..store.disk import FILE_NAME as DATABASE

    if path.parent.name == STORE:
        return (path.parent / DATABASE).exists()
    own = path.name in _FILES or path.name.startswith(LOG)
    return own and (path.parent / STORE / DATABASE).exists()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old one or the new one and nothing between.

    Args:
        path: The file.
        content: All of it; text is written as UTF-8.

    Raises:
        OSError: It cannot be written; the old file is as it was, and the error names the file.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            # The reader of the message knows this file, and not the temporary one.
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_result(run_dir: Path, result: SearchResult) -> None:
    """Write leaderboard, templates and result; the result last, as the sign that the others are there.

    Raises:
        OSError: A file cannot be written.
    """
    write_atomically(run_dir / LEADERBOARD, leaderboard_csv(result.leaderboard))
    write_atomically(run_dir / TEMPLATES, templates_json(result.scored_as(*result.ensemble.templates)))
    write_atomically(run_dir / RESULT, result.dumps())


def put_away(run_dir: Path) -> None:
    """Keep the result of a session that was stopped aside, so that it passes for no later session's.

    Raises:
        OSError: A file cannot be moved.
    """
    for name, kept in STOPPED.items():
        with suppress(FileNotFoundError):  # a run that was interrupted has no result
            (run_dir / name).replace(run_dir / kept)


def read_result(run_dir: Path) -> SearchResult:
    """Return the result that a run left.

    Raises:
        ValueError: It is not a result of this program.
        OSError: It cannot be read.
    """
    text = (run_dir / RESULT).read_text("utf-8")
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError("not a result: it is nested too deeply") from error
    return replace(SearchResult.from_json(document), run_dir=run_dir.resolve())


def complete_result(run_dir: Path) -> SearchResult | None:
    """Return the result of a run with which nothing is left to do; None for any other."""
    try:
        result = read_result(run_dir)
    except (OSError, ValueError):
        return None  # missing or torn: the journal has all that it takes to make it again
    return result if result.complete else None


def result_of(run_dir: Path) -> SearchResult:
    """Return the result that a run left, where a user asks for it.

    Raises:
        UsageError: There is none, or it cannot be read.
    """
    try:
        return read_result(run_dir)
    except FileNotFoundError as error:
        if not run_dir.is_dir():
            remedy = "there is no such folder"
        elif (run_dir / STORE).exists():
            remedy = f"go on with it by `resume {run_dir}`"
        else:
            remedy = "it is no run's folder"
        raise UsageError(f"{run_dir} holds no {RESULT}: {remedy}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{run_dir / RESULT} cannot be read: {error}") from error
