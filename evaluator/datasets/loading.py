"""Load the few-shot problem that a name or a path means."""

from __future__ import annotations

import importlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast

from ..counts import counted
from ..errors import DataError
from ..files import folders_beside, seen_files, user_path
from ..pico.models import NAMES, toy_model_note
from ..settings import near
from ..spec import BUNDLED_WEIGHTS, EvaluatorSpec, parse_columns
from .checks import check, check_leaks, check_odd, check_repeats, check_whole
from .class_names import OPENAI, SPLIT, read_names_file, rename
from .readers import bundled, coop
from .readers.folders import LAYOUT_HELP, TABLE_SUFFIXES, entries_of, holds_runs, read_folder, walk
from .readers.tables import read_table
from .sampling import default_shots, draw, part_of_test
from .values import FEW_TEST_IMAGES, FewShotData, HeldOutTest, Item, Splits

SourceKind = Literal["bundled", "scans", "coop"]

MOST_FILES = 10_000
"""Images whose names are kept."""
CHECKS = 8
"""Raise it with every change of the file checks or their messages."""
SCHEMES: Mapping[str, str] = MappingProxyType(
    {
        "hf": "hugging_face",
        "torchvision": "torchvision_sets",
    }
)
"""For data named ``SCHEME:REST``: modules in ``readers`` with ``read(rest, data_root)``."""

_TABLES = ", ".join(TABLE_SUFFIXES)


@dataclass(frozen=True, slots=True)
class Known:
    """A data set that has a name."""

    name: str
    kind: SourceKind  # ``bundled``, ``scans`` (from scikit-learn) or ``coop`` (under the data root)
    title: str
    where: str = ""  # the folder under the data root


@cache
def known() -> tuple[Known, ...]:
    """Return every data set that has a name, those without files first."""
    return (
        *(Known(name, "bundled", title) for name, title in bundled.TITLES.items()),
        Known(bundled.DIGITS, "scans", "handwritten digits, 1,797 real scans (scikit-learn)"),
        *(Known(name, "coop", layout.title, layout.folder) for name, layout in coop.ELEVEN.items()),
    )


def toy_model_notes(spec: EvaluatorSpec) -> tuple[str, ...]:
    """Return a warning if a bundled toy model scores other images than the bundled ones."""
    ours = {*bundled.TITLES, bundled.DIGITS}
    toy = spec.is_clip and spec.model in NAMES and spec.pretrained == BUNDLED_WEIGHTS
    return (toy_model_note(spec.model),) if toy and spec.data not in ours else ()


def data_root_or_default(data_root: Path | None) -> Path | None:
    """Return the data root given, else the environment's DATA, else None; absolute, links not resolved."""
    if data_root is not None:
        return user_path(data_root, "`data_root`", follow_links=False)
    from_environment = os.environ.get("DATA")
    return user_path(from_environment, "DATA", follow_links=False) if from_environment else None


def load_data(spec: EvaluatorSpec, *, needs_train: bool = True) -> FewShotData:
    """Read a data set, draw its few-shot sample, and check both; needs no torch.

    With ``needs_train``, a set of test images alone is refused unless ``shots`` is 0.

    Raises:
        DataError: The data make a score meaningless or impossible.
        ConfigError: A path is invalid.
    """
    root = data_root_or_default(spec.data_root)
    if spec.columns is not None and not spec.data.lower().endswith(TABLE_SUFFIXES):
        raise DataError(
            f'`columns` describes a table ({_TABLES}), and `data = "{spec.data}"` is not one',
        )
    try:
        read = _without_labels(spec) or read_splits(
            spec.data, data_root=root, class_names=spec.class_names, columns=spec.columns
        )
    except OSError as error:  # such as a forbidden link
        where = spec.data if error.filename is None else f"{spec.data}: {error.filename}"
        raise DataError(f"{where} cannot be read: {error.strerror or error}") from error
    splits = rename(read, spec.class_names)
    if spec.shots == 0:
        splits = replace(splits, train=(), val=())
    has_shots = spec.shots != 0
    notes = list(check(splits, needs_train=needs_train and has_shots, needs_test=has_shots))
    items = (*splits.train, *splits.val, *splits.test)
    if spec.test_images is not None and spec.test_images < len(splits.test):
        test = part_of_test(splits.test, images=spec.test_images, seed=spec.seed)
        notes.append(
            f"using {len(test):,} of {len(splits.test):,} test images, drawn from each class in proportion"
        )
        splits = replace(splits, test=test)
    if 0 < (size := len(splits.test)) < FEW_TEST_IMAGES:
        notes.append(
            f"there {'is' if size == 1 else 'are'} only {counted(size, 'test image')}, where even a large "
            f"gain may be chance; take {FEW_TEST_IMAGES} or more test images"
        )
    shots, shots_line = (spec.shots, None) if spec.shots is not None else default_shots(splits)
    train, val = draw(splits, shots=shots, seed=spec.seed)
    notes.extend(_check_files(spec, train + val, splits))
    files, labelled = (
        tuple(sorted(os.path.relpath(item.path, splits.root) for item in of)) if len(of) <= MOST_FILES else ()
        for of in (items, (*train, *val))
    )
    return FewShotData(
        name=splits.name,
        classes=splits.classes,
        train=train,
        val=val,
        test=HeldOutTest(splits.test),
        shots=shots,
        seed=spec.seed,
        sources=splits.sources,
        files=files,
        labelled_files=labelled,
        notes=(*splits.notes, *notes),
        chosen=() if shots_line is None else (shots_line,),
    )


