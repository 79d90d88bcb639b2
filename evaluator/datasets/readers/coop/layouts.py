"""Which data set lies where, and which family reads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...values import Splits
from .aircraft import read_aircraft
from .imagenet import read_imagenet
from .missing import not_there
from .split_file import read_split_file

Family = Literal["split file", "aircraft", "imagenet"]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a data set lies.

    Attributes:
        title: What it shows.
        folder: Its folder under the data root.
        images: The folder, in it, that paths in its split file are relative to.
        split: The split file in it; for the other families, the file that is read first.
        family: Which module reads it.
    """

    title: str
    folder: str
    images: str
    split: str
    family: Family = "split file"


ELEVEN: dict[str, Layout] = {
    "imagenet": Layout("1,000 kinds of objects", "imagenet", "images", "classnames.txt", "imagenet"),
    "caltech101": Layout("objects", "caltech-101", "101_ObjectCategories", "split_zhou_Caltech101.json"),
    "oxford_pets": Layout("cats and dogs by breed", "oxford_pets", "images", "split_zhou_OxfordPets.json"),
    "stanford_cars": Layout("cars by model and year", "stanford_cars", "", "split_zhou_StanfordCars.json"),
    "oxford_flowers": Layout("flowers", "oxford_flowers", "jpg", "split_zhou_OxfordFlowers.json"),
    "food101": Layout("dishes", "food-101", "images", "split_zhou_Food101.json"),
    "fgvc_aircraft": Layout("aircraft by variant", "fgvc_aircraft", "images", "variants.txt", "aircraft"),
    "sun397": Layout("scenes", "sun397", "SUN397", "split_zhou_SUN397.json"),
    "dtd": Layout("textures", "dtd", "images", "split_zhou_DescribableTextures.json"),
    "eurosat": Layout("land use from a satellite", "eurosat", "2750", "split_zhou_EuroSAT.json"),
    "ucf101": Layout("human actions, a frame each", "ucf101", "UCF-101-midframes", "split_zhou_UCF101.json"),
}

READERS: dict[Family, Callable[[str, Path, Layout], Splits]] = {
    "split file": lambda name, home, layout: read_split_file(name, home / layout.split, home / layout.images),
    "aircraft": lambda name, home, _layout: read_aircraft(name, home),
    "imagenet": lambda name, home, _layout: read_imagenet(name, home),
}


def read(name: str, data_root: Path | None) -> Splits:
    """Read one of the eleven.

    Args:
        name: A key of ``ELEVEN``.
        data_root: CoOp's ``$DATA``.

    Raises:
        DataError: There is no data root, or something that the data set needs is not where it should be.
    """
    layout = ELEVEN[name]
    if data_root is None:
        raise not_there(name, Path("$DATA") / layout.folder, "set --data-root, or DATA in the environment")
    home = data_root / layout.folder
    if not home.is_dir():
        raise not_there(name, home, f"the data root is {data_root}")
    return READERS[layout.family](name, home, layout)


def read_in_place(folder: Path) -> Splits | None:
    """Read one of the eleven, if a folder is the data set itself, wherever it lies and whatever it is called.

    Returns:
        The data set; None if the folder holds no split file of one of the eleven.

    Raises:
        DataError: It does, but a part is missing or cannot be read.
    """
    home = Path(os.path.abspath(folder))  # noqa: PTH100 - a linked folder stays as the user named it
    for name, layout in ELEVEN.items():
        if layout.family == "split file" and (home / layout.split).is_file():
            return READERS[layout.family](name, home, layout)
    return None
