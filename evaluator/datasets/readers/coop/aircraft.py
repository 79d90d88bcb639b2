"""FGVC-Aircraft's own text files: ``variants.txt`` and ``images_variant_{train,val,test}.txt``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ....errors import DataError
from ...class_names import read_names
from ...paths import inside
from ...values import Item, Splits
from ..text_files import read_text
from .missing import need_file, need_folder, need_images


def read_aircraft(name: str, home: Path) -> Splits:
    """Read the data set in its own form: a label is the line of its variant in ``variants.txt``.

    Args:
        name: What to call it.
        home: Its folder.

    Raises:
        DataError: A file or an image is missing, or a line is not ``NUMBER VARIANT``.
    """
    images = need_folder(name, home / "images")
    classes = read_names(need_file(name, home / "variants.txt"))
    train, val, test = (
        tuple(_items(name, home / f"images_variant_{part}.txt", images, classes))
        for part in ("train", "val", "test")
    )
    need_images(name, [item.path for item in train + val + test], listed_in="images_variant_*.txt")
    return Splits(name=name, classes=classes, train=train, val=val, test=test, root=images, published=True)


def _items(name: str, file: Path, images: Path, classes: tuple[str, ...]) -> Iterator[Item]:
    labels = {variant: label for label, variant in enumerate(classes)}
    text = read_text(need_file(name, file), what="list of images")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        image, _space, variant = line.strip().partition(" ")
        here = f"{file}, line {number}"
        if variant not in labels:
            raise DataError(f"{here}: {variant!r} is not in variants.txt; a line is NUMBER VARIANT")
        yield Item(inside(images, f"{image}.jpg", where=here), labels[variant])
