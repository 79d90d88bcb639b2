"""Create a run's folder, and write and read its files."""

from __future__ import annotations

import csv
import datetime
import errno
import io
import json
import os
import re
import shlex
import tempfile
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from ...evaluator.errors import ConfigError, UsageError, reason_of
from ...evaluator.files import check_ending, replace_file, user_path
from ...evaluator.regular_files import irregular, read_regular
from ...evaluator.scoring import Unanswered
from ..config.schema import SearchConfig
from ..config.sources import COMMAND_LINE, from_layers
from ..errors import StoreExistsError
from ..events.log import FILE_NAME as LOG
from ..events.log import LOGS
from ..store.disk import FILE_NAME as DATABASE
from ..store.records import RunManifest
from ..store.run import FOLDER, Store, StoreReader
from ..store.trust import check_trusted
from ..text import printable
from .result import OtherSchemaError, Row, SearchResult

RESULT = "result.json"
LEADERBOARD = "leaderboard.csv"
TEMPLATES = "templates.json"
CONFIG = "config.toml"
REPORT = "report.html"
DETAILS = "details.json"
CLASSIFIER = "classifier.safetensors"
"""The recommended classifier, which ``predict`` and ``load`` use, where the scorer has features of images."""
BEFORE: Mapping[str, str] = {
    RESULT: "result.before.json",
    DETAILS: "details.before.json",
    REPORT: "report.before.html",
    CLASSIFIER: "classifier.before.safetensors",
}
"""Names of the last session's files once a run is continued."""
LABELS = "labels.sqlite"
"""What a scorer behind an API has answered."""
LABEL_FILES = tuple(f"{LABELS}{ending}" for ending in ("", "-wal", "-shm"))
STORE = FOLDER
SUMMARY = "suite.json"
"""Results of all runs, in a suite's folder."""
FILES = (RESULT, LEADERBOARD, TEMPLATES, CONFIG, REPORT, DETAILS, CLASSIFIER)
"""The files of a finished run, for trackers."""
_SUFFIXES = ("", *(f"-{number}" for number in range(2, 1000)))
BYTE_ORDER_MARK = "\ufeff"
MOST_DIGITS = 300
"""Of a whole number in a run's files: a float holds no longer one, and counts are divided."""
_FORMULA = ("=", "+", "-", "@")
_COLUMNS = ("rank", "template", "train", "val", "restart", "conversation", "round", "source", "copies")


def is_run(folder: Path) -> bool:
    """Return whether a folder holds a run."""
    return (folder / STORE).is_dir()


def runs_in(folder: Path) -> list[Path]:
    """Return the runs in a folder, newest first."""
    try:
        return _latest_first([path for path in folder.iterdir() if is_run(path)])
    except OSError:
        return []


def _latest_first(runs: list[Path]) -> list[Path]:
    return sorted(runs, key=lambda path: ((path / STORE).stat().st_ctime, path.name), reverse=True)


def runs_below(folder: Path) -> list[Path]:
    """Return the runs in a folder and its subfolders, such as a suite's, newest first."""
    try:
        inside = [path for path in folder.iterdir() if path.is_dir() and not is_run(path)]
    except OSError:
        return []
    return _latest_first([*runs_in(folder), *(run for path in inside for run in runs_in(path))])


def new_run_dir(config: SearchConfig) -> Path:
    """Return the absolute folder of a new run.

    A folder named in the config is not made yet. Any other is made at once, so that searches started in the
    same second get different ones.
    """
    if config.run_dir is not None:
        return user_path(config.run_dir, "`run_dir`")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(config.data).name).strip("-.")[:40] or "data"
    now = datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    stem = f"{now}-{name}-{config.method}"
    runs = user_path("runs", "`run_dir`")
    try:
        runs.mkdir(parents=True, exist_ok=True)
        return next(path for suffix in _SUFFIXES if _is_made(path := runs / f"{stem}{suffix}"))
    except OSError as error:
        raise _unwritable(runs, error) from error


def _is_made(folder: Path) -> bool:
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _unwritable(run_dir: Path, error: OSError) -> ConfigError:
    label = f'`run_dir = "{run_dir}"`'
    if isinstance(error, FileExistsError | NotADirectoryError):
        return ConfigError(f"{label}: a file is where the folder should be; choose another place")
    return ConfigError(f"{label}: it cannot be written ({error.strerror or error})")


def check_run_dir(run_dir: Path) -> None:
    """Make the folder, and check that a new run can be written to it.

    Raises:
        StoreExistsError: It holds a run already.
        ConfigError: It is not empty, or cannot be written.
    """
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        # The store removes what a killed process left half made.
        others = [path for path in run_dir.iterdir() if not path.name.startswith(f"{STORE}.new.")]
        # Checked afterwards: what was found may belong to a run that has begun since.
        if (run_dir / STORE).exists():
            resume = f"`promptclimb resume {shlex.quote(str(run_dir))}`"
            if complete_result(run_dir) is not None:
                raise StoreExistsError(
                    f"{run_dir} holds a finished run; choose another `run_dir`, or search longer: "
                    f"{resume} with `restarts = N`"
                )
            raise StoreExistsError(
                f"{run_dir} holds a run already; continue it with {resume}, or choose another `run_dir`"
            )
        if others:
            raise ConfigError(
                f'`run_dir = "{run_dir}"`: the folder is not empty and holds no run; choose another',
            )
        with tempfile.TemporaryFile(dir=run_dir):
            pass
    except OSError as error:
        raise _unwritable(run_dir, error) from error


