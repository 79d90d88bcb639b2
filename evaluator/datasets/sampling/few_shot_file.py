"""Few-shot indices that the user brings, in the form in which they were published.

``{"train": {"data": [{"impath", "label", "classname"}, ...], "indices": [...]}, "val": {...}}``: ``indices``
are places in the whole training (validation) list, ``data`` repeats what lies there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ...counts import counted
from ...errors import DataError
from ..readers.text_files import parse_json, read_bytes, read_text
from ..values import Item, Splits

FORM = '{"train": {"data": [{"impath": ..., "label": ...}, ...], "indices": [...]}, "val": {...}}'
PICKLE_SUFFIXES = frozenset({".pkl", ".pickle", ".p"})
HOW_TO_CONVERT = (
    "a pickle can run any code when it is opened, so none is read here. The same shots follow from --shots "
    "and --seed without a file; to bring others, write JSON where you trust the pickle: "
    """python -c "import json,pickle,sys; d=pickle.load(open(sys.argv[1],'rb')); """
    """json.dump({k:{'data':[{'impath':i.impath,'label':i.label,'classname':i.classname} for i in v]} """
    """for k,v in d.items()}, open('shots.json','w'))" FILE.pkl"""
)


def read_few_shot_file(file: Path, splits: Splits) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Read the few-shot training and validation items that a file names.

    Args:
        file: A JSON file of the published form; ``indices`` and ``val`` may be left out.
        splits: The data set that they are drawn from.

    Raises:
        DataError: The file is a pickle, not of the form above, or names images that the data set lacks.
    """
    file = file.expanduser()
    if file.suffix.lower() in PICKLE_SUFFIXES or read_bytes(file, what="few-shot file")[:1] == b"\x80":
        raise DataError(f"{file} is a pickle; {HOW_TO_CONVERT}")
    found = parse_json(read_text(file, what="few-shot file"), where=str(file))
    if not isinstance(found, dict) or "train" not in found:
        raise DataError(f"{file} must be {FORM}")
    train = tuple(_items(found["train"], splits.train, f"{file}, train"))
    val = tuple(_items(found.get("val", {"data": []}), splits.val, f"{file}, val"))
    if missing := set(range(len(splits.classes))) - {item.label for item in train}:
        name = splits.classes[min(missing)]
        such = counted(len(missing), "such class", "such classes")
        raise DataError(f"{file} has no training image of {name!r} ({such})")
    return train, val


def _items(found: Any, pool: Sequence[Item], where: str) -> Iterator[Item]:
    data = found.get("data") if isinstance(found, dict) else None
    indices = found.get("indices") if isinstance(found, dict) else None
    if not isinstance(data, list) or (indices is not None and not isinstance(indices, list)):
        raise DataError(f"{where}: expected {FORM}")
    if indices is not None and len(indices) != len(data):
        raise DataError(f"{where} has {len(data)} items but {len(indices)} indices")
    by_name: dict[str, list[Item]] = {}
    for item in pool:
        by_name.setdefault(item.path.name, []).append(item)
    for number, entry in enumerate(data):
        here = f"{where}[{number}]"
        path, label = _entry(entry, here)
        if indices is not None:
            yield _at(indices[number], pool, path, label, here)
        else:
            yield _find(by_name, path, label, here)


def _entry(entry: Any, here: str) -> tuple[PurePosixPath, int]:
    path = entry.get("impath") if isinstance(entry, dict) else None
    label = entry.get("label") if isinstance(entry, dict) else None
    if not isinstance(path, str) or not isinstance(label, int) or isinstance(label, bool):
        raise DataError(f"{here}: expected {FORM}")
    return PurePosixPath(path.replace("\\", "/")), label


def _at(index: Any, pool: Sequence[Item], path: PurePosixPath, label: int, here: str) -> Item:
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(pool):
        raise DataError(f"{here}: index {index!r} is out of range: there are {len(pool)} images to draw from")
    item = pool[index]
    if item.path.name != path.name or item.label != label:
        raise DataError(
            f"{here} is {path} with label {label}, but at {index} the data set has {item.path} with label "
            f"{item.label}; the file belongs to another data set or split"
        )
    return item


def _find(by_name: dict[str, list[Item]], path: PurePosixPath, label: int, here: str) -> Item:
    matching = [item for item in by_name.get(path.name, ()) if item.label == label]
    if not matching:
        raise DataError(f"{here}: the data set has no image {path.name!r} with label {label} to draw from")
    return max(matching, key=lambda item: _shared_end(item.path.parts, path.parts))


def _shared_end(left: Sequence[str], right: Sequence[str]) -> int:
    count = 0
    for one, other in zip(reversed(left), reversed(right), strict=False):
        if one != other:
            break
        count += 1
    return count
