"""Make data sets whose class names a CLIP has never read: other languages, Latin, codes.

    python benchmarks/vocabularies.py FOLDER

Each set is 12 to 16 things under the names that others gave them: Unicode's annotations of emoji (CLDR),
species in WordNet, code points, codes of countries, goods, files and weather. The pictures are emoji, flags
and logos from packages that no CLIP of this project was trained on, on plain grounds, at random places
and sizes. Few-shot and test images come from different vendors. Each set is written as
``FOLDER/SET/{train,val,test}/CLASS NAME/*.png``, so that every command reads a set as ``--data FOLDER/SET``;
the art comes by ``npm pack`` and stays in the cache. Needs the extra ``train``.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

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
    npm_json,
    write_class_folders,
)
from training.world.scene import CONCEPTS, codepoint

SETS = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """A data set in a vocabulary of its own.

    Attributes:
        title: What the names are.
        classes: Class name -> the English name of what is shown, as a CLIP reads it that knows it.
        pictures: What is shown: a key of ``PICTURES_OF``.
    """

    title: str
    classes: Mapping[str, str]
    pictures: str = "emoji"

    @property
    def names(self) -> list[str]:
        """The class names by label, in the order of class folders."""
        return sorted(self.classes)


@cache
def vocabularies() -> Mapping[str, Vocabulary]:
    """Return the sets of vocabularies.toml by name."""
    tables = tomllib.loads(SETS.read_text("utf-8"))
    return {
        name: Vocabulary(**{**table, "classes": dict(table["classes"])}) for name, table in tables.items()
    }


def emoji_of(thing: str) -> tuple[Sequence[Picture], Sequence[Picture]]:
    """Return the pictures of a thing that the bundled CLIPs know, or of an emoji by its CLDR name."""
    chars = CONCEPTS.get(thing, "").replace("\N{VARIATION SELECTOR-16}", "")
    codes = [codepoint(char) for char in chars] or [
        emoji["hexcode"].lower().replace("-fe0f", "") for emoji in emoji_data() if emoji["label"] == thing
    ]
    return emoji_pictures(codes, FEW_SHOT_VENDORS), emoji_pictures(codes, TEST_VENDORS)


def flag_of(country: str) -> tuple[Sequence[Picture], Sequence[Picture]]:
    """Return the pictures of a country's flag."""
    return flag_pictures(next(code for code, name in countries().items() if name == country))


def logo_of(language: str) -> tuple[Sequence[Picture], Sequence[Picture]]:
    """Return the pictures of a programming language's logo."""
    slug = language.lower()
    few_shot, test = (
        [
            Picture(SOURCES[package], name)
            for package, name in names
            if name in npm_json(SOURCES[package], "package/icons.json")["icons"]
        ]
        for names in (
            [("vscode-icons", f"file-type-{slug}"), ("vscode-icons", f"file-type-{slug}2")],
            [("devicon", slug), ("material-icon-theme", slug)],
        )
    )
    return few_shot, test


PICTURES_OF = {
    "emoji": emoji_of,
    "symbols": emoji_of,
    "flags": flag_of,
    "logos": logo_of,
}
"""Functions of an English name that return its few-shot and test pictures. Emoji alone may be mirrored."""


def picture_set(name: str, vocabulary: Vocabulary) -> PictureSet:
    """Return the pictures of a set."""
    draw = PICTURES_OF[vocabulary.pictures]
    pictures = {class_name: draw(shown) for class_name, shown in vocabulary.classes.items()}
    few_shot, test = ({class_name: both[side] for class_name, both in pictures.items()} for side in (0, 1))
    return PictureSet(
        name=name,
        description=vocabulary.title,
        pictures={"train": few_shot, "val": few_shot, "test": test},
        mirrored=vocabulary.pictures == "emoji",
    )


def main() -> None:
    """Write every set as class folders."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, vocabulary in vocabularies().items():
        write_class_folders(folder, picture_set(name, vocabulary))
        print(folder / name)


if __name__ == "__main__":
    main()
