"""Read and tidy class names.

Names from folders, split files and tables lose underscores and extra white space; names from the user's file
are used unchanged. Only published lists may repeat a name (OpenAI's ImageNet names have two such pairs).
A user's file has names by folder (lines ``FOLDER=NAME``, or a JSON or TOML mapping), or one name a line in
the order of the labels. A folder with ``=`` in its name stands in quotes, as a JSON string.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..files import MOST_SETTINGS_BYTES, parse_json, parse_toml, read_text, user_path
from ..settings import near
from .hand_made import imagenet_class_names
from .values import Splits

OPENAI = "openai"
SPLIT = "split"
NAMES_FILE = "class names file"
BY_FOLDER = "FOLDER=NAME"
_QUOTED = re.compile(r'\s*("(?:[^"\\]|\\.)*")\s*=(.*)')
MOST_PAIRS, MOST_SHOWN = 5, 60
"""Folders with their names in a note, and characters of a name that is too long."""
LONGEST_CLASS_NAME = 300
"""Characters of a class name, and of a folder in a file of names."""


def tidy(raw: str, *, where: object) -> str:
    """Return a class name fit for a caption: underscores and runs of white space become single spaces."""
    name = " ".join(unicodedata.normalize("NFC", raw).replace("_", " ").split())
    check_name(name, raw, where=where)
    return name


def check_name(name: str, raw: str, *, where: object) -> None:
    """Refuse a name that no caption can hold."""
    _refuse_long("class name", raw, where)
    if not name:
        raise DataError(
            f"{where}: the class name {raw!r} is empty; give every class a name of at least one letter"
        )
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise DataError(
            f"{where}: the class name {raw!r} holds a control character or one that is not text; "
            "rename the class"
        )


def _refuse_long(what: str, raw: str, where: object) -> None:
    if len(raw) > LONGEST_CLASS_NAME:
        raise DataError(
            f"{where}: the {what} that begins with {raw[:MOST_SHOWN]!r} has {len(raw):,} characters; "
            f"shorten it to {LONGEST_CLASS_NAME} at most"
        )


def read_names(path: Path) -> tuple[str, ...]:
    """Read class names from a UTF-8 file, one a line by label; empty lines at the end are dropped."""
    return checked_names(_text_of(path).split("\n"), str(path))


def read_names_file(path: Path) -> tuple[str, ...] | dict[str, str]:
    """Return the class names of a user's file: in the order of the labels, or by folder."""
    text, where = _text_of(path), str(path)
    lines = text.split("\n")
    document: Any = lines
    if path.suffix.lower() == ".json":
        document = parse_json(text, where=where)
    elif path.suffix.lower() == ".toml":
        document = parse_toml(text, where=where)
    elif text and all("=" in line for line in lines if line.strip()):
        document = _by_folder(lines, where)
    values = list(document.values()) if isinstance(document, dict) else document
    if not isinstance(values, list) or not values or not all(isinstance(name, str) for name in values):
        raise DataError(f'{where} must be {{"FOLDER": "NAME", ...}} or a list of names')
    names = checked_names(values, where)
    for folder in document if isinstance(document, dict) else ():
        _refuse_long("folder", folder, where)
    return dict(zip(map(composed, document), names, strict=True)) if isinstance(document, dict) else names


def _text_of(path: Path) -> str:
    return read_text(path, what=NAMES_FILE, most=MOST_SETTINGS_BYTES).rstrip()


def _by_folder(lines: Iterable[str], where: str) -> dict[str, str]:
    name_by_folder: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        folder, name = _cells(line, f"{where}, line {number}")
        _refuse_long("folder", folder, f"{where}, line {number}")
        if folder in name_by_folder:
            raise DataError(f"{where}, line {number}: the folder {folder[:MOST_SHOWN]!r} has a name already")
        if line.strip():
            name_by_folder[folder] = name
    return name_by_folder


def _cells(line: str, where: str) -> tuple[str, str]:
    if (quoted := _QUOTED.fullmatch(line)) is not None:
        return str(parse_json(quoted[1], where=f"{where}, the folder in quotes,")), quoted[2].strip()
    folder, _equals, name = line.partition("=")
    return folder.strip(), name.strip()


def line_of(folder: str, name: str) -> str:
    """Return a line ``FOLDER=NAME`` that is read as these two, whatever the folder is called."""
    is_plain = "=" not in folder and not folder.startswith('"') and folder == folder.strip()
    return f"{folder if is_plain else json.dumps(folder, ensure_ascii=False)}={name}"


