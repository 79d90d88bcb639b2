"""Write the bundled sets and scikit-learn's digits to the cache once, and read them.

The bundled sets lie in the package as an archive each, of pictures compressed without loss.
The digits are the test part of UCI's optical recognition set: 1,797 scans of 8 x 8 pixels, enlarged to 64 x
64, dark on white. A fixed seed puts 20 % of each digit into train, 10 % into val and 70 % into test.
"""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ...pico.models import ROOM
from ..sampling import divide
from ..values import Splits
from .folders import read_folder
from .written import written_once

ARCHIVES = ROOM / "sets"
TITLES = {
    "braille-letters": "letters in Braille",
    "backgrounds": "coloured things, named by the colour behind them",
    "photos": "drawn things that resemble photographs",
    "chinese-names": "animals and things by their Chinese names",
}
"""The sets in the package, each with what its pictures show."""
DRAWINGS = {"photos": 20, "chinese-names": 16}
"""Drawings that the test images of a set show, where each class has a few alone."""
VERSION = "1"
"""Raise it if an archive changes: the cache gets a new folder."""
DIGITS = "digits"
DIGITS_VERSION = "1"
DIGIT_CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIDE = 64
INK = 16.0
VAL_SHARE = 0.1
TEST_SHARE = 0.7


def read(name: str) -> Splits:
    """Read a bundled set, or the digits; write it to the cache first if missing."""
    if name == DIGITS:
        return _read_digits()
    folder, order = written_once(name, VERSION, lambda draft: _unpack(ARCHIVES / f"{name}.zip", draft))
    splits = read_folder(folder, name=name, order=order)
    return replace(splits, notes=(*splits.notes, *_few_drawings(name)))


def _few_drawings(name: str) -> tuple[str, ...]:
    if name not in DRAWINGS:
        return ()
    return (
        f"the test images show only {DRAWINGS[name]} drawings, each pasted onto many grounds; intervals take "
        "every image for independent, so here they are too narrow",
    )


def _unpack(archive: Path, folder: Path) -> None:
    """Write an archive's pictures as PNG files, which every image library opens."""
    with zipfile.ZipFile(archive) as pictures:
        for member in pictures.namelist():
            file = (folder / member).with_suffix(".png")
            file.parent.mkdir(parents=True, exist_ok=True)
            with pictures.open(member) as picture:
                Image.open(picture).save(file, compress_level=1)


def _read_digits() -> Splits:
    folder, order = written_once(DIGITS, DIGITS_VERSION, _write_digits)
    digits = read_folder(folder, name=DIGITS, order=order)
    items = sorted(digits.train + digits.val + digits.test, key=lambda item: (item.label, item.path))
    train, val, test = divide(items, val=VAL_SHARE, test=TEST_SHARE)
    rule = (
        f"{1 - VAL_SHARE - TEST_SHARE:.0%} of each digit's scans are train, {VAL_SHARE:.0%} val and "
        f"{TEST_SHARE:.0%} test, by a fixed seed; enlarged from 8x8 to {SIDE}x{SIDE}, dark on white"
    )
    return replace(digits, train=train, val=val, test=test, notes=(rule,))


def _write_digits(folder: Path) -> tuple[str, ...]:
    # scikit-learn takes a second to import, and only the first run needs it.
    from sklearn.datasets import load_digits

    digits = load_digits()
    for name in DIGIT_CLASSES:
        (folder / name).mkdir()
    for number, (scan, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        paper = Image.fromarray(
            np.round(255.0 * (1.0 - scan / INK)).astype(np.uint8)
        )  # [8, 8], dark on white
        picture = paper.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        picture.save(folder / DIGIT_CLASSES[int(digit)] / f"{number:04d}.png")
    return DIGIT_CLASSES
