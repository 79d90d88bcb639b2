"""Make data sets whose class names a CLIP has never read: other languages, Latin, codes.

    python benchmarks/vocabularies.py make FOLDER            # the sets of vocabularies.toml
    python benchmarks/vocabularies.py draw NAME --locale fi  # print a further one, for that file
    python benchmarks/vocabularies.py read MODEL [SET ...]   # accuracies by names and by true names

Each set is 12 to 16 things under the names that others gave them: Unicode's annotations of emoji (CLDR),
species in WordNet, code points, codes of countries, goods, files and weather. The pictures are emoji, flags
and logos from packages that no CLIP of this project was trained on, on plain grounds, at random places
and sizes. Few-shot and test images come from different vendors. ``make`` writes
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
from functools import cache, lru_cache
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
from benchmarks.pico_features import Clip
from promptclimb.evaluator.scoring import DEFAULT_TEMPLATE
from training.gather_art import Source
from training.world.scene import CONCEPTS, CORE, EVERYDAY, codepoint

SETS = Path(__file__).with_suffix(".toml")
COUNTRY_NUMBERS = Source("i18n-iso-countries", "7.14.0", "MIT", "json")
NAMES = Source("cldr-annotations-full", "48.2.0", "Unicode-3.0", "json")


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
    return {name: Vocabulary(**table) for name, table in tables.items()}


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


def picture_set(vocabulary: Vocabulary) -> PictureSet:
    """Return the pictures of a set."""
    draw = PICTURES_OF[vocabulary.pictures]
    pictures = {class_name: draw(shown) for class_name, shown in vocabulary.classes.items()}
    return PictureSet(
        description=vocabulary.title,
        few_shot={class_name: both[0] for class_name, both in pictures.items()},
        test={class_name: both[1] for class_name, both in pictures.items()},
        mirrored=vocabulary.pictures == "emoji",
    )


def make(folder: Path) -> None:
    """Write every set as class folders."""
    for data, vocabulary in vocabularies().items():
        write_class_folders(folder, data, picture_set(vocabulary))
        print(folder / data)


def read(model: str, names: Sequence[str]) -> None:
    """Print test accuracies in % under a bundled CLIP: by the class names, and by the English ones."""
    clip = Clip(model)
    for name in names:
        vocabulary = vocabularies()[name]
        images = list(picture_set(vocabulary).images(name, "test"))
        labels = [vocabulary.names.index(class_name) for class_name, _ in images]
        features = clip.pictures(image for _, image in images)
        accuracies = []
        for texts in (vocabulary.names, [vocabulary.classes[class_name] for class_name in vocabulary.names]):
            predicted = (features @ clip.texts([DEFAULT_TEMPLATE], texts)[0].T).argmax(1)
            accuracies.append(f"{100 * (predicted == labels).mean():.1f}")
        print(name, f"1/{len(vocabulary.names)}", *accuracies, sep="|", flush=True)


@lru_cache(maxsize=2)
def drawable(things: str) -> tuple[str, ...]:
    """Return the English names of the things that both groups of vendors have pictures of.

    ``things`` is "common" for those that both bundled CLIPs have seen most, so that chosen names can be
    evaluated on the other one, or "rare" for the rest.
    """
    common = {*CORE, *EVERYDAY}
    names = sorted(name for name in CONCEPTS if (name in common) == (things == "common"))
    return tuple(name for name in names if all(emoji_of(name)))


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


def flag_names(form: str, count: int = 16) -> dict[str, str]:
    """Draw the classes of a set of flags: a code, a number or the capital -> English name of the country."""
    shown = {code: country for code, country in countries().items() if all(flag_pictures(code))}
    if form == "capitals":
        facts = npm_json(SOURCES["flag-icons"], "package/country.json")
        name_by_code = {fact["code"]: fact["capital"] for fact in facts if fact.get("capital")}
    else:
        facts = npm_json(COUNTRY_NUMBERS, "package/codes.json")
        name_by_code = {fact[0].lower(): fact[0 if form == "country-codes" else 2] for fact in facts}
    usable = [
        (name, shown[code])
        for code, name in sorted(name_by_code.items())
        if code in shown and shown[code] not in name
    ]
    return dict(random.Random(form).sample(usable, count))


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
    draw.add_argument("--flags", choices=("country-codes", "country-numbers", "capitals"))
    draw.add_argument("--title", default="")
    draw.add_argument("--things", choices=("common", "rare"), default="common")
    reading = actions.add_parser("read", help="print accuracies by class names and by English names")
    reading.add_argument("model", choices=("RN-pico", "ViT-pico", "Tags-pico"))
    reading.add_argument("names", nargs="*", metavar="SET")
    options = parser.parse_args()
    if options.action == "make":
        make(options.folder)
        return
    if options.action == "read":
        read(options.model, options.names or list(vocabularies()))
        return
    if options.flags:
        classes = flag_names(options.flags)
    elif options.locale:
        classes = drawn(options.locale, options.things)
    else:
        classes = code_points(options.things)
    print(
        f"[{options.name}]\ntitle = {json.dumps(options.title, ensure_ascii=False)}\n[{options.name}.classes]"
    )
    for text, name in sorted(classes.items()):
        print(f"{json.dumps(text, ensure_ascii=False)} = {json.dumps(name)}")
    print()


if __name__ == "__main__":
    main()