def checked_names(names: Iterable[str], where: str, *, entry: str = "line") -> tuple[str, ...]:
    """Return a user's own class names without white space around them.

    ``entry`` is what a message calls one of them, before its number from 1.

    Raises:
        DataError: One is no class name, or stands for several classes.
    """
    names = tuple(name.strip() for name in names)
    for number, name in enumerate(names, start=1):
        check_name(name, name, where=f"{where}, {entry} {number}")
    # OpenAI's list repeats two names, which a file of names for its classes may do too.
    openai = imagenet_class_names() if duplicates(names) else ()
    refuse_duplicates(names, where=where, but=duplicates(openai) if len(openai) == len(names) else ())
    return names


def composed(name: str) -> str:
    """Return a folder's name in Unicode form NFC; some file systems decompose accents."""
    return unicodedata.normalize("NFC", name)


def rename(splits: Splits, choice: str | None) -> Splits:
    """Return the data set with the chosen class names."""
    if choice is None or choice == SPLIT:
        return splits
    if choice == OPENAI:
        names = _in_order(imagenet_class_names(), splits, "open_clip's list of ImageNet class names")
        return replace(splits, classes=names, published=True)
    listed = read_names_file(user_path(choice, "`class_names`"))
    if isinstance(listed, dict):
        names, how = _by_source(listed, splits, choice), ""
        refuse_duplicates(names, where=choice)
    else:
        names, how = _in_order(listed, splits, choice), ", by order"
    notes = list(splits.notes)
    if names != splits.classes:
        own = splits.sources or splits.classes
        pairs = ", ".join(f"{old} -> {new}" for old, new in zip(own[:MOST_PAIRS], names, strict=False))
        more = ", ...; `datasets` shows all" if len(names) > MOST_PAIRS else ""
        notes.append(f"class names from {Path(choice).name}{how}: {pairs}{more}")
        if how:
            notes += _swapped(own, names)
    return replace(splits, classes=names, published=bool(duplicates(names)), notes=tuple(notes))


def _in_order(names: tuple[str, ...], splits: Splits, source: str) -> tuple[str, ...]:
    folders = set(map(composed, splits.sources))
    for name in names:
        if "=" in name and composed(name.partition("=")[0].strip()) in folders:
            raise DataError(f"{source}: {name!r} names a folder; write {BY_FOLDER} in all lines or none")
    if len(names) != len(splits.classes):
        raise DataError(
            f"{source} has {len(names)} names, but {splits.name} has {len(splits.classes)} classes; "
            f"one name a class is needed, in the order of the labels, or lines {BY_FOLDER}"
        )
    return names


def _by_source(name_by_folder: Mapping[str, str], splits: Splits, source: str) -> tuple[str, ...]:
    """Return names by label; a class that is not named keeps its own."""
    labels = {composed(name): label for label, name in enumerate(splits.classes)}
    labels |= {composed(name): label for label, name in enumerate(splits.sources)}
    if strangers := [folder for folder in name_by_folder if folder not in labels]:
        raise DataError(
            f"{source}: {splits.name} has no class folder or label {strangers[0]!r}; write {BY_FOLDER}, "
            "or one name a line in the order of the labels"
            f"{near(strangers[0], splits.sources or splits.classes)}"
        )
    names = {labels[folder]: name for folder, name in name_by_folder.items()}
    return tuple(names.get(label, own) for label, own in enumerate(splits.classes))


def _swapped(own: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """Yield a warning if a class got the name of another one: the file may be in another order."""

    def letters(name: str) -> str:
        return "".join(filter(str.isalnum, composed(name).casefold()))

    before, after = list(map(letters, own)), list(map(letters, names))
    own_names = set(before)
    swapped = [label for label, name in enumerate(after) if name != before[label] and name in own_names]
    if swapped:
        fact = "some are those of other classes"
        if sorted(before) == sorted(after):
            fact = "they are those of the data in another order"
        yield (
            f"check the class names, {fact}: {own[swapped[0]]!r} is now called {names[swapped[0]]!r}. "
            f"To match by name and not by order, write lines {BY_FOLDER}"
        )


def duplicates(names: Iterable[str]) -> list[str]:
    """Return the names that occur more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def refuse_duplicates(names: Sequence[str], *, where: str, but: Sequence[str] = ()) -> None:
    """Raise DataError if a name occurs twice, ``but`` for some."""
    if repeated := [name for name in duplicates(names) if name not in but]:
        labels = [str(label) for label, name in enumerate(names) if name == repeated[0]]
        raise DataError(
            f"{where}: the class name {repeated[0]!r} stands for {len(labels)} classes "
            f"(labels {', '.join(labels)}); "
            "a text cannot distinguish them: rename or merge them"
        )