def check_files(run_dir: Path) -> None:
    """Raise UsageError if a folder or pipe stands in place of one of the run's files, or there is a link."""
    for path in (run_dir / name for name in (*FILES, *LOGS, *LABEL_FILES)):
        if (what := irregular(path)) is not None:
            raise UsageError(f"{path} is {what}, where a file of the run belongs; move it away")
    # A run may come from somebody else, and what a session writes could go through a link anywhere.
    if link := next((path for path in run_dir.iterdir() if path.is_symlink()), None):
        raise UsageError(f"{link} is a symbolic link, and a run's folder may have none; move it away")


def check_not_of_a_run(path: Path, label: str) -> None:
    """Raise UsageError if any run needs this file; ``label`` names it in the message."""
    is_own = path.name in FILES or path.name.startswith(LOG)
    store = path.parent if path.parent.name == STORE else path.parent / STORE
    if (is_own or store == path.parent) and (store / DATABASE).exists():
        raise UsageError(f"{label} is a run's own file, which that run needs; choose another place")


def output_file(raw: str | os.PathLike[str], name: str, ending: str) -> Path:
    """Return the absolute path of a file to write, whose folder is made.

    Args:
        raw: The path; a name without an ending is kept.
        name: A setting in backticks.
        ending: That of the format, as ``.csv``.

    Raises:
        UsageError: It cannot be written, is a folder or a device, has the ending of another format, a run
            needs the file of this name, or it is ``-``, by which other programs mean standard output.
    """
    if os.fspath(raw) == "-":
        raise UsageError(f"{name[:-1]} = -` is not standard output; name a file, such as ./- for that name")
    path = user_path(raw, name)
    label = f"{name[:-1]} = {path}`"
    check_not_of_a_run(path, label)
    if (what := irregular(path)) is not None:
        raise UsageError(f"{label} is {what}; name a file")
    check_ending(path, ending, label)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise UsageError(f"{label} cannot be written: {error.strerror or error}") from error
    return path


def labels_in(folder: str | Path) -> Path:
    """Return the file of labels in a folder, which is made; raise UsageError if it cannot be written."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        why = "it is a file" if isinstance(error, FileExistsError) else error.strerror or error
        raise UsageError(
            f"labels cannot be kept in {folder}: {why}; name a folder with `shared_cache`"
        ) from error
    return Path(folder) / LABELS


def own_labels(run_dir: Path) -> Path | None:
    """Return a run's own file of labels, if it has one that can be written.

    A run from somebody else may have a link in its place, to any file of the user's.
    """
    is_linked = any((run_dir / name).is_symlink() for name in LABEL_FILES)
    is_kept = (run_dir / LABELS).is_file() and os.access(run_dir, os.W_OK)
    return run_dir / LABELS if is_kept and not is_linked else None


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file atomically; text as UTF-8.

    A reader, or a crash, sees the old file or the new one and nothing between.

    Raises:
        OSError: It cannot be written; the old file is unchanged.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        # Root could replace a device, such as /dev/null.
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    try:
        replace_file(path, data, mode=0o644)
    except OSError as error:
        # Name the file that the user knows, not the temporary one.
        raise OSError(error.errno, error.strerror, str(path)) from error


def safe_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula, with an apostrophe in front if necessary."""
    safe = printable(text)
    # Some programs read full-width signs as the plain ones.
    first = unicodedata.normalize("NFKC", safe.lstrip()[:1])
    return f"'{safe}" if first.startswith(_FORMULA) else safe


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Return rows as CSV, with the same bytes on every machine."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def spreadsheet(text: str) -> str:
    """Return a CSV file's text; other letters than ASCII get a mark, without which Excel misreads them."""
    return text if text.isascii() else f"{BYTE_ORDER_MARK}{text}"


def leaderboard_csv(rows: Sequence[Row]) -> str:
    """Return the leaderboard as CSV.

    If races dropped templates, it has two more columns: on how many training images ``train`` was measured,
    and the estimate for all. If images got no class, it has the shares that were refused and unreadable. If
    the objective is not accuracy, it has its value, by which the rows are ordered.
    """
    raced = any(row.images is not None for row in rows)
    unanswered = any(row.unanswered is not None for row in rows)
    other = any(row.objective is not None for row in rows)
    more = ["images", "estimate"] * raced + ["refused", "unreadable"] * unanswered + ["objective"] * other
    lines: list[list[Any]] = [[*_COLUMNS, *more]]
    for row in rows:
        numbers = (row.val, row.copies, row.estimate, row.objective)
        val, copies, estimate, objective = ("" if value is None else f"{value:z.6f}" for value in numbers)
        origin = (row.restart, row.conversation, row.round, safe_cell(row.source or ""))
        cells = [row.rank, safe_cell(row.template), f"{row.train:z.6f}", val, *origin, copies]
        without_class = row.unanswered or Unanswered()
        shares = [f"{without_class.refused:.6f}", f"{without_class.unreadable:.6f}"]
        lines.append([*cells, *[row.images, estimate] * raced, *shares * unanswered, *[objective] * other])
    return spreadsheet(csv_text(lines))


