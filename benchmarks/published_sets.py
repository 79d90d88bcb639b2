"""Make data sets whose pictures and class names were chosen by others, from packages.

    python benchmarks/published_sets.py [--kind shift|iid|fresh] list
    python benchmarks/published_sets.py [--kind shift|iid|fresh] make FOLDER

Rules choose the sets; nobody looked at accuracies. There are two kinds. In those of own_drawings.py, named
``iid-...`` and ``fresh-...``, every image is another drawing, drawn like the test images. In these, there
is a shift:

``emoji-SUBGROUP``      every subgroup of Unicode's emoji of which six vendors draw 12 emoji or more, under
                        their CLDR names; without "geometric", whose emoji differ in size alone
``clip-art-N``          openclipart's folders of the second level with 6 pictures or more, dealt to 3 sets
``icons-CATEGORY``      every category of Remix Icon with 12 names or more that Bootstrap Icons have too
``icon-categories``     Remix Icon's own categories
``flags``               countries under their CLDR names

A set has at most 24 classes, drawn from those that it could have. Few-shot and test images show different
vendors' pictures of a class; of clip art and icon categories, different pictures of one package. The few
pictures of a class are pasted again and again, at other places: ``list`` counts them. ``make`` writes
``FOLDER/SET/{train,val,test}/CLASS NAME/*.png``, so that every command reads a set as ``--data FOLDER/SET``,
and the sets' descriptions into ``FOLDER/describe.toml``.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.own_drawings import fresh_sets, own_drawing_sets
from benchmarks.packaged_pictures import (
    FEW_SHOT_VENDORS,
    SOURCES,
    TEST_VENDORS,
    Picture,
    PictureSet,
    countries,
    emoji_data,
    emoji_pictures,
    flag_pictures,
    is_drawn,
    npm_json,
    svg_files,
    write_class_folders,
)
from training.gather_art import SOURCES as ART_SOURCES
from training.tags import EMOJI_TEXTS

LEAST_CLASSES, MOST_CLASSES = 12, 24
LEAST_PICTURES = 6
HIDDEN_BY_COMPOSING = ("geometric",)
"""A subgroup of emoji that differ in size, which pictures are not composed at."""
CLIP_ART_SETS = 3
EMOJI_TEST_VENDORS = {**TEST_VENDORS, "noto-v1": ART_SOURCES["noto-v1"]}
Pictures = Mapping[str, Sequence[Picture]]


def _set(name: str, description: str, few_shot: Pictures, test: Pictures) -> PictureSet:
    """Return a set of the classes that have pictures of both kinds, or of some of them drawn at random."""
    classes = sorted(class_name for class_name in few_shot if few_shot[class_name] and test.get(class_name))
    if len(classes) > MOST_CLASSES:
        classes = random.Random(name).sample(classes, MOST_CLASSES)
    labelled = {class_name: few_shot[class_name] for class_name in classes}
    tested = {class_name: test[class_name] for class_name in classes}
    pictures = {"train": labelled, "val": labelled, "test": tested}
    return PictureSet(name=name, description=description, pictures=pictures)


def emoji_sets() -> Iterator[PictureSet]:
    """Yield the subgroups of Unicode's emoji."""
    groups = npm_json(EMOJI_TEXTS["data"], "package/meta/groups.json")
    vendors = {**FEW_SHOT_VENDORS, **EMOJI_TEST_VENDORS}
    few_shot: dict[str, dict[str, list[Picture]]] = defaultdict(dict)
    test: dict[str, dict[str, list[Picture]]] = defaultdict(dict)
    group_of = {}
    for emoji in emoji_data():
        code = emoji["hexcode"].lower().replace("-fe0f", "")
        if "subgroup" not in emoji or len(emoji_pictures([code], vendors)) < len(vendors):
            continue
        subgroup = groups["subgroups"][str(emoji["subgroup"])]
        group_of[subgroup] = groups["groups"][str(emoji["group"])]
        few_shot[subgroup][emoji["label"]] = emoji_pictures([code], FEW_SHOT_VENDORS)
        test[subgroup][emoji["label"]] = emoji_pictures([code], EMOJI_TEST_VENDORS)
    for subgroup, pictures in few_shot.items():
        if len(pictures) >= LEAST_CLASSES and subgroup not in HIDDEN_BY_COMPOSING:
            name = f"emoji-{subgroup}"
            description = f"Emoji of the group {group_of[subgroup]}, subgroup {subgroup}."
            yield _set(name, description, pictures, test[subgroup])


