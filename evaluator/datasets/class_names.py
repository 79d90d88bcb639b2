"""Read and tidy class names.

Names from folders, split files and tables lose underscores and extra white space; names from the user's file
stay as they are. Only published lists may repeat a name (OpenAI's ImageNet names have two such pairs).
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import DataError
from ..files import read_text, user_path
from .hand_made import imagenet_class_names
from .values import Splits

OPENAI = "openai"
SPLIT = "split"


def tidy(raw: str, *, where: object) -> str:
    """Return a class name fit for a caption: underscores and runs of white space become single spaces."""
    name = " ".join(unicodedata.normalize("NFC", raw).replace("_", " ").split())
    check_name(name, raw, where=where)
    return name


def check_name(name: str, raw: str, *, where: object) -> None:
    """Refuse a name that no caption can hold."""
    if not name:
        raise DataError(
            f"{where}: the class name {raw!r} is empty; give every class a name of at least one letter"
        )
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise DataError(f"{where}: the class name {raw!r} holds a control character or one that is not text")


def read_names(path: Path) -> tuple[str, ...]:
    """Read class names from a UTF-8 file, one a line by label; empty lines at the end are dropped."""
    lines = [line.strip() for line in read_text(path, what="class names file").rstrip().split("\n")]
    for number, line in enumerate(lines, start=1):
        check_name(line, line, where=f"{path}, line {number}")
    refuse_duplicates(lines, where=str(path))
    return tuple(lines)


def not_latin(names: Iterable[str]) -> list[str]:
    """Return the names with a letter that is not Latin."""

    def foreign(character: str) -> bool:
        return character.isalpha() and "LATIN" not in unicodedata.name(character, "")

    return [name for name in names if any(map(foreign, name))]


def rename(splits: Splits, choice: str | None) -> Splits:
    """Return the data set with the chosen class names."""
    if choice is None or choice == SPLIT:
        return splits
    names = imagenet_class_names() if choice == OPENAI else read_names(user_path(choice, "--class-names"))
    if len(names) != len(splits.classes):
        source = "open_clip's list of ImageNet class names" if choice == OPENAI else choice
        raise DataError(
            f"{source} has {len(names)} names, but {splits.name} has {len(splits.classes)} classes; "
            "one name a class is needed, in the order of the labels"
        )
    return replace(splits, classes=names, published=choice == OPENAI)


def duplicates(names: Iterable[str]) -> list[str]:
    """Return the names that occur more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def refuse_duplicates(names: Sequence[str], *, where: str) -> None:
    """Raise DataError if a name occurs twice."""
    if found := duplicates(names):
        labels = [str(label) for label, name in enumerate(names) if name == found[0]]
        raise DataError(
            f"{where}: the class name {found[0]!r} stands for {len(labels)} classes "
            f"(labels {', '.join(labels)}); "
            "a text cannot distinguish them: rename or merge them"
        )
