"""Read CSV, TSV and JSON-lines tables of ``path,label[,split]``, or with other column names.

Paths are relative to the data root, else to the table's folder, and must lie under it. A label is a class
name, or, with a file of class names, a line number of it from 0.
"""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...counts import counted
from ...errors import DataError
from ...files import inside, parse_json, read_text
from ...spec import COLUMNS
from ..class_names import tidy
from ..sampling import complete
from ..values import Item, Splits

DELIMITERS = {".csv": ",", ".tsv": "\t"}
MARKS = (",", ";", "\t", "|")
"""Field separators: spreadsheets write semicolons where the comma is the decimal sign."""
SPLIT_NAMES = {"": "", "train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
FORM = (
    "a table needs the columns path and label, and may have split (train, val or test); columns "
    "of other names are given by `columns = path=NAME,label=NAME,split=NAME`"
)

_QUOTES = (
    "a quote is not closed, or text follows the closing one; close each, and write a quote inside a quoted "
    'cell as ""'
)


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of a table: its place, and its three cells as text."""

    where: str
    path: str
    label: str
    split: str


def read_table(
    file: Path,
    *,
    data_root: Path | None,
    names: Sequence[str] | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
) -> Splits:
    """Read a data set from a table.

    Args:
        file: The table; its suffix decides its form.
        data_root: What paths are relative to and must lie under; the table's folder if None.
        names: Class names by label, if the labels are numbers.
        columns: The table's own names of the columns path, label and split.
    """
    file = file.expanduser().absolute()
    root = (data_root or file.parent).absolute()
    text, suffix = read_text(file, what="table"), file.suffix.lower()
    rows = list(parse_table(text, suffix=suffix, where=str(file), columns=columns))
    if not rows:
        raise DataError(f"{file} has no rows; {FORM}")
    rows = _under(root, rows)
    sources, classes, label_of = _classes(rows, names, str(file))
    by_split: dict[str, list[Item]] = {name: [] for name in ("", "train", "val", "test")}
    for row in rows:
        item = Item(_existing(inside(root, row.path, where=row.where), row.where), label_of(row))
        if row.split not in SPLIT_NAMES:
            raise DataError(f"{row.where}: the split must be train, val or test, not {row.split!r}")
        by_split[SPLIT_NAMES[row.split]].append(item)
    unsplit, train, val, test = by_split.values()
    if unsplit and (train or val or test):
        lacking = counted(len(unsplit), "row has", "rows have")
        raise DataError(f"{file}: {lacking} no split, such as {unsplit[0].path}; fill in all or none")
    (train_items, val_items, test_items), notes = complete(unsplit or train, val, test)
    return Splits(
        name=file.stem,
        classes=classes,
        train=train_items,
        val=val_items,
        test=test_items,
        root=root,
        sources=sources,
        notes=tuple(notes),
    )


def _under(root: Path, rows: list[TableRow]) -> list[TableRow]:
    """Return rows whose paths are all absolute under the root; name a root that fits if they are outside."""
    paths = [os.path.normpath(row.path) for row in rows]
    if not all(map(os.path.isabs, paths)):
        return rows
    common = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120 - fast
    real = os.path.realpath(common)  # the root may be named without its links
    if os.path.commonpath([common, root]) == str(root):
        return rows
    if os.path.commonpath([real, root]) == str(root):
        start = len(common)
        return [replace(row, path=real + path[start:]) for row, path in zip(rows, paths, strict=True)]
    raise DataError(
        f"{rows[0].where}: {rows[0].path!r} is an absolute path outside {root}; give `data_root = "
        f"{common}`, which holds all images",
    )


def parse_table(
    text: str, *, suffix: str, where: str, columns: Mapping[str, str] = MappingProxyType({})
) -> Iterator[TableRow]:
    """Yield the rows of a table."""
    called = {column: columns.get(column, column) for column in COLUMNS}
    if suffix not in DELIMITERS:
        rows = _json_rows(text, where)
    else:
        # Case matters in JSON, not in a table's header.
        called = {column: _heading(name) for column, name in called.items()}
        needed = [name for column, name in called.items() if column != "split" or column in columns]
        rows = _csv_rows(text, DELIMITERS[suffix], where, needed, tuple(called.values()))
    for row_where, cells in rows:
        path, label, split = (_cell(cells, called[column], row_where) for column in COLUMNS)
        if not path or not label:
            raise DataError(f"{row_where} has no {called['label' if path else 'path']}; {FORM}")
        yield TableRow(row_where, path, label, split.lower())


def _csv_rows(
    text: str, usual: str, where: str, needed: Sequence[str], columns_read: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    delimiter = _delimiter(text.partition("\n")[0], usual, needed)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 1  # the line in which a row begins: quoted cells may have several
    try:
        columns = list(map(_heading, next(reader, [])))
        if missing := sorted(set(needed) - set(columns)):
            shown = f"it has {', '.join(columns)}" if columns else "it is empty"
            raise DataError(f"{where} has no column {missing[0]!r} ({shown}); {FORM}")
        if twice := next((name for name in columns_read if columns.count(name) > 1), None):
            raise DataError(
                f"{where} has {columns.count(twice)} columns {twice!r} (capitals and invisible "
                "characters do not count), and only one can be meant; rename or remove the others"
            )
        start = reader.line_num + 1
        for cells in reader:
            if len(cells) > len(columns):
                raise DataError(f"{where}, line {start} has more cells than there are columns")
            if cells:
                yield f"{where}, line {start}", dict(zip(columns, cells, strict=False))
            start = reader.line_num + 1
    except csv.Error as error:
        fault = _QUOTES
        if str(error).startswith("field larger") and reader.line_num == start:
            most = csv.field_size_limit()
            fault = f"a cell has more than {most:,} characters; shorten it, or remove its column"
        raise DataError(f"{where}, line {start}: {fault}") from error


def _heading(cell: str) -> str:
    """Return a column's name in lower case, without space around it and characters that nobody sees."""
    return "".join(letter for letter in cell if unicodedata.category(letter) != "Cf").strip().lower()


def _delimiter(header: str, usual: str, needed: Sequence[str]) -> str:
    """Return the separator that gives a header the needed columns, else the most columns."""
    counts: dict[str, int] = {}
    for mark in (usual, *MARKS):
        try:
            cells = next(csv.reader([header], delimiter=mark), [])
        except csv.Error:  # reported when the table is read
            continue
        if set(needed) <= set(map(_heading, cells)):
            return mark
        counts.setdefault(mark, len(cells))
    return max(counts, key=lambda mark: counts[mark], default=usual)


def _json_rows(text: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        row_where = f"{where}, line {number}"
        cells = parse_json(line, where=row_where)
        if not isinstance(cells, dict):
            raise DataError(f"{row_where} is not a JSON object; {FORM}")
        yield row_where, cells


def _cell(cells: dict[str, Any], column: str, where: str) -> str:
    value = cells.get(column)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(f"{where}: {column} must be text or a number, not {value!r}")
    return str(value).strip()


def _classes(
    rows: list[TableRow], names: Sequence[str] | None, where: str
) -> tuple[tuple[str, ...], tuple[str, ...], Callable[[TableRow], int]]:
    """Return the table's own labels in order, the class names, and what gives the label of a row."""
    if names is not None and all(row.label.lstrip("-").isdecimal() for row in rows):
        return tuple(map(str, range(len(names)))), tuple(names), lambda row: _number(row, len(names))
    raw = sorted({row.label for row in rows}, key=_natural)
    classes = tuple(tidy(label, where=where) for label in raw)
    labels = {label: number for number, label in enumerate(raw)}
    return tuple(raw), classes, lambda row: labels[row.label]


def _number(row: TableRow, classes: int) -> int:
    # int() raises its own error on thousands of digits.
    label = int(row.label) if len(row.label) < 10 else -1
    if not 0 <= label < classes:
        raise DataError(f"{row.where}: label {row.label} is out of range: there are {classes} class names")
    return label


def _natural(label: str) -> tuple[bool, int, str]:
    numeric = label.isdecimal() and len(label) < 10
    return not numeric, int(label) if numeric else 0, label


def _existing(path: Path, where: str) -> Path:
    with suppress(OSError, ValueError):
        if path.is_file():
            return path
    raise DataError(f"{where}: {path} does not exist or is not a file")