def clip_art_sets() -> Iterator[PictureSet]:
    """Yield sets whose classes are openclipart's folders, under the names of the folders."""
    source = SOURCES["openclipart"]
    by_folder: dict[tuple[str, str], list[Picture]] = defaultdict(list)
    for path in sorted(svg_files(source)):
        folders = PurePosixPath(path).parts[:-1]
        if len(folders) > 1 and is_drawn(picture := Picture(source, path)):
            by_folder[folders[0], folders[1]].append(picture)
    folders = sorted(folder for folder, pictures in by_folder.items() if len(pictures) >= LEAST_PICTURES)
    description = "Clip art of the Open Clip Art Library, sorted by subject."
    for number in range(CLIP_ART_SETS):
        name = f"clip-art-{number + 1}"
        dealt = folders[number::CLIP_ART_SETS]
        pictures = {folder[1].replace("_", " "): by_folder[folder] for folder in dealt}
        yield _set(name, description, *_halves(pictures))


def _halves(pictures: Pictures) -> tuple[Pictures, Pictures]:
    """Divide pictures in the order of their paths, which keeps those of a series together."""
    half = {class_name: len(own) // 2 for class_name, own in pictures.items()}
    return (
        {class_name: own[: half[class_name]] for class_name, own in pictures.items()},
        {class_name: own[half[class_name] :] for class_name, own in pictures.items()},
    )


def icon_sets() -> Iterator[PictureSet]:
    """Yield the categories of Remix Icon with the icons that Bootstrap Icons have too, and the categories."""
    few_shot = _icons("bootstrap-icons")["icons"]
    test = _icons("remixicon")
    for category, pictures in test.items():
        if len(shared := pictures.keys() & few_shot.keys()) >= LEAST_CLASSES:
            name = f"icons-{category.lower()}"
            description = f"Open source neutral style system symbols of the category {category}."
            own = {icon: few_shot[icon] for icon in sorted(shared)}
            yield _set(name, description, own, pictures)
    categories = {
        category: [picture for icon in sorted(pictures) for picture in pictures[icon]]
        for category, pictures in test.items()
    }
    description = (
        "A set of open source neutral style system symbols elaborately crafted for designers and developers."
    )
    yield _set("icon-categories", description, *_halves(categories))


def _icons(package: str) -> Mapping[str, Pictures]:
    """Return the pictures of an icon package by folder and name; lines and filled ones share a name."""
    pictures: dict[str, dict[str, list[Picture]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(svg_files(SOURCES[package])):
        file = PurePosixPath(path)
        if "icons" in file.parts:
            name = file.stem.removesuffix("-line").removesuffix("-fill").replace("-", " ")
            pictures[file.parent.name][name].append(Picture(SOURCES[package], path))
    return pictures


def flag_sets() -> Iterator[PictureSet]:
    """Yield the set of flags, whose classes are countries."""
    pictures = {country: flag_pictures(code) for code, country in countries().items()}
    few_shot, test = ({country: both[index] for country, both in pictures.items()} for index in (0, 1))
    yield _set("flags", "A curated collection of all country flags.", few_shot, test)


def shift_sets() -> Iterator[PictureSet]:
    """Yield every set whose few-shot and test images are drawn by others."""
    return chain(emoji_sets(), clip_art_sets(), icon_sets(), flag_sets())


KINDS: Mapping[str, tuple[str, Callable[[], Iterator[PictureSet]]]] = {
    "shift": ("test images are drawn by others than few-shot images", shift_sets),
    "iid": ("every image is another drawing, drawn like the test images", own_drawing_sets),
    "fresh": ("the same, composed after a way of learning from images had been chosen", fresh_sets),
}


def make(folder: Path, sets: Iterable[PictureSet]) -> None:
    """Write sets as class folders, and the descriptions."""
    lines = ["[describe]"]
    for data in sets:
        write_class_folders(folder, data)
        lines.append(f"{data.name} = {json.dumps(data.description)}")
        print(folder / data.name, flush=True)
    (folder / "describe.toml").write_text("\n".join([*lines, ""]), "utf-8")


def listed(data: PictureSet) -> str:
    """Return a set's name, number of classes, distinct pictures of a class, description and classes."""
    pictures = "; ".join(
        f"{side} {min(counts)} to {max(counts)}, median {median(counts):g}"
        for side, counts in (("few-shot", data.distinct("train", "val")), ("test", data.distinct("test")))
    )
    classes = ", ".join(data.classes)
    return (
        f"{data.name} ({len(data.classes)} classes; pictures of a class: {pictures}): {data.description}\n"
        f"    {classes}"
    )


def main() -> None:
    """List the sets, or make them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", choices=KINDS, action="append", help="of sets (default: all)")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="print names, classes, numbers of pictures and descriptions")
    actions.add_parser("make", help="write every set as class folders").add_argument("folder", type=Path)
    options = parser.parse_args()
    kinds = [KINDS[kind] for kind in options.kind or KINDS]
    if options.action == "make":
        make(options.folder, chain.from_iterable(sets() for _, sets in kinds))
        return
    for meaning, sets in kinds:
        print(f"{meaning}:")
        for data in sets():
            print(listed(data))


if __name__ == "__main__":
    main()
