"""Check paths given by the user, read and write files, and find the cache folder."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import platformdirs
from pydantic import BeforeValidator

from .errors import ConfigError, DataError, UsageError
from .messages import shown

LONGEST_NAME, LONGEST_PATH = 255, 4_000
"""Bytes of one name and of a whole path, with room for files written below it."""

CONFIG_NAME = "open_clip_config.json"
KEPT_S = 90 * 24 * 3600
SETTLED_NS = 2 * 10**9
"""Age from which every later change shows in a file's times, on the coarsest file-system clocks."""
MOST_TEXT_BYTES = 512 * 2**20
"""Largest list of images that is read: ImageNet's split file has 120 MB."""
MOST_SETTINGS_BYTES = 4 * 2**20
"""Largest file of settings or names that is read."""

ENDINGS = frozenset({
    ".bin", ".ckpt", ".csv", ".h5", ".html", ".json", ".jsonl", ".npy", ".npz", ".onnx", ".pickle", ".pkl",
    ".pt", ".pth", ".safetensors", ".toml", ".tsv", ".txt", ".xlsx", ".zip",
})  # fmt: skip
"""Endings that say what a file holds; what follows any other dot is part of the name."""


def user_path(raw: str | os.PathLike[str], name: str, *, follow_links: bool = True) -> Path:
    """Return a user's path as an absolute one, ``~`` expanded; it need not exist.

    ``name`` is a setting between backticks, or what the path is, for the message;
    ``follow_links=False`` keeps a linked folder's name.

    Raises:
        ConfigError: It is empty, has a NUL, is not UTF-8 (``config.toml`` and ``result.json`` could not name
            it), begins with an unknown user, or its links form a circle.
    """
    try:
        return _absolute(os.fspath(raw), follow_links=follow_links)
    except ValueError as error:
        setting = f"{name[:-1]} = {shown(raw)}`" if name.endswith("`") else f"{name} {shown(raw)}"
        raise ConfigError(f"{setting}: {error}") from error


def checked_path(raw: Any) -> Any:
    """Return a path unchanged if ``user_path`` accepts it; for pydantic's validators."""
    if isinstance(raw, str | os.PathLike):
        _absolute(os.fspath(raw), follow_links=True)
    return raw


def check_ending(path: Path, ending: str, label: str) -> None:
    """Raise UsageError if a file's name has the ending of another format than ``ending``; none is fine."""
    other = path.suffix.lower()
    if other != ending and other in ENDINGS:
        raise UsageError(f"{label}: {other} is the ending of another format; the right one is {ending}")


def folders_beside(raw: str, path: Path) -> list[str]:
    """Return the folders beside a path that is not there, written as the user wrote it, ``raw``."""
    with suppress(OSError):
        return [str(Path(raw).with_name(each.name)) for each in path.parent.iterdir() if each.is_dir()]
    return []


UserPath = Annotated[Path, BeforeValidator(checked_path)]
"""A setting that is a path, checked by ``user_path`` and left unchanged."""


NameOrPath = Annotated[
    str, BeforeValidator(lambda value: os.fspath(value) if isinstance(value, os.PathLike) else value)
]
"""A setting that is a name or a path."""


def _absolute(raw: str, *, follow_links: bool) -> Path:
    if not raw:
        raise ValueError("it is empty; write a path, or . for the current folder")
    if "\0" in raw:
        raise ValueError("it has a NUL in it, which no path can have")
    try:
        path = Path(raw).expanduser()
    except RuntimeError:
        user = raw.partition("/")[0]
        raise ValueError(f"there is no home folder for {user}; write the path in full") from None
    try:
        # abspath() does not follow links.
        absolute = Path(os.path.abspath(path))  # noqa: PTH100
        resolved = path.resolve() if follow_links else absolute
        # Linux shows a pipe, as of <(...), as a link to a path that is not there.
        is_pipe = os.path.exists(absolute) and not os.path.exists(resolved)  # noqa: PTH110 - never raises
        path = absolute if is_pipe else resolved
    except RuntimeError:
        raise ValueError("its links lead in a circle; choose another path") from None
    except OSError as error:
        raise ValueError(f"it cannot be followed ({error.strerror or error})") from None
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(
            "it, or the folder that it starts from, is not UTF-8 text; choose another path"
        ) from None
    longest = max(len(os.fsencode(name)) for name in path.parts)
    if longest > LONGEST_NAME or len(os.fsencode(path)) > LONGEST_PATH:
        raise ValueError("it, or a name in it, is longer than a path can be; choose another")
    return path


