"""Read the paper's eleven data sets, laid out under ``$DATA`` as in CoOp's instructions.

Most have a split file ``{"train": [[path, label, class name], ...], "val": [...], "test": [...]}``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...errors import DataError
from ...files import inside, parse_json, read_text
from ..class_names import read_names, tidy
from ..values import Item, Splits
from .folders import list_classes

INSTRUCTIONS = "https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md"
SPLITS = ("train", "val", "test")
MAX_CLASSES = 100_000
"""Upper limit for labels: more class texts do not fit into memory."""
IMAGENET_SPLIT_FILE = "split_ImageNet.json"
IMAGENET_NOTES = (
    "images/val is the test split, as in CoOp; there is no val split, so templates are chosen on the "
    f"training shots alone ({IMAGENET_SPLIT_FILE} of cross_modal_adaptation, put beside classnames.txt, "
    "brings one)",
)
LayoutFamily = Literal["split file", "aircraft", "imagenet"]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a data set lies."""

    title: str
    folder: str
    images: str  # folder that the split file's paths are relative to
    split: str  # the split file; for other families, the file that is read first
    family: LayoutFamily = "split file"


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


def read(name: str, data_root: Path | None) -> Splits:
    """Read one of the eleven."""
    layout = ELEVEN[name]
    if data_root is None:
        hint = "set `data_root`, or DATA in the environment"
        raise not_there(name, Path("$DATA") / layout.folder, hint)
    home = data_root / layout.folder
    if not home.is_dir():
        raise not_there(name, home, f"the data root is {data_root}")
    if layout.family == "aircraft":
        return read_aircraft(name, home)
    if layout.family == "imagenet":
        return read_imagenet(name, home)
    return read_split_file(name, home / layout.split, home / layout.images)


def read_in_place(folder: Path) -> Splits | None:
    """Read one of the eleven if the folder holds its split file; else return None."""
    home = Path(os.path.abspath(folder))  # noqa: PTH100 - a linked folder stays as the user named it
    for name, layout in ELEVEN.items():
        if layout.family == "split file" and (home / layout.split).is_file():
            return read_split_file(name, home / layout.split, home / layout.images)
    return None


def not_there(name: str, path: Path, hint: str = "") -> DataError:
    """Return the error for a missing file or folder, with where to get it."""
    return DataError(
        f"{name}: {path} is not there{f' ({hint})' if hint else ''}; CoOp's instructions say how to get it "
        f"and where to put it: {INSTRUCTIONS}"
    )


def need(name: str, path: Path) -> Path:
    """Return the path, or raise DataError if nothing is there."""
    if not path.exists():
        raise not_there(name, path)
    return path


def need_images(name: str, paths: list[Path], *, listed_in: str) -> None:
    """Raise DataError if listed images are not on disk."""
    if missing := [path for path in paths if not path.is_file()]:
        hint = f"{len(missing)} of the {len(paths)} images that {listed_in} names are missing"
        raise not_there(name, missing[0], hint)


def read_split_file(name: str, split: Path, images: Path) -> Splits:
    """Read a data set with one JSON split file."""
    text = read_text(need(name, split), what="split file")
    need(name, images)
    (train, val, test), classes = parse_split(text, root=images, where=str(split))
    need_images(name, [item.path for item in train + val + test], listed_in=split.name)
    return Splits(name=name, classes=classes, train=train, val=val, test=test, root=images, published=True)


def parse_split(text: str, *, root: Path, where: str) -> tuple[tuple[tuple[Item, ...], ...], tuple[str, ...]]:
    """Return a split file's three lists of items, and the class names by label."""
    document = parse_json(text, where=where)
    if not isinstance(document, dict) or not all(isinstance(document.get(split), list) for split in SPLITS):
        raise DataError(f'{where} must be {{"train": [...], "val": [...], "test": [...]}}')
    names: dict[int, str] = {}
    splits = tuple(tuple(_items(document[split], root, f"{where}, {split}", names)) for split in SPLITS)
    trained = {item.label for item in splits[0]}
    if gaps := [label for label in range(max(names, default=-1) + 1) if label not in trained]:
        raise DataError(f"{where}: label {gaps[0]} has no training image ({len(gaps)} such labels)")
    return splits, tuple(tidy(names[label], where=where) for label in range(len(names)))


