"""ImageNet: ``images/train``, ``images/val`` (the test split, as everywhere) and ``classnames.txt``."""

from __future__ import annotations

from pathlib import Path

from ....errors import DataError
from ...class_names import tidy
from ...values import Item, Splits
from ..class_folders import list_classes
from ..text_files import read_text
from .missing import need_file, need_folder
from .split_file import read_split_file

SPLIT_FILE = "split_ImageNet.json"
NOTES = (
    "images/val is the test split, as in CoOp; there is no val split, so templates are chosen on the "
    f"training shots alone ({SPLIT_FILE} of cross_modal_adaptation, put beside classnames.txt, brings one)",
)


def read_imagenet(name: str, home: Path) -> Splits:
    """Read ImageNet, by its published split file where there is one, else by its folders.

    Args:
        name: What to call it.
        home: Its folder.

    Raises:
        DataError: A file or folder is missing, or a folder has no name in ``classnames.txt``.
    """
    images = need_folder(name, home / "images")
    if (home / SPLIT_FILE).is_file():
        return read_split_file(name, home / SPLIT_FILE, images)
    names = read_class_names(need_file(name, home / "classnames.txt"))
    train_list = list_classes(need_folder(name, images / "train")).images
    test_list = list_classes(need_folder(name, images / "val")).images
    folders = sorted(train_list)
    if strangers := sorted((set(folders) | set(test_list)) - set(names)):
        raise DataError(f"{home / 'classnames.txt'} has no name for the folder {strangers[0]}")
    if unseen := sorted(set(test_list) - set(folders)):
        raise DataError(f"{images / 'train' / unseen[0]} has no images, but {images / 'val' / unseen[0]} has")
    return Splits(
        name=name,
        classes=tuple(tidy(names[folder], where=home / "classnames.txt") for folder in folders),
        train=_items(folders, train_list),
        val=(),
        test=_items(folders, test_list),
        root=images,
        notes=NOTES,
        published=True,
    )


def read_class_names(file: Path) -> dict[str, str]:
    """Read class names by folder, from lines of ``FOLDER NAME``.

    Raises:
        DataError: A line has no name.
    """
    names: dict[str, str] = {}
    for number, line in enumerate(read_text(file, what="class names file").split("\n"), start=1):
        folder, _space, class_name = line.strip().partition(" ")
        if folder and not class_name.strip():
            raise DataError(f"{file}, line {number}: expected FOLDER NAME, found {line!r}")
        if folder:
            names[folder] = class_name
    return names


def _items(folders: list[str], found: dict[str, list[Path]]) -> tuple[Item, ...]:
    return tuple(Item(path, label) for label, folder in enumerate(folders) for path in found.get(folder, ()))
