"""Compose data sets in which every image is another drawing, and few-shot images are drawn like test images.

They are the sets of benchmarks/published_sets.py that are named ``iid-...`` and ``fresh-...``. Rules choose
them, which were written down before any accuracy was measured:

``iid-emoji-GROUP``    Unicode's subgroups of one group of emoji, as six vendors draw them
``iid-icons-PACKAGE``  the categories of an icon package; no bundled model learned from icons of its makers
``iid-clip-art``       openclipart's folders of the first level, of the third held out from training
``fresh-PACKAGE``      the categories or folders of an icon package, an icon theme or a map editor's icons; no
                       bundled model learned from icons of its makers, nor is an ``iid-...`` set theirs. Atlas
                       has so many folders that they make two sets, by their initials

The ``fresh-...`` sets were composed after a way of learning from images had been chosen on the others, to
judge it on sets that no choice has seen.

A subject is an emoji or an icon, whoever draws it in whichever style; of clip art, a picture. A subject or a
drawing that stands in two classes is in neither. No subject is on both sides: few-shot images get half of a
class's subjects, but 25 at most, and no fewer than make 25 drawings. An emoji is shown as different vendors
draw it, an icon in one of its styles. A class needs 25 few-shot drawings and 15 for test, of which it has up
to 60. A set has 6 to 24 classes; "Other" is none, nor are "geometric", whose emoji differ in size
alone, and "animations", whose drawings show one thing. Of drawings of a ``fresh-...`` class that look alike,
as a folder's in other colours do, there is one.
"""

from __future__ import annotations

import re
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import chain, zip_longest
from pathlib import PurePosixPath
from random import Random

import numpy as np
from PIL import Image

from benchmarks.packaged_pictures import (
    FEW_SHOT_VENDORS,
    SIZES,
    SOURCES,
    TEST_VENDORS,
    Picture,
    PictureSet,
    cutout,
    emoji_data,
    emoji_pictures,
    is_drawn,
    npm_json,
    picture_paths,
    svg_files,
    svg_of,
)
from training.gather_art import SOURCES as ART_SOURCES
from training.gather_art import Source, cache_folder, package, read_member
from training.tags import EMOJI_TEXTS

LEAST_CLASSES, MOST_CLASSES = 6, 24
FEW_SHOT = SIZES["train"] + SIZES["val"]
LEAST_TEST, MOST_TEST = 15, SIZES["test"]
NO_CLASS = {"Other", "Others", "animations", "geometric", "other"}
MOST_SUBJECTS = 120
"""Of a class of a fresh set that are drawn, which takes time; no class shows so many."""
STYLE = re.compile(
    r"(?:-+(?:24px|alerted|alt|badged|bold|broken|duotone|fill|filled|light|line|linear|outline|outlined|remix"
    r"|solid|thin|\d+))+$"
)
"""The end of an icon's name that tells its style or number."""
VARIANT = re.compile(
    r"-(?:rtl|symbolic|adwaita|black|blue|bluegrey|breeze|brown|carmine|cyan|darkcyan|deeporange|gray|green|grey"
    r"|indigo|magenta|nordic|orange|palebrown|paleorange|pink|purple|red|teal|violet|white|yaru|yellow)\b"
)
"""What tells the colour of a theme's icon in its name."""
VENDORS = {**FEW_SHOT_VENDORS, **TEST_VENDORS, "noto-v1": ART_SOURCES["noto-v1"]}
ICONS: Mapping[str, Source] = {
    "carbon": Source("@iconify-json/carbon", "1.2.29", "Apache-2.0", "iconify"),
    "clarity": Source("@iconify-json/clarity", "1.2.4", "MIT", "iconify"),
    "health": Source("@iconify-json/healthicons", "1.2.13", "MIT", "iconify"),
    "icon-park": Source("@iconify-json/icon-park", "1.2.4", "Apache-2.0", "iconify"),
    "iconoir": Source("@iconify-json/iconoir", "1.2.11", "MIT", "iconify"),
    "solar": Source("@iconify-json/solar", "1.2.13", "CC-BY-4.0", "iconify"),
    "streamline": Source("@iconify-json/streamline", "1.2.5", "CC-BY-4.0", "iconify"),
    "freehand": Source("@iconify-json/streamline-freehand-color", "1.2.2", "CC-BY-4.0", "iconify"),
    "ultimate": Source("@iconify-json/streamline-ultimate-color", "1.2.2", "CC-BY-4.0", "iconify"),
    "phosphor": Source("@phosphor-icons/core", "2.1.1", "MIT", "svg"),
    "remix": SOURCES["remixicon"],
}
ATLAS = Source("@vectopus/atlas-icons", "0.0.7", "MIT", "glyphs")
FRESH: Mapping[str, tuple[Source, str]] = {
    "unicons": (Source("@iconify-json/uil", "1.2.3", "Apache-2.0", "iconify"), ""),
    "atlas-1": (ATLAS, r"package/packs/([a-i][\w-]*)/.+/(.+)\.svg"),
    "atlas-2": (ATLAS, r"package/packs/([j-z][\w-]*)/.+/(.+)\.svg"),
    "mingcute": (Source("mingcute_icon", "2.9.72", "Apache-2.0", "svg"), r"package/svg/(\w+)/(.+)\.svg"),
    "josm": (Source("josm", "", "GPL-2.0", "debian"), r".*/images/presets/(\w+)/(?:.*/)?(.+)\.svg"),
    "breeze": (Source("kf6-breeze-icon-theme", "", "LGPL-2.0", "debian"), r".*/breeze/(\w+)/\d+/(.+)\.svg"),
    "elementary": (
        Source("elementary-icon-theme", "", "GPL-3.0", "debian"),
        r".*/elementary/(\w+)/[^/]+/(.+)\.svg",
    ),
    "numix": (Source("numix-icon-theme", "", "GPL-3.0", "debian"), r".*/Numix/[^/]+/(\w+)/(.+)\.svg"),
    "oxygen": (
        Source("oxygen-icon-theme", "", "LGPL-3.0", "debian"),
        r".*/(?!8x|16x)\d+x\d+/(\w+)/(.+)\.png",
    ),
    "papirus": (
        Source("papirus-icon-theme", "", "GPL-3.0", "debian"),
        r".*/Papirus/[^/]+/(\w+)/([^/]+)\.svg",
    ),
}
"""Packages of the fresh sets, and which paths are a class's folder and an icon's file; iconify's say it."""
Subjects = Mapping[str, Sequence[Picture]]
"""What is shown -> its drawings."""


