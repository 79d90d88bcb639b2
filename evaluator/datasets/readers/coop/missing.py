"""What to say when a part of a data set is not where it should be."""

from __future__ import annotations

from pathlib import Path

from ....errors import DataError

INSTRUCTIONS = "https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md"


def not_there(name: str, path: Path, hint: str = "") -> DataError:
    """Return the error for a file or folder that is missing, with where to get it."""
    return DataError(
        f"{name}: {path} is not there{f' ({hint})' if hint else ''}; "
        f"CoOp's instructions say how to get it and where to put it: {INSTRUCTIONS}"
    )


def need_file(name: str, path: Path) -> Path:
    """Return the path, if it is a file; DataError otherwise."""
    if not path.is_file():
        raise not_there(name, path)
    return path


def need_folder(name: str, path: Path) -> Path:
    """Return the path, if it is a folder; DataError otherwise."""
    if not path.is_dir():
        raise not_there(name, path)
    return path


def need_images(name: str, paths: list[Path], *, listed_in: str) -> None:
    """Raise DataError if images that a list names are not on disk, with how many and the first of them."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise not_there(
            name,
            missing[0],
            f"{len(missing)} of the {len(paths)} images that {listed_in} names are missing",
        )
