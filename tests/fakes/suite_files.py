"""Suite files of small studies, and class folders of small pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w
from PIL import Image

from tests.fakes.black_box import FACTORY

SMALL = {"restarts": 1, "conversations": 1, "rounds": 2, "initial": 5}
STUDY: dict[str, Any] = {
    "title": "small", "data": ["one", "two"], "seeds": [1, 2], "methods": ["random", "combine"],
    "search": {**SMALL, "custom_scorer": FACTORY}, "compare": [{"first": "combine", "second": "random"}],
}  # fmt: skip


def write_suite(**tables: Any) -> str:
    """Write ``small.toml``, with other tables; one that is None is left out."""
    study = {name: table for name, table in {**STUDY, **tables}.items() if table is not None}
    Path("small.toml").write_text(tomli_w.dumps(study))
    return "small.toml"


def pictures(folder: Path, count: int = 6, classes: Sequence[str] = ("cat", "dog")) -> None:
    """Write a data set of small pictures, each of its own colour."""
    folder.mkdir(parents=True, exist_ok=True)
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new("RGB", (8, 8), (90 * label, 20 * number, 7)).save(folder / name / f"{number}.png")