def own_drawing_sets() -> Iterator[PictureSet]:
    """Yield every set that has enough classes."""
    for name, description, classes in chain(_emoji(), _icons(), _clip_art()):
        if data := divided(f"iid-{name}", description, classes):
            yield data


def fresh_sets() -> Iterator[PictureSet]:
    """Yield every set of ``FRESH`` that has enough classes."""
    for name, (source, pattern) in FRESH.items():
        icons = in_folders(source, pattern) if pattern else _iconify(source)
        classes = {
            category: _no_lookalikes(subjects)
            for category, subjects in _unshared(_by_category(icons)).items()
        }
        if data := divided(f"fresh-{name}", f"Icons of {name.rstrip('-12').title()}.", classes):
            yield data


def divided(name: str, description: str, classes: Mapping[str, Subjects]) -> PictureSet | None:
    """Return the set of the classes that have enough drawings, or of some of them; None if they are too few.

    Args:
        name: The set's name, which seeds the draws.
        description: What its images show.
        classes: Class name -> the subjects of the class.
    """
    dealt = {
        class_name: splits
        for class_name, subjects in sorted(_unshared(classes).items())
        if class_name not in NO_CLASS
        and (splits := _dealt(subjects, Random(f"{name}/{class_name}"))) is not None
    }
    if len(dealt) < LEAST_CLASSES:
        return None
    kept = Random(name).sample(list(dealt), min(len(dealt), MOST_CLASSES))
    pictures = {split: {class_name: dealt[class_name][split] for class_name in kept} for split in SIZES}
    return PictureSet(name=name, description=description, pictures=pictures, once=True)


def _unshared(classes: Mapping[str, Subjects]) -> Mapping[str, Subjects]:
    """Return the classes without what two of them show, and each drawing once."""
    classes_of_subject = Counter(chain.from_iterable(classes.values()))
    classes_of_svg: dict[str, set[str]] = defaultdict(set)
    for class_name, subjects in classes.items():
        for picture in chain.from_iterable(subjects.values()):
            classes_of_svg[svg_of(picture)].add(class_name)
    unshared: dict[str, dict[str, list[Picture]]] = defaultdict(lambda: defaultdict(list))
    used = {svg for svg, class_names in classes_of_svg.items() if len(class_names) > 1}
    for class_name, subjects in classes.items():
        for subject, pictures in subjects.items():
            for picture in pictures:
                if classes_of_subject[subject] == 1 and (svg := svg_of(picture)) not in used:
                    used.add(svg)
                    unshared[class_name][subject].append(picture)
    return unshared


