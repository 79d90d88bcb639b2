"""``opened.json``: what the test split said, image by image, when a run opened it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .plain_json import made, plain
from .run_dir import write_atomically

OPENED = "opened.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Templates together on the test images.

    Attributes:
        templates: Their texts.
        test: Share of the test images that are correctly classified; None where it was not measured.
        hits: A digit for each test image, 1 where it is correctly classified; None where the black box does
            not tell.
    """

    templates: tuple[str, ...]
    test: float | None
    hits: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """What selection would have chosen of the first templates.

    Attributes:
        after: How many templates were scored by then.
        template: The choice.
        test: Its accuracy on test.
    """

    after: int
    template: str
    test: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """All that a run looked at on test, in the one opening after its choice.

    Attributes:
        best: The template that it chose.
        ensemble: The templates that it chose together.
        baselines: What they are compared with, by name.
        curve: What it would have chosen earlier.
    """

    best: Seen
    ensemble: Seen
    baselines: Mapping[str, Seen] = field(default_factory=dict)
    curve: tuple[Pick, ...] = ()


def digits(hits: Sequence[bool] | None) -> str | None:
    """Return decisions as the file has them."""
    return None if hits is None else "".join("1" if hit else "0" for hit in hits)


def write_opened(run_dir: Path, document: Mapping[str, Any]) -> None:
    """Write what was seen, as JSON values, beside a run's result.

    Raises:
        OSError: It cannot be written.
    """
    write_atomically(run_dir / OPENED, json.dumps(document, ensure_ascii=False) + "\n")


def read_opened(run_dir: Path) -> Opened | None:
    """Return what a run saw; None where it left nothing that can be read."""
    try:
        found = json.loads((run_dir / OPENED).read_text("utf-8"))
        return Opened(
            best=_seen(found["best"]),
            ensemble=_seen(found["ensemble"]),
            baselines={name: _seen(one) for name, one in found["baselines"].items()},
            curve=tuple(made(Pick, one) for one in found["curve"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def to_json(opened: Opened) -> dict[str, Any]:
    """Return the document of the file."""
    document: dict[str, Any] = plain(opened)
    return document


def _seen(found: Mapping[str, Any]) -> Seen:
    seen = made(Seen, {**found, "templates": tuple(found["templates"])})
    if seen.hits is not None and set(seen.hits) - {"0", "1"}:
        raise ValueError("a decision is 0 or 1")
    return seen
