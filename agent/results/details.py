"""``details.json``: decisions on test, and the lineage of templates, for the report.

Test is evaluated once, after the search has chosen. The decisions by image are kept here with a few small
pictures, so that later reports and comparisons need not evaluate it again.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ConfigDict

from ...evaluator.scoring import UNREADABLE, hits
from ..regular_files import read_regular
from .result import Row, adapter, parsed
from .run_dir import DETAILS, write_atomically

SCHEMA = 2
BEST, ENSEMBLE = "best", "ensemble"
"""Names among the decisions; others have the names of the result's baselines."""
NO_CLASS = "(no class)"
"""Stands for the class of an answer that names none."""
ALIKE = 0.5
"""Least share of words in common, in order, with a template's ancestor."""
LONGEST = 8


def agrees(hits: Sequence[bool], accuracy: float) -> bool:
    """Return whether decisions give an accuracy, which may be rounded by less than an image."""
    return abs(sum(hits) - len(hits) * accuracy) <= 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """Decisions of each evaluated group of templates on the test images.

    Attributes:
        image_set: Content hash of the images, in order; None if the evaluator does not give it.
        classes: Class names by label; empty if they are not known.
        predicted: By name, the label predicted for each image.
    """

    image_set: str | None
    classes: tuple[str, ...]
    labels: tuple[int, ...]
    predicted: Mapping[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        if any(len(one) != len(self.labels) for one in self.predicted.values()):
            raise ValueError("decisions and labels differ in number")

    def hits(self, name: str) -> list[bool] | None:
        """Return whether each image is classified correctly; None for an unknown name."""
        found = self.predicted.get(name)
        return None if found is None else hits(found, self.labels)

    def class_name(self, label: int) -> str:
        """Return the name of a class, or that an answer names none."""
        if label == UNREADABLE:
            return NO_CLASS
        return self.classes[label] if 0 <= label < len(self.classes) else f"class {label}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A test image that either the baseline or the best template classifies correctly, but not both.

    Attributes:
        before: The class that the baseline predicts.
        after: The class that the best template predicts.
        jpeg: A small JPEG, in base64.
    """

    true: str
    before: str
    after: str
    name: str
    jpeg: str

    @property
    def put_right(self) -> bool:
        return self.after == self.true


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor(Row):
    """A template in the lineage of the best one, with the request that it answers.

    Attributes:
        shown: Templates in the request, best first; at most a few.
        all_shown: How many the request showed.
        messages: The request, as role and text; empty if no LLM was asked or it is not known.
    """

    shown: tuple[str, ...] = ()
    all_shown: int = 0
    messages: tuple[tuple[str, str], ...] = ()
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """The choice after fewer templates, with its test accuracy (None if not measured)."""

    after: int
    template: str
    test: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Data that the report shows beyond the result.

    Attributes:
        decisions: None if test was not evaluated or they are not known.
        baseline: Name of the baseline that ``pictures`` compare with.
        curve: Earlier choices, if requested; evaluated together with the final choice.
    """

    decisions: Decisions | None = None
    baseline: str | None = None
    pictures: tuple[Picture, ...] = ()
    lineage: tuple[Ancestor, ...] = ()
    curve: tuple[Pick, ...] = ()

    __pydantic_config__ = ConfigDict(allow_inf_nan=False)

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **adapter(Details).dump_python(self, mode="json", warnings=False)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Details:
        """Return the inverse of ``to_json``; raise ValueError for another schema or shape."""
        if not isinstance(found, Mapping) or found.get("schema") != SCHEMA:
            raise ValueError(f"not the details of a run of schema {SCHEMA}")
        return parsed(cls, found, "the details of a run")


def write_details(run_dir: Path, details: Details) -> None:
    """Write the file."""
    text = json.dumps(details.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    write_atomically(run_dir / DETAILS, text + "\n")


def read_details(run_dir: Path) -> Details | None:
    """Read the details of a run; None if the file is missing or unreadable."""
    try:
        return Details.from_json(json.loads(read_regular(run_dir / DETAILS)))
    except (OSError, ValueError, RecursionError):
        return None


class Word(NamedTuple):
    """A word of a template, and whether its parent lacks it."""

    text: str
    new: bool


def lineage_of(best: Row, rows: Iterable[Row]) -> list[Row]:
    """Return the best template and its ancestors, itself first.

    An ancestor is estimated: the earlier template of the same restart that shares most words.
    """
    restart = [row for row in rows if row.restart == best.restart and row.template != best.template]
    line = [best]
    while len(line) < LONGEST and line[-1].conversation:
        last = line[-1]
        earlier = [row for row in restart if (row.conversation, row.round) < (last.conversation, last.round)]
        parent = max(
            earlier, key=lambda row: (_alike(row.template, last.template), row.comparable), default=None
        )
        if parent is None or _alike(parent.template, last.template) < ALIKE:
            break
        line.append(parent)
    return line


def marked(template: str, parent: str | None) -> list[Word]:
    """Return the words of a template, each with whether its parent lacks it."""
    words = template.split()
    if parent is None:
        return [Word(word, new=False) for word in words]
    matcher = difflib.SequenceMatcher(None, parent.split(), words, autojunk=False)
    kept = {
        place for block in matcher.get_matching_blocks() for place in range(block.b, block.b + block.size)
    }
    return [Word(word, new=place not in kept) for place, word in enumerate(words)]


def shown_in(texts: Sequence[str], rows: Iterable[Row]) -> list[Row]:
    """Return the known templates that a request's messages contain, best first."""
    said = "\n".join(texts)
    found = {row.template: row for row in rows if row.template in said}
    return sorted(found.values(), key=lambda row: (row.images is not None, -row.comparable))


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one.split(), other.split(), autojunk=False).ratio()
