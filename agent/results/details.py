"""``details.json``: what a page about a run shows beyond its result.

The test split is opened once, when the search has chosen. What was decided then image by image is kept here,
with small pictures of some, so that a page or a comparison made later need not open it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .plain_json import checked, plain
from .run_dir import DETAILS, write_atomically

SCHEMA = 2
BEST, ENSEMBLE = "best", "ensemble"
"""What was chosen, by its name among the decisions; the others are named as the result's baselines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """What each thing that was examined takes the test images for.

    Attributes:
        image_set: Content hash of the images, in order: two runs with the same one looked at the same images;
            None where the black box does not say.
        classes: Class names by label; empty where they are not known.
        labels: The true label of each image.
        predicted: By name, the label that each image was taken for.
    """

    image_set: str | None
    classes: tuple[str, ...]
    labels: tuple[int, ...]
    predicted: Mapping[str, tuple[int, ...]]

    def hits(self, name: str) -> list[bool] | None:
        """Return whether what has that name classifies each image correctly; None where there is none."""
        found = self.predicted.get(name)
        return None if found is None else [one == true for one, true in zip(found, self.labels, strict=True)]

    def class_name(self, label: int) -> str:
        """Return the name of a class."""
        return self.classes[label] if 0 <= label < len(self.classes) else f"class {label}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A test image on which two decide differently, and one of them rightly.

    Attributes:
        true: Its class.
        before: What the baseline takes it for.
        after: What the best template takes it for.
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
class Ancestor:
    """A template in the line that led to the best one.

    Attributes:
        template: Its text.
        train: Its training accuracy.
        restart: Where it came up first, with ``conversation``, ``round`` and ``source`` as in ``result.Row``.
        shown: Templates that stood in the request which it answers, the best first; at most a few.
        all_shown: How many stood there.
        messages: That request, as role and text; empty where no LLM was asked, or it is not known.
        answer: What was answered.
    """

    template: str
    train: float
    restart: int
    conversation: int
    round: int
    source: str | None = None
    shown: tuple[str, ...] = ()
    all_shown: int = 0
    messages: tuple[tuple[str, str], ...] = ()
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """What selection would have chosen of the first templates.

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
    """What a page about a run shows beyond its result.

    Attributes:
        decisions: What was decided on the test images; None where they stayed sealed or nobody tells.
        baseline: What ``pictures`` compare with, by its name among the baselines.
        pictures: Some of the images that were put right or broken; none of a black box without images.
        lineage: From the best template back to where it came from.
        curve: What would have been chosen earlier, where that was asked for; looked at in the same opening.
    """

    decisions: Decisions | None = None
    baseline: str | None = None
    pictures: tuple[Picture, ...] = ()
    lineage: tuple[Ancestor, ...] = field(default=())
    curve: tuple[Pick, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        return {"schema": SCHEMA, **plain(self)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Details:
        """Return the inverse of ``to_json``.

        Raises:
            ValueError: It is of another schema or shape.
        """
        try:
            if found["schema"] != SCHEMA:
                raise ValueError(f"details of schema {found['schema']!r}, and this program reads {SCHEMA}")
            decided = found["decisions"]
            made = cls(
                decisions=None if decided is None else _decisions(decided),
                baseline=found["baseline"],
                pictures=tuple(Picture(**one) for one in found["pictures"]),
                lineage=tuple(map(_ancestor, found["lineage"])),
                curve=tuple(Pick(**one) for one in found.get("curve", ())),
            )
            return checked(made)
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"no details of a run: {error}") from error


def _decisions(found: Mapping[str, Any]) -> Decisions:
    labels = tuple(map(int, found["labels"]))
    predicted = {str(name): tuple(map(int, one)) for name, one in found["predicted"].items()}
    if any(len(one) != len(labels) for one in predicted.values()):
        raise ValueError("no details of a run: decisions and labels differ in number")
    key = found["image_set"]
    return Decisions(
        image_set=None if key is None else str(key),
        classes=tuple(map(str, found["classes"])),
        labels=labels,
        predicted=predicted,
    )


def _ancestor(found: Mapping[str, Any]) -> Ancestor:
    messages = tuple((str(role), str(text)) for role, text in found["messages"])
    return Ancestor(**{**found, "shown": tuple(found["shown"]), "messages": messages})


def write_details(run_dir: Path, details: Details) -> None:
    """Write the file.

    Raises:
        OSError: It cannot be written.
    """
    text = json.dumps(details.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    write_atomically(run_dir / DETAILS, text + "\n")


def read_details(run_dir: Path) -> Details | None:
    """Return the details of a run; None where an older program wrote none, or they cannot be read."""
    try:
        return Details.from_json(json.loads((run_dir / DETAILS).read_text("utf-8")))
    except (OSError, ValueError, RecursionError):
        return None