def _dealt(subjects: Subjects, rng: Random) -> Mapping[str, Sequence[Picture]] | None:
    """Return the pictures of each split, or None if there are too few."""
    drawings = [rng.sample(subjects[subject], len(subjects[subject])) for subject in sorted(subjects)]
    rng.shuffle(drawings)
    labelled = min(FEW_SHOT, len(drawings) // 2)
    while labelled < len(drawings) and sum(map(len, drawings[:labelled])) < FEW_SHOT:
        labelled += 1
    few_shot, test = _in_turn(drawings[:labelled])[:FEW_SHOT], _in_turn(drawings[labelled:])[:MOST_TEST]
    if len(few_shot) < FEW_SHOT or len(test) < LEAST_TEST:
        return None
    rng.shuffle(few_shot)
    return {"train": few_shot[: SIZES["train"]], "val": few_shot[SIZES["train"] :], "test": test}


def _in_turn(drawings: Sequence[Sequence[Picture]]) -> list[Picture]:
    """Return one drawing of each subject, then a second one of each, and so on."""
    return [picture for turn in zip_longest(*drawings) for picture in turn if picture]


Candidates = Iterator[tuple[str, str, Mapping[str, Subjects]]]
"""Names, descriptions and classes of sets, before they are divided."""


def _emoji() -> Candidates:
    names = npm_json(EMOJI_TEXTS["data"], "package/meta/groups.json")
    groups: dict[str, dict[str, dict[str, list[Picture]]]] = defaultdict(lambda: defaultdict(dict))
    for emoji in emoji_data():
        if "subgroup" in emoji:
            code = emoji["hexcode"].lower().replace("-fe0f", "")
            class_name = names["subgroups"][str(emoji["subgroup"])].replace("-", " ")
            groups[names["groups"][str(emoji["group"])]][class_name][code] = emoji_pictures([code], VENDORS)
    for group, classes in groups.items():
        yield f"emoji-{group}", f"Emoji of the group {group}.", classes


def _icons() -> Candidates:
    for name, source in ICONS.items():
        classes = _by_category(_CATEGORISED.get(name, _iconify)(source))
        title = npm_json(source, "package/package.json")["description"]
        yield f"icons-{name}", f"{title.removesuffix(' in Iconify JSON format').rstrip('.')}.", classes


Categorised = Iterator[tuple[str, str, Picture]]
"""Categories, names and pictures of icons."""


def _by_category(icons: Categorised) -> dict[str, dict[str, list[Picture]]]:
    """Return the icons of each category by their names without a style, each in one of its styles."""
    categories: dict[str, dict[str, list[Picture]]] = defaultdict(lambda: defaultdict(list))
    for category, icon, picture in icons:
        categories[category][STYLE.sub("", icon)].append(picture)
    return {
        category: {icon: [Random(icon).choice(styles)] for icon, styles in subjects.items()}
        for category, subjects in categories.items()
    }


def _no_lookalikes(subjects: Subjects) -> Subjects:
    """Return subjects of which no two look alike, drawn at random if there are more than one needs."""
    by_look: dict[bytes, str] = {}
    for icon in Random(0).sample(sorted(subjects), len(subjects)):
        if len(by_look) < MOST_SUBJECTS and is_drawn(subjects[icon][0]):
            by_look.setdefault(look(cutout(subjects[icon][0])), icon)
    return {icon: subjects[icon] for icon in by_look.values()}


def look(cut: Image.Image) -> bytes:
    """Return where a cut-out gets lighter from left to right, which is the same in other colours."""
    page = Image.alpha_composite(Image.new("RGBA", cut.size, "white"), cut)
    return (np.diff(np.asarray(page.convert("L").resize((9, 8)), dtype=int)) > 0).tobytes()


def in_folders(source: Source, pattern: str) -> Categorised:
    """Yield the folders and names that a pattern finds in a package's paths, with the pictures."""
    for path in picture_paths(source):
        if match := re.fullmatch(pattern, path):
            name = VARIANT.sub("", match[2].replace("_", "-"))
            yield match[1].replace("-", " "), name, Picture(source, path)


def _iconify(source: Source) -> Categorised:
    """Yield categories, names and pictures of an iconify package."""
    icons = npm_json(source, "package/icons.json")["icons"]
    for category, names in npm_json(source, "package/metadata.json")["categories"].items():
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", category)
        yield from ((words, name, Picture(source, name)) for name in names if name in icons)


def _phosphor(source: Source) -> Categorised:
    """Yield the one category that Phosphor's own library has an icon in, with its name and its pictures."""
    with tarfile.open(package(source.package, source.version, cache_folder())) as tar:
        module = read_member(tar, "package/dist/index.mjs").decode("utf-8")
    enumeration = re.findall(r"\ba = .*?\(\(i\) => \((.*?), i\)\)", module)[0]
    words = dict(re.findall(r'i\.(\w+) = "([^"]+)"', enumeration))
    of_icon = {
        icon: words[category]
        for icon, category in re.findall(r'\bname: "([^"]+)".*?figma_category: a\.(\w+)', module, re.DOTALL)
    }
    for path in sorted(svg_files(source)):
        name = PurePosixPath(path).stem
        if category := of_icon.get(name) or of_icon.get(STYLE.sub("", name)):
            yield category, name, Picture(source, path)


def _remix(source: Source) -> Categorised:
    """Yield the folder, the name and the picture of each icon."""
    for path in sorted(svg_files(source)):
        file = PurePosixPath(path)
        if "icons" in file.parts:
            yield file.parent.name, file.stem, Picture(source, path)


_CATEGORISED = {"phosphor": _phosphor, "remix": _remix}
"""How icons are sorted in packages that are not in iconify's form."""


def _clip_art() -> Candidates:
    source = SOURCES["openclipart"]
    classes: dict[str, dict[str, list[Picture]]] = defaultdict(dict)
    for path in sorted(svg_files(source)):
        if is_drawn(picture := Picture(source, path)):
            # Some pictures lie in several folders, as other SVGs that look the same.
            subject = sha256(cutout(picture).tobytes()).hexdigest()
            classes[path.split("/")[0].replace("_", " ")].setdefault(subject, [picture])
    yield "clip-art", "Clip art of the Open Clip Art Library, sorted by subject.", classes