def has_model_settings(weights: str) -> bool:
    """Return whether a file of weights lies beside open_clip's settings of a model, which may name code."""
    # `os.path` takes a text too long for a path as that of no file; `Path.is_file` raises.
    return os.path.isfile(weights) and (Path(weights).parent / CONFIG_NAME).is_file()  # noqa: PTH113


def cache_dir() -> Path:
    """Return the cache folder, created if missing: PROMPTCLIMB_CACHE, or the platform's user cache."""
    variable = "PROMPTCLIMB_CACHE"
    chosen = os.environ.get(variable)
    folder = user_path(chosen, variable) if chosen else platformdirs.user_cache_path("promptclimb")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the cache folder {folder} cannot be made ({error.strerror}); set PROMPTCLIMB_CACHE to another"
        ) from error
    return folder


class SeenFiles:
    """Cache findings on sets of files, by their names, sizes, times and inodes; nothing without a folder."""

    def __init__(self, folder: Path | None = None, clock: Callable[[], int] = time.time_ns) -> None:
        # Windows does not say reliably when a file was last changed.
        self._folder = None if os.name == "nt" else folder
        self._clock = clock

    def known(self, question: str, paths: Sequence[Path], find: Callable[[], list[str]]) -> list[str]:
        """Return the findings of ``find`` on some files, from the cache if the files are unchanged.

        ``question`` is everything but the files that decides the findings.
        """
        if self._folder is None:
            return find()
        names, stamp = _look(paths, self._clock())
        if stamp is None:  # a file may still change unnoticed
            return find()
        key = hashlib.blake2b(f"{question}\0{names}".encode(), digest_size=16).hexdigest()
        cache_file = self._folder / f"{key}.json"
        if (cached := _read(cache_file, stamp)) is not None:
            return cached
        findings = find()
        sweep(self._folder, KEPT_S)
        with suppress(OSError):
            cache_file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(cache_file, json.dumps({"stamp": stamp, "found": findings}).encode(), sync=False)
        return findings


def seen_files(cache: Path | None) -> SeenFiles:
    """Return the findings in a cache folder, the user's for None; keep nothing if there is no cache."""
    try:
        return SeenFiles((cache or cache_dir()) / "seen")
    except UsageError:
        return SeenFiles()


def _look(paths: Sequence[Path], now: int) -> tuple[str, str | None]:
    """Return a hash of the files' names, and one of their state; None if one may change unseen."""
    names, states = hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=16)
    newest = 0
    try:
        for path in paths:
            name = os.fsencode(path)
            names.update(name + b"\0")
            status = os.stat(name)  # noqa: PTH116 - as fast as it can be, for a million of them
            newest = max(newest, status.st_mtime_ns, status.st_ctime_ns)
            state = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)
            states.update(repr(state).encode())
    except OSError:
        return "", None
    return names.hexdigest(), states.hexdigest() if newest + SETTLED_NS <= now else None


def _read(path: Path, stamp: str) -> list[str] | None:
    try:
        entry = json.loads(path.read_text("utf-8"))
        findings = entry["found"] if entry["stamp"] == stamp else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = isinstance(findings, list) and all(isinstance(line, str) for line in findings)
    return findings if whole else None


