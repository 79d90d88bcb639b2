"""Write the drawn sets of evaluator.pico and scikit-learn's digits to the cache once, and read them.

The digits are the test part of UCI's optical recognition set: 1,797 scans of 8 x 8 pixels, enlarged to 64 x
64, dark on white. A fixed seed puts 20 % of each digit into train, 10 % into val and 70 % into test.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from ..sampling import divide
from ..values import Splits
from .folders import read_folder
from .written import written_once

# evaluator.pico.sets is imported late: it loads the drawing code.

SOURCES = ("sets.py", "world", "assets")
"""Files that decide the pictures: if one changes, the cache gets a new folder."""
DIGITS = "digits"
DIGITS_VERSION = "1"
DIGIT_CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIDE = 64
INK = 16.0
VAL_SHARE = 0.1
TEST_SHARE = 0.7


def names() -> tuple[str, ...]:
    """Return the names of the drawn sets."""
    from ...pico import sets

    return tuple(sets.names())


def title(name: str) -> str:
    """Return one line on what a drawn set shows."""
    from ...pico import sets

    return str(sets.title(name))


def read(name: str) -> Splits:
    """Read a drawn set, or the digits; write it to the cache first if missing."""
    if name == DIGITS:
        return _read_digits()
    from ...pico import sets

    folder, order = written_once(name, _version(), lambda draft: sets.write(name, draft))
    return read_folder(folder, name=name, order=order)


@cache
def _version() -> str:
    from ...pico.models import ROOM

    digest = hashlib.sha256()
    for source in SOURCES:
        for file in sorted((ROOM / source).rglob("*")) if (ROOM / source).is_dir() else [ROOM / source]:
            if file.is_file() and file.suffix != ".pyc":
                digest.update(file.relative_to(ROOM).as_posix().encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _read_digits() -> Splits:
    folder, order = written_once(DIGITS, DIGITS_VERSION, _write_digits)
    whole = read_folder(folder, name=DIGITS, order=order)
    items = sorted(whole.train + whole.val + whole.test, key=lambda item: (item.label, item.path))
    train, val, test = divide(items, whole.classes, val=VAL_SHARE, test=TEST_SHARE)
    rule = (
        f"{1 - VAL_SHARE - TEST_SHARE:.0%} of each digit's scans are train, {VAL_SHARE:.0%} val and "
        f"{TEST_SHARE:.0%} test, by a fixed seed; enlarged from 8x8 to {SIDE}x{SIDE}, dark on white"
    )
    return replace(whole, train=train, val=val, test=test, notes=(rule,))


def _write_digits(folder: Path) -> tuple[str, ...]:
    # scikit-learn takes a second to import, and only the first run needs it.
    from sklearn.datasets import load_digits

    digits = load_digits()
    for name in DIGIT_CLASSES:
        (folder / name).mkdir()
    for number, (scan, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        digit_picture(scan).save(folder / DIGIT_CLASSES[int(digit)] / f"{number:04d}.png")
    return DIGIT_CLASSES


def digit_picture(scan: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Image.Image:
    """Return a scan, [8, 8] of ink from 0 to 16, as a 64 x 64 grey picture, dark on white."""
    paper = np.round(255.0 * (1.0 - scan / INK)).astype(np.uint8)
    return Image.fromarray(paper).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
