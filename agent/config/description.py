"""What the user says that the pictures show: a text, or a small file that is read once."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

from ...evaluator.settings import shown
from ...evaluator.user_paths import checked_path

UNTOLD = (
    "nothing is said of what the pictures show (--describe TEXT, or [describe] in a study's file): a "
    "sentence in your words is what brings most (docs/method.md)"
)
MAX_CHARACTERS = 2_000
"""Some twenty sentences: it stands in every request."""
_MAX_BYTES = 8 * MAX_CHARACTERS
_LOOKS_LIKE_A_FILE = re.compile(r"(?:\.{0,2}[/\\]|~)\S*|\S+\.(?:txt|md|rst|json|toml)", re.IGNORECASE)


class Told(str):
    """A description as a run has it: a text, also where it looks like a file's name."""

    __slots__ = ()


def text_or_file(value: Any) -> Any:
    """Return the path of a file where a setting names one that is there; else the setting as it is.

    For what comes as text from outside (command line, environment, file of settings); in Python a ``Path``
    is a file and a ``str`` is a text, and a run's own config has the text alone.
    """
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_CHARACTERS:
        return value
    try:
        path = Path(value).expanduser()
        return path if path.is_file() else value
    except (OSError, RuntimeError, ValueError):  # too long for a path, or no such user: a text, then
        return value


def parse_description(value: Any) -> Any:
    """Return a description as one line with single spaces; for pydantic's validators.

    Raises:
        ValueError: It is empty, too long or not text, or a file that it names cannot be read.
    """
    if value is None:
        return None
    if isinstance(value, Path):
        return _tidy(_read(value), place=f"the file {value} ")
    if not isinstance(value, str):
        raise ValueError("say in words what the pictures show, or name a text file that does")
    if not isinstance(value, Told) and _LOOKS_LIKE_A_FILE.fullmatch(value.strip()):
        raise ValueError(
            f"there is no file {shown(value)}; write what the pictures show, or name a file that does"
        )
    return _tidy(value, place="it ")


def _read(path: Path) -> str:
    checked_path(path)
    try:
        with path.expanduser().open("rb") as file:
            return file.read(_MAX_BYTES + 1).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start >= _MAX_BYTES - 3:  # cut within a character; too long in any case
            raise ValueError(_too_long(f"the file {path} ")) from None
        raise ValueError(f"the file {path} is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise ValueError(f"the file {path} cannot be read: {error.strerror or error}") from None


def _tidy(text: str, *, place: str) -> str:
    tidy = " ".join(text.split())
    if not tidy:
        raise ValueError(f"{place}is empty; say in a sentence what the pictures show")
    if len(tidy) > MAX_CHARACTERS:
        raise ValueError(_too_long(place))
    for character in tidy:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise ValueError(f"{place}has the character U+{ord(character):04X}, which no sentence has")
    return tidy


def _too_long(place: str) -> str:
    return f"{place}has more than {MAX_CHARACTERS:,} characters; say it in a sentence or two"
