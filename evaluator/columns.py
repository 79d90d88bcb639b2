"""Parse the option --columns: ``path=FILE,label=CLASS,split=PART``."""

from __future__ import annotations

import csv
from collections.abc import Mapping

COLUMNS = ("path", "label", "split")
FORM = "path=NAME,label=NAME, and split=NAME where there is one"


def parse_columns(text: str | None) -> Mapping[str, str]:
    """Return the name of each column that has a meaning; of None, no columns of other names.

    A name with a comma stands in double quotes with its meaning.

    Raises:
        ValueError: The text is not of that form.
    """
    if text is None:
        return {}
    try:
        parts = [part for row in csv.reader([text], skipinitialspace=True, strict=True) for part in row]
    except csv.Error as error:
        raise ValueError(f"{error}; write {FORM}") from error
    found: dict[str, str] = {}
    for part in parts:
        meaning, _equals, name = (piece.strip() for piece in part.partition("="))
        if meaning not in COLUMNS or not name:
            raise ValueError(f"{part.strip()!r} says nothing of a column; write {FORM}")
        if meaning in found:
            raise ValueError(f"{meaning} is named twice; write {FORM}")
        found[meaning] = name
    if not found:
        raise ValueError(f"it is empty; write {FORM}")
    return found
