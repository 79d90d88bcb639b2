"""``details.json``: what the report shows beyond the result, and the lineage of templates.

The test split is evaluated once, when the search has chosen. The decisions image by image are kept here, with
small pictures of some, so that a later report or comparison need not evaluate it again.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ConfigDict

from .result import Row, adapter, parsed
from .run_dir import DETAILS, write_atomically

SCHEMA = 2
BEST, ENSEMBLE = "best", "ensemble"
"""Names of the choices among the decisions; the others have the names of the result's baselines."""
ALIKE = 0.5
"""Share of words in common, in order, from which on a template counts as another's descendant."""
LONGEST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """The decisions of each evaluated group of templates on the test images.

    Attributes:
        image_set: Content hash of the images, in order; None where the evaluator does not give it.
        classes: Class names by label; empty where they are not known.
        labels: The true label of each image.
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
        """Return for each image whether it is correctly classified; None for an unknown name."""
        found = self.predicted.get(name)
        return None if found is None else [one == true for one, true in zip(found, self.labels, strict=True)]

    def class_name(self, label: int) -> str:
        """Return the name of a class."""
        return self.classes[label] if 0 <= label < len(self.classes) else f"class {label}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A test image that one of two templates classifies correctly, and the other does not.

    Attributes:
        true: Its class.
        before: The class that the baseline predicts.
        after: The class that the best template predicts.
        name: The image's file name.
        jpeg: A small JPEG of it, in base64.
    """

    true: str
    before: str
    after: str
    name: str
    jpeg: str

    @property
    def put_right(self) -> bool:
        """Whether the best template is right, and the baseline was not."""
        return self.after == self.true


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor(Row):
    """A template in the lineage of the best one, with the request that it answers.

    Attributes:
        shown: Templates in the request, the best first; at most a few.
        all_shown: How many the request showed.
        messages: The request, as role and text; empty where no LLM was asked, or it is not known.
        answer: The answer.
    """

    shown: tuple[str, ...] = ()
    all_shown: int = 0
    messages: tuple[tuple[str, str], ...] = ()
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """The choice after fewer templates.

    Attributes:
        after: How many templates were scored by then.
        template: The choice.
        test: Its accuracy on test; None where it was not measured.
    """

    after: int
    template: str
    test: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What the report shows beyond the result.

    Attributes:
        decisions: Decisions on the test images; None where test was not evaluated or they are not known.
        baseline: What ``pictures`` compare with, by its name among the baselines.
        pictures: Some images that were fixed or broken; none from a custom scorer without images.
        lineage: From the best template back to where it came from.
        curve: Earlier choices, where that was asked for; evaluated together with the final choice.
    """

    decisions: Decisions | None = None
    baseline: str | None = None
    pictures: tuple[Picture, ...] = ()
    lineage: tuple[Ancestor, ...] = ()
    curve: tuple[Pick, ...] = ()

    __pydantic_config__ = ConfigDict(allow_inf_nan=False)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        return {"schema": SCHEMA, **adapter(Details).dump_python(self, mode="json", warnings=False)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Details:
        """Return the inverse of ``to_json``.

        Raises:
            ValueError: It is of another schema or shape.
        """
        if not isinstance(found, Mapping) or found.get("schema") != SCHEMA:
            raise ValueError(f"not the details of a run of schema {SCHEMA}")
        return parsed(cls, found, "the details of a run")


def write_details(run_dir: Path, details: Details) -> None:
    """Write the file.

    Raises:
        OSError: It cannot be written.
    """
    text = json.dumps(details.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    write_atomically(run_dir / DETAILS, text + "\n")


def read_details(run_dir: Path) -> Details | None:
    """Return the details of a run; None if there is no such file, or it cannot be read."""
    try:
        return Details.from_json(json.loads((run_dir / DETAILS).read_text("utf-8")))
    except (OSError, ValueError, RecursionError):
        return None


class Word(NamedTuple):
    """A word of a template, and whether its parent lacks it."""

    text: str
    new: bool


def lineage_of(best: Row, rows: Iterable[Row]) -> list[Row]:
    """Return the best template and its line of ancestors, itself first.

    An ancestor is estimated by the words: the earlier template of the same restart that shares most of them.

    Args:
        best: The last one.
        rows: Every template that was scored, as a restart found it.
    """
    restart = [row for row in rows if row.restart == best.restart and row.template != best.template]
    line = [best]
    while len(line) < LONGEST and line[-1].conversation:
        last = line[-1]
        earlier = [row for row in restart if (row.conversation, row.round) < (last.conversation, last.round)]
        parent = max(earlier, key=lambda row: (_alike(row.template, last.template), row.train), default=None)
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
    """Return the templates that the messages of a request contain, the best first.

    Args:
        texts: The messages.
        rows: Templates that were known then.
    """
    said = "\n".join(texts)
    found = {row.template: row for row in rows if row.template in said}
    return sorted(found.values(), key=lambda row: -row.train)


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one.split(), other.split(), autojunk=False).ratio()