def templates_json(templates: Sequence[str]) -> str:
    """Return a JSON list of templates with the slot ``{}``, for open_clip and CLIP_benchmark."""
    return json.dumps(list(templates), indent=2, ensure_ascii=False) + "\n"


def write_result(run_dir: Path, result: SearchResult) -> None:
    """Write leaderboard, templates and result; the result last, as a sign that the others exist."""
    write_atomically(run_dir / LEADERBOARD, leaderboard_csv(result.leaderboard))
    write_atomically(run_dir / TEMPLATES, templates_json(result.scored_as(*result.texts.templates)))
    write_atomically(run_dir / RESULT, result.dumps())


def put_away(run_dir: Path) -> None:
    """Rename the last session's files, so that they are not taken for those of this one."""
    for name, before in BEFORE.items():
        with suppress(FileNotFoundError):  # a run that was interrupted has no result
            (run_dir / name).replace(run_dir / before)


def read_document(file: Path) -> Any:
    """Read a JSON file of a run, which may come from somebody else.

    Raises:
        ValueError: It is not JSON (as with NaN), is nested too deeply, or has a number that no float holds.
        OSError: It cannot be read.
    """
    try:
        return json.loads(read_regular(file), parse_int=_whole_number, parse_constant=_not_json)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _whole_number(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number in it has more than {MOST_DIGITS} digits")
    return int(text)


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} in it is not JSON")


def read_result(run_dir: Path) -> SearchResult:
    """Read the result of a run.

    Raises:
        ValueError: The file is not a result of this program.
        OSError: It cannot be read.
    """
    document = read_document(run_dir / RESULT)
    return replace(SearchResult.from_json(document), run_dir=run_dir.resolve())


def complete_result(run_dir: Path) -> SearchResult | None:
    """Return the result of a run that has nothing left to do; None for any other run."""
    try:
        result = read_result(run_dir)
    except (OSError, ValueError):
        return None  # missing or torn: it can be rebuilt from the store
    return result if result.complete else None


def result_of(run_dir: Path) -> SearchResult:
    """Read a result that a user asked for; raise UsageError if it is missing or unreadable."""
    try:
        return read_result(run_dir)
    except FileNotFoundError as error:
        if not run_dir.is_dir():
            remedy = "there is no such folder"
        elif (run_dir / STORE).exists():
            remedy = f"continue it with `promptclimb resume {shlex.quote(str(run_dir))}`"
        else:
            remedy = "it is not the folder of a run"
        raise UsageError(f"{run_dir} holds no {RESULT}: {remedy}") from error
    except (OSError, ValueError) as error:
        remedy = ""
        if not isinstance(error, OSError | OtherSchemaError) and is_run(run_dir):
            again = f"`promptclimb resume {shlex.quote(str(run_dir))}`"
            remedy = f"; it was damaged or edited: put the original back, or write it again with {again}"
        raise UsageError(f"{run_dir / RESULT} cannot be read: {reason_of(error)}{remedy}") from error


def stored_config(
    run_dir: Path,
    changes: Mapping[str, Any] | None = None,
    *,
    source: str = COMMAND_LINE,
    safe: Iterable[str] = (),
    trust: bool = False,
) -> SearchConfig:
    """Return the config from a run's store, with ``changes`` applied; errors name their ``source``.

    ``safe`` names settings that the caller does not use; ``trust``: accept the stored ones, and sign them.

    Raises:
        UsageError: There is no run, another version made it, or a change is wrong.
        UntrustedRunError: A setting in use needs trust, and was not set by this user in this folder.
    """
    changes = changes or {}
    manifest = stored_manifest(run_dir)
    config = from_layers([(f"the run {run_dir}", manifest.config), (source, changes)])
    if trust:
        with Store.open(run_dir) as store:
            store.trust()
    else:
        check_trusted(run_dir, manifest, config, safe={*safe, *changes})
    return config


def stored_manifest(run_dir: Path) -> RunManifest:
    """Read a run's manifest, also where nothing can be written.

    Raises:
        UsageError: There is no run, or another version made it.
    """
    with StoreReader(run_dir) as stored:
        return stored.manifest


def config_text(run_dir: Path) -> str:
    """Return the text of ``config.toml`` for display, or a line that it is missing."""
    try:
        return read_regular(run_dir / CONFIG)
    except (OSError, UnicodeDecodeError) as error:
        return f"# {CONFIG} cannot be read: {error}\n"
