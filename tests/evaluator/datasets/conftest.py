"""Small folders of real image files, and the published split files where they are present."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from PIL import Image

from promptclimb.evaluator.errors import DataError
from tests.paths import ROOT

MakeImages = Callable[[Path, Mapping[str, int]], Path]
PLACES = (os.environ.get("COOP_SPLITS"), ROOT.parent / "shared" / "data" / "coop")


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder of published split files and indices; tests that need it are skipped without it."""
    for folder in PLACES:
        if folder and (Path(folder) / "indices").is_dir():
            return Path(folder)
    pytest.skip("the published split files are not here; name their folder in COOP_SPLITS")


Read = TypeVar("Read")


def unless_refused(read: Callable[[], Read], named: str) -> Read | None:
    """What a reader gives; None where it refuses, which it must do by a DataError that names the place."""
    try:
        return read()
    except DataError as error:
        message = str(error)
    assert named in message
    return None


def save_image(path: Path, number: int) -> None:
    """A small PNG that no other number gives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def stand_in(text: str) -> bytes:
    """A file that begins and ends as a PNG does, and that no other text gives."""
    return b"\x89PNG\r\n\x1a\n" + text.encode() + b"IEND\xaeB`\x82"


@pytest.fixture
def make_images() -> MakeImages:
    """Fills a folder with so many different PNGs a sub-folder."""
    made = 0

    def make(folder: Path, counts: Mapping[str, int]) -> Path:
        nonlocal made
        for name, count in counts.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                made += 1
                save_image(folder / name / f"{number:03d}.png", made)
        return folder

    return make
