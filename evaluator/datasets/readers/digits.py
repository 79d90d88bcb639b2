"""scikit-learn's digits: 1,797 scans of handwritten digits, the test part of UCI's optical recognition set.

Each is 8 x 8 pixels of 0 (paper) to 16 (ink). They are written as 64 x 64 grey PNGs, enlarged by bicubic
interpolation, the right way up, and dark on white as the paper was. 20 % of each digit's scans go to train,
10 % to val and 70 % to test by the fixed-seed rule, so that the test split has well over a thousand.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..sampling import divide
from ..values import Splits
from .folders import read_folder
from .written import written_once

NAME = "digits"
VERSION = "1"
CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIDE = 64
INK = 16.0
VAL_SHARE = 0.1
TEST_SHARE = 0.7


def read() -> Splits:
    """Read the digits, written out if they are not yet in the cache."""
    folder, order = written_once(NAME, VERSION, _write)
    whole = read_folder(folder, name=NAME, order=order)
    items = sorted(whole.train + whole.val + whole.test, key=lambda item: (item.label, item.path))
    train, val, test = divide(items, whole.classes, val=VAL_SHARE, test=TEST_SHARE)
    rule = (
        f"{1 - VAL_SHARE - TEST_SHARE:.0%} of each digit's scans are train, {VAL_SHARE:.0%} val and "
        f"{TEST_SHARE:.0%} test, by a fixed seed; enlarged from 8x8 to {SIDE}x{SIDE}, dark on white"
    )
    return replace(whole, train=train, val=val, test=test, notes=(rule,))


def _write(folder: Path) -> tuple[str, ...]:
    # Imported here: scikit-learn takes a second, and only the first run needs it.
    from sklearn.datasets import load_digits

    found = load_digits()
    for name in CLASSES:
        (folder / name).mkdir()
    for number, (scan, digit) in enumerate(zip(found.images, found.target, strict=True)):
        picture(scan).save(folder / CLASSES[int(digit)] / f"{number:04d}.png")
    return CLASSES


def picture(scan: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Image.Image:
    """Return one scan, [8, 8] of ink from 0 to 16, as a 64 x 64 grey picture, dark on white."""
    paper = np.round(255.0 * (1.0 - scan / INK)).astype(np.uint8)
    return Image.fromarray(paper).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
