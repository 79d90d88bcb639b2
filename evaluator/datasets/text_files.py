"""Read text, JSON and paths that somebody else wrote; errors name the file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..errors import DataError

# ImageNet's split as JSON is 120 MB; a larger file is not a list of images.
MAX_BYTES = 512 * 2**20


def read_bytes(path: Path, *, what: str) -> bytes:
    """Read the bytes of a file."""
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder; the {what} must be a file")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise DataError(f"{path}: {size} bytes are too many for a {what} (at most {MAX_BYTES})")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"the {what} {path} does not exist") from error
    except (OSError, ValueError) as error:
        raise DataError(f"the {what} {path} cannot be read: {error}") from error


def read_text(path: Path, *, what: str) -> str:
    """Read the text of a UTF-8 file, a byte-order mark dropped and line ends made one kind."""
    try:
        text = read_bytes(path, what=what).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"the {what} {path} is not UTF-8 (byte {error.start}); save it as UTF-8 text"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_json(text: str, *, where: str) -> Any:
    """Return what a JSON text holds."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{where} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except (RecursionError, ValueError) as error:
        raise DataError(f"{where} is not JSON that can be read: {error}") from error


def inside(root: Path, raw: str, *, where: str) -> Path:
    """Return the absolute path that a split file or a table means; refuse one that leads out of the root.

    Links are left as they are. ``where`` names the place in the file, for the message.
    """
    if not raw or "\0" in raw:
        raise DataError(f"{where}: {raw!r} is not a path of an image")
    path = os.path.normpath(os.path.join(root, raw))  # noqa: PTH118 - text only, nothing is resolved
    if os.path.commonpath([path, root]) != str(root):
        raise DataError(f"{where}: {raw!r} leads out of {root}; every image must lie under the data root")
    return Path(path)
