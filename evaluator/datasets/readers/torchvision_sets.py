"""Write torchvision's data sets on disk to the cache once, as image files; nothing is downloaded.

Only sets of images, tables or plain arrays: CIFAR's are pickles, and no pickle is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from ...errors import DataError
from ...messages import Setting
from ..values import Splits
from .written import Save, numbered_set

FLAGS: dict[str, dict[str, Any]] = {"train": {"train": True}, "test": {"train": False}}
TRAIN_TEST: dict[str, dict[str, Any]] = {"train": {"split": "train"}, "test": {"split": "test"}}
THREE: dict[str, dict[str, Any]] = {**TRAIN_TEST, "val": {"split": "val"}}
WHOLE: dict[str, dict[str, Any]] = {"": {}}
SPLITS: dict[str, dict[str, dict[str, Any]]] = {
    **dict.fromkeys(("Caltech101", "Caltech256", "EuroSAT", "SUN397"), WHOLE),
    **dict.fromkeys(("FashionMNIST", "KMNIST", "MNIST", "USPS"), FLAGS),
    **dict.fromkeys(("Food101", "GTSRB", "STL10", "SVHN"), TRAIN_TEST),
    **dict.fromkeys(("DTD", "FGVCAircraft", "Flowers102", "RenderedSST2"), THREE),
    "Country211": {**TRAIN_TEST, "val": {"split": "valid"}},
    "Imagenette": {"train": {"split": "train"}, "val": {"split": "val"}},
    "OxfordIIITPet": {"train": {"split": "trainval"}, "test": {"split": "test"}},
}
"""The arguments that give each split."""
PICKLED = ("CIFAR10", "CIFAR100")


def read(name: str, data_root: Path | None) -> Splits:
    """Read one of torchvision's data sets."""
    if name in PICKLED:
        raise DataError(
            f"torchvision:{name} is kept in pickles, which are never opened here; use hf: or class folders"
        )
    if name not in SPLITS:
        raise DataError(
            f"torchvision:{name} is not one of those that can be read: {', '.join(sorted(SPLITS))}"
        )
    if data_root is None:
        raise DataError(
            f"torchvision:{name} needs the folder that torchvision calls root: set ", Setting("data_root")
        )
    splits = {split: _open(name, data_root, arguments) for split, arguments in SPLITS[name].items()}
    version = "-".join(f"{split or 'all'}{len(rows)}" for split, rows in splits.items())
    return numbered_set(name, f"torchvision-{name}", version, _classes(splits), _images(splits))


def _open(name: str, root: Path, arguments: dict[str, Any]) -> Any:
    import torchvision

    try:
        return getattr(torchvision.datasets, name)(root=str(root), download=False, **arguments)
    except (RuntimeError, OSError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(
            f"torchvision:{name} cannot be read from {root} ({type(error).__name__}: {reason}); "
            f"torchvision.datasets.{name}({str(root)!r}, download=True) puts it there, given a network"
        ) from error


def _classes(splits: dict[str, Any]) -> list[str]:
    first = next(iter(splits.values()))
    names = getattr(first, "classes", None) or getattr(first, "categories", None)
    if names:
        return [str(name[0] if isinstance(name, list | tuple) else name) for name in names]
    return [str(label) for label in sorted({int(label) for rows in splits.values() for _, label in rows})]


def _images(splits: dict[str, Any]) -> Iterator[tuple[str, int, Save]]:
    for split, rows in splits.items():
        for image, label in rows:
            yield split, int(label), partial(_save, image)


def _save(image: Image.Image, stem: Path) -> None:
    image.save(stem.with_suffix(".png"))