def check_data_name(spec: EvaluatorSpec) -> None:
    """Raise DataError if the name given for a data set is also that of a folder of images here.

    For what a user has just given. A run that is resumed keeps its data set, whatever lies here by now.
    """
    if spec.custom_scorer is None and "data" in spec.model_fields_set and _folder_of_that_name(spec.data):
        raise DataError(
            f"{spec.data} is a data set of that name and a folder here: write ./{spec.data} for the folder, "
            "or run elsewhere for the data set"
        )


def check_data_exist(spec: EvaluatorSpec) -> None:
    """Raise DataError if no data set has the name, and nothing lies at the path; reads nothing."""
    is_named = any(source.name == spec.data for source in known()) or spec.data.partition(":")[0] in SCHEMES
    if spec.custom_scorer is None and not is_named:
        _path_of(spec.data, data_root_or_default(spec.data_root))


def _folder_of_that_name(data: str) -> bool:
    """Return whether a folder of images here has the name of a data set; a run's folder has no images."""
    if "/" in data or all(source.name != data for source in known()) or not Path(data).is_dir():
        return False
    try:
        return not holds_runs(Path(data)) and next(walk(Path(data), Counter()), None) is not None
    except (DataError, OSError):  # it cannot be read
        return False


def _check_files(spec: EvaluatorSpec, shots: Sequence[Item], splits: Splits) -> list[str]:
    skip = spec.on_bad_image == "skip"

    # Labelled images that are left out are noted when they are encoded, which test images may never be.
    read = (splits.test, "test images") if skip else ((*shots, *splits.test), "labelled and test images")

    def check_all() -> list[str]:
        return [
            *check_repeats(shots, splits.classes),
            *check_whole(*read, skip=skip),
            *check_odd((*shots, *splits.test)),
            *check_leaks(shots, splits.test, allow=spec.allow_leak),
        ]

    # Test labels decide nothing here.
    decides = (CHECKS, skip, spec.allow_leak, splits.classes, [item.label for item in shots])
    paths = [item.path for item in (*shots, *splits.test)]
    return seen_files(spec.cache_dir).known(repr(decides), paths, check_all)


def _without_labels(spec: EvaluatorSpec) -> Splits | None:
    """Return a folder without class folders as a set of the classes in a file; None if it has some."""
    if spec.shots != 0 or spec.class_names in (None, OPENAI, SPLIT):
        return None
    folder = user_path(spec.data, "`data`", follow_links=False)
    if not folder.is_dir():
        return None
    if any(entry.is_dir() and not holds_runs(Path(entry.path)) for entry in entries_of(folder)):
        return None
    names = read_names_file(user_path(str(spec.class_names), "`class_names`"))
    if isinstance(names, Mapping):
        raise DataError(f"{spec.class_names} names folders, and {folder} has none; write one name a line")
    return Splits(name=folder.name, classes=names, train=(), val=(), test=(), root=folder)


def read_splits(
    name_or_path: str,
    *,
    data_root: Path | None,
    class_names: str | None = None,
    columns: str | None = None,
) -> Splits:
    """Read the whole data set that a name or a path means.

    Args:
        name_or_path: A name of ``known()``, a folder of class folders, a CSV, TSV or JSON-lines table,
            ``hf:NAME_OR_FOLDER`` or ``torchvision:NAME``.
        data_root: Where named sets of kind ``coop`` and torchvision's lie.
        class_names: File of names that a table's numeric labels stand for.
        columns: A table's columns, as ``parse_columns`` reads them.
    """
    scheme, _colon, name_in_scheme = name_or_path.partition(":")
    if name_or_path in coop.ELEVEN:
        return coop.read(name_or_path, data_root)
    if name_or_path == bundled.DIGITS or name_or_path in bundled.TITLES:
        return bundled.read(name_or_path)
    if scheme in SCHEMES and name_in_scheme:
        reader = importlib.import_module(f".readers.{SCHEMES[scheme]}", __package__)
        return cast("Splits", reader.read(name_in_scheme, data_root))
    return _read_path(name_or_path, data_root, class_names, parse_columns(columns))


def _read_path(
    raw: str, data_root: Path | None, class_names: str | None, columns: Mapping[str, str]
) -> Splits:
    path = _path_of(raw, data_root)
    if path.is_dir():
        return coop.read_in_place(path) or read_folder(path)
    if path.suffix.lower() in TABLE_SUFFIXES:
        listed = class_names not in (None, OPENAI, SPLIT)
        names = read_names_file(user_path(str(class_names), "`class_names`")) if listed else None
        return read_table(
            path,
            data_root=data_root,
            names=None if isinstance(names, Mapping) else names,
            columns=columns,
        )
    raise DataError(f"{path} is a file, but no table ({_TABLES}) nor a folder; {LAYOUT_HELP}")


def _path_of(raw: str, data_root: Path | None) -> Path:
    """Return the folder or table that ``data`` means; raise DataError if nothing lies there."""
    path = user_path(raw, "`data`", follow_links=False)
    with suppress(OSError):  # name too long
        if path.exists():
            return path
    if data_root is not None and (data_root / raw).is_dir():
        return data_root / raw
    raise DataError(_unknown(raw, path))


def _unknown(raw: str, path: Path) -> str:
    if "://" in raw:
        return f"`data` takes no address such as {raw!r}: download the data, and give their folder or table"
    names = [*folders_beside(raw, path), *(source.name for source in known())]
    hint = near(raw, names) or "; `promptclimb datasets` lists all names"
    return f'`data = "{raw}"`: there is no data set of that name, and no folder or table at {path}{hint}'