def _items(entries: list[Any], root: Path, where: str, names: dict[int, str]) -> Iterator[Item]:
    for number, entry in enumerate(entries):
        entry_where = f"{where}[{number}]"
        match entry:
            case [str(path), label, str(name)]:
                pass
            case _:
                raise DataError(f"{entry_where} must be [path, label, class name]")
        if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < MAX_CLASSES:
            raise DataError(f"{entry_where}: label {label!r} is out of range; labels are 0, 1, 2, ...")
        if names.setdefault(label, name) != name:
            raise DataError(f"{entry_where}: label {label} is called {names[label]!r} and {name!r}")
        yield Item(inside(root, path, where=entry_where), label)


def read_aircraft(name: str, home: Path) -> Splits:
    """Read FGVC-Aircraft: ``images_variant_{train,val,test}.txt``; a label is a line of ``variants.txt``."""
    images = need(name, home / "images")
    classes = read_names(need(name, home / "variants.txt"))
    train, val, test = (
        tuple(_aircraft_items(name, home / f"images_variant_{split}.txt", images, classes))
        for split in SPLITS
    )
    need_images(name, [item.path for item in train + val + test], listed_in="images_variant_*.txt")
    return Splits(name=name, classes=classes, train=train, val=val, test=test, root=images, published=True)


def _aircraft_items(name: str, file: Path, images: Path, classes: tuple[str, ...]) -> Iterator[Item]:
    labels = {variant: label for label, variant in enumerate(classes)}
    text = read_text(need(name, file), what="list of images")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        image, _space, variant = line.strip().partition(" ")
        here = f"{file}, line {number}"
        if variant not in labels:
            raise DataError(f"{here}: {variant!r} is not in variants.txt; a line is NUMBER VARIANT")
        yield Item(inside(images, f"{image}.jpg", where=here), labels[variant])


def read_imagenet(name: str, home: Path) -> Splits:
    """Read ImageNet by its split file, else by folders named in ``classnames.txt``; ``val`` is test."""
    images = need(name, home / "images")
    if (home / IMAGENET_SPLIT_FILE).is_file():
        return read_split_file(name, home / IMAGENET_SPLIT_FILE, images)
    names = read_class_names(need(name, home / "classnames.txt"))
    train = list_classes(need(name, images / "train")).images
    test = list_classes(need(name, images / "val")).images
    folders = sorted(train)
    if strangers := sorted((set(folders) | set(test)) - set(names)):
        raise DataError(f"{home / 'classnames.txt'} has no name for the folder {strangers[0]}")
    if unseen := sorted(set(test) - set(folders)):
        raise DataError(f"{images / 'train' / unseen[0]} has no images, but {images / 'val' / unseen[0]} has")

    def items(images: dict[str, list[Path]]) -> tuple[Item, ...]:
        return tuple(
            Item(path, label) for label, folder in enumerate(folders) for path in images.get(folder, ())
        )

    return Splits(
        name=name,
        classes=tuple(tidy(names[folder], where=home / "classnames.txt") for folder in folders),
        train=items(train),
        val=(),
        test=items(test),
        root=images,
        notes=IMAGENET_NOTES,
        published=True,
    )


def read_class_names(file: Path) -> dict[str, str]:
    """Read class names by folder, from lines of ``FOLDER NAME``."""
    names: dict[str, str] = {}
    for number, line in enumerate(read_text(file, what="class names file").split("\n"), start=1):
        folder, _space, class_name = line.strip().partition(" ")
        if folder and not class_name.strip():
            raise DataError(f"{file}, line {number}: expected FOLDER NAME, found {line!r}")
        if folder:
            names[folder] = class_name
    return names