def sweep(folder: Path, age_s: float, pattern: str = "*.json") -> None:
    """Remove files that were written more than ``age_s`` seconds ago."""
    oldest = time.time() - age_s
    with suppress(OSError):
        for path in folder.glob(pattern):
            with suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a draft in the same folder, which takes the place of a file once it is complete."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    os.close(handle)
    try:
        yield Path(name)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def replace_file(path: Path, content: bytes, *, sync: bool = True, mode: int = 0o600) -> None:
    """Write a file atomically; with ``sync``, make sure that it reaches the disk."""
    with replacing(path) as draft, draft.open("wb") as file:
        file.write(content)
        if sync:
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(mode)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield another name, whose file gets its own one once it is complete; that of a faster process stays."""
    draft = path.with_name(f"{path.name}.new.{os.getpid()}.{threading.get_ident()}")
    try:
        yield draft
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def read_bytes(path: Path, *, what: str, most: int = MOST_TEXT_BYTES) -> bytes:
    """Read a regular file of at most ``most`` bytes; every file that a setting names is read by this.

    Raises:
        DataError: It cannot be read, is larger, or is a device or pipe, which may have no end.
    """
    try:
        state = path.stat()
        if stat.S_ISDIR(state.st_mode):
            raise DataError(f"{path} is a folder; the {what} must be a file")
        if not stat.S_ISREG(state.st_mode):
            raise DataError(f"{path} is a device or a pipe; the {what} must be a regular file")
        if state.st_size <= most:
            with path.open("rb") as file:
                content = file.read(most + 1)  # it may grow, and files of the system have no size
            if len(content) <= most:
                return content
        raise DataError(f"{path} is too large for a {what}: it has more than {most:,} bytes")
    except FileNotFoundError as error:
        raise DataError(f"the {what} {path} does not exist") from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"the {what} {path} cannot be read: {why}") from error


def read_text(path: Path, *, what: str, most: int = MOST_TEXT_BYTES) -> str:
    """Read a UTF-8 file; drop a byte-order mark and normalise line ends; see ``read_bytes``."""
    try:
        text = read_bytes(path, what=what, most=most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"the {what} {path} is not UTF-8 (byte {error.start}); save it as UTF-8 text"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_json(text: str, *, where: str) -> Any:
    """Return the content of a JSON text; refuse a key that stands twice, of which Python keeps the last."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key, value in pairs:
            if key in mapping:
                raise DataError(f"{where}: the key {shown(key)} stands twice; remove one of the two")
            mapping[key] = value
        return mapping

    try:
        return json.loads(text, object_pairs_hook=members)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if "\n" in text else ""  # a line of a file is named by ``where``
        fault = error.msg.removesuffix(" at")
        raise DataError(f"{where} is not JSON: {fault} at {line}column {error.colno}") from error
    except (RecursionError, ValueError) as error:
        raise DataError(f"{where} is not JSON that can be read: {error}") from error


def parse_toml(text: str, *, where: str) -> dict[str, Any]:
    """Return the content of a TOML text."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        quotes = "; texts stand in quotes" if "Invalid value" in str(error) else ""
        raise DataError(f"{where} is not TOML: {error}{quotes}") from error
    except ValueError as error:
        raise DataError(f"{where}: a number in it is too long") from error
    except RecursionError as error:
        raise DataError(f"{where}: lists or tables in it lie too deep in one another") from error


def inside(root: Path, raw: str, *, where: str) -> Path:
    """Return the path, links unresolved, that ``where`` in a file means; refuse one outside the root."""
    if not raw or "\0" in raw:
        raise DataError(f"{where}: {raw!r} is not a path of an image")
    path = os.path.normpath(os.path.join(root, raw))  # noqa: PTH118 - text only, nothing is resolved
    if os.path.commonpath([path, root]) != str(root):
        raise DataError(f"{where}: {raw!r} leads out of {root}; every image must lie under the data root")
    return Path(path)
