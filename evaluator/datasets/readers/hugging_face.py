"""Read Hugging Face data sets: saved to disk, parquet, image folders, or hub names (extra ``hf``).

No code of a data set is run. The images are written to the cache once, byte for byte if encoded. A row may
name a file instead, which must lie beside the data, or in the library's caches for a set from the hub.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, UnidentifiedImageError

from ...counts import how_to_install
from ...errors import DataError, reason_of
from ...files import cache_dir, inside, read_bytes, user_path
from ...network import hub_address, hub_offline, reachable
from ..pictures import readable_formats
from ..values import Splits
from .written import Save, numbered_set

if TYPE_CHECKING:
    import datasets

SPLIT_NAMES = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}
SAVED = ("dataset_dict.json", "state.json")
LABEL_COLUMNS = ("label", "labels", "fine_label", "class")


def read(raw: str, _data_root: Path | None) -> Splits:
    """Read a data set in one of Hugging Face's forms."""
    try:
        import datasets
        import huggingface_hub.constants
    except ImportError as error:
        raise DataError(f"hf: data needs an extra: {how_to_install('hf')}") from error
    path = user_path(raw, "`data`", follow_links=False)
    splits = _splits(raw, _open(raw, path, datasets))
    first = next(iter(splits.values()))
    image, label = _columns(raw, first, datasets)
    classes = _classes(first, label, splits)
    # The files that rows name must lie here; the library resolves links.
    roots = _cache(), Path(huggingface_hub.constants.HF_HUB_CACHE).absolute()
    if path.exists():
        folder = path.parent if path.is_file() else path
        roots = folder, folder.resolve()
    images = _images(splits, image, label, classes, roots, datasets)
    fingerprint = "/".join(f"{split}:{rows._fingerprint}" for split, rows in sorted(splits.items()))
    version = hashlib.sha256(fingerprint.encode()).hexdigest()[:16]
    name = Path(raw.partition(":")[0]).stem if Path(raw).exists() else raw
    slug = "".join(character if character.isalnum() else "-" for character in name)[:60]
    return numbered_set(name, f"hf-{slug}", version, classes, images)


def _open(raw: str, path: Path, datasets: Any) -> Any:
    cache = {"cache_dir": str(_cache())}
    try:
        if any((path / marker).is_file() for marker in SAVED):
            return datasets.load_from_disk(str(path))
        if path.is_file():
            return datasets.load_dataset("parquet", data_files=str(path), **cache)
        if path.is_dir():
            form = "parquet" if any(path.rglob("*.parquet")) else "imagefolder"
            return datasets.load_dataset(form, data_dir=str(path), **cache)
        _check_network(raw)
        name, _colon, configuration = raw.partition(":")
        return datasets.load_dataset(name, configuration or None, **cache)
    except DataError:
        raise
    except Exception as error:  # the library also raises errors of fsspec, pyarrow and the network
        raise DataError(
            f"hf:{raw} cannot be opened ({reason_of(error)}); give a folder that save_to_disk "
            "wrote, parquet files, an image folder, or a hub name where there is a network"
        ) from error


def _cache() -> Path:
    return cache_dir() / "hugging-face"


def _check_network(raw: str) -> None:
    host, port = hub_address()
    if not hub_offline() and not reachable(host, port):
        raise DataError(
            f"hf:{raw} is not a file or folder here, and {host} cannot be reached; with HF_HUB_OFFLINE=1 "
            "what lies in the hub's cache is used"
        )


def _splits(raw: str, opened: Any) -> dict[str, Any]:
    """Return the rows of each split; of "" if they have no splits."""
    if not isinstance(opened, Mapping):
        return {"": opened}
    splits = {SPLIT_NAMES[name]: rows for name, rows in opened.items() if name in SPLIT_NAMES}
    if not splits and len(opened) == 1:
        return {"": next(iter(opened.values()))}
    if "train" not in splits:
        raise DataError(f"hf:{raw} has no train split (it has {', '.join(map(str, opened))})")
    return {"": splits["train"]} if len(splits) == 1 else splits


def _columns(raw: str, rows: datasets.Dataset, datasets: Any) -> tuple[str, str]:
    features = rows.features
    image = next((name for name, kind in features.items() if isinstance(kind, datasets.Image)), None)
    labels = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    labels += [name for name in LABEL_COLUMNS if isinstance(features.get(name), datasets.Value)]
    if image is None or not labels:
        lacking = "image column" if image is None else "label column (a ClassLabel, or one called label)"
        raise DataError(f"hf:{raw} has no {lacking}; its columns are {', '.join(features)}")
    return image, labels[0]


def _classes(first: Any, label: str, splits: Mapping[str, Any]) -> list[str]:
    names = getattr(first.features[label], "names", None)
    if names:
        return [str(name) for name in names]
    values = {value for rows in splits.values() for value in rows.unique(label)}
    if None in values:
        raise _unlabelled(label)
    return [str(value) for value in sorted(values)]


def _images(
    splits: Mapping[str, Any],
    image: str,
    label: str,
    classes: list[str],
    roots: Sequence[Path],
    datasets: Any,
) -> Iterator[tuple[str, int, Save]]:
    labels = {name: index for index, name in enumerate(classes)}
    for split, rows in splits.items():
        is_index = getattr(rows.features[label], "names", None) is not None
        for row in rows.cast_column(image, datasets.Image(decode=False)):
            if (value := row[label]) is None:
                raise _unlabelled(label)
            yield split, int(value) if is_index else labels[str(value)], partial(_save, row[image], roots)


def _unlabelled(label: str) -> DataError:
    return DataError(f"the column {label} has rows without a label")


def _save(encoded: Mapping[str, Any] | None, roots: Sequence[Path], stem: Path) -> None:
    where = f"row {int(stem.name)} of the data set"
    if not encoded or (not encoded.get("bytes") and encoded.get("path") is None):
        raise DataError(f"{where} has no image")
    content = encoded.get("bytes") or read_bytes(_file(str(encoded["path"]), roots, where), what="image")
    try:
        with Image.open(io.BytesIO(content), formats=readable_formats()) as image:
            suffix = f".{(image.format or 'png').lower()}"
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{where} holds no image that can be read") from error
    stem.with_suffix({".jpeg": ".jpg"}.get(suffix, suffix)).write_bytes(content)


def _file(path: str, roots: Sequence[Path], where: str) -> Path:
    """Return the file that a row names, which must lie under one of the roots."""
    for root in roots:
        with suppress(DataError, OSError, RuntimeError):  # elsewhere, or a circle of links
            file = inside(root, path, where=where)
            # A link in a received folder may lead to any file of the user's.
            if any(file.resolve().is_relative_to(allowed.resolve()) for allowed in roots):
                return file
    file = inside(roots[-1], path, where=where)
    raise DataError(f"{where}: {file} is a link that leads out of {roots[-1]}; put the image there itself")
