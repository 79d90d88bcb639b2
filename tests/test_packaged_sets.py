"""Data sets that are composed from packages: tiny packages, drawn by a program that paints one colour."""

from __future__ import annotations

import io
import json
import re
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from benchmarks import packaged_pictures, published_sets, vocabularies
from benchmarks.packaged_pictures import Picture, PictureSet
from training import gather_art, tags

LETTERS = "abcdefghijkl"
SUBGROUPS = {"1": "animal-bug", "2": "place-map"}


def svg(colour: str) -> str:
    return f'<svg viewBox="0 0 9 9" width="9mm"><path fill="{colour}"/></svg>'


def drawing_program() -> ModuleType:
    """A stand-in for resvg-py: a PNG in the colour of the SVG's ``fill``."""

    def svg_to_bytes(*, svg_string: str, width: int, height: int, dpi: int) -> bytes:
        fill = re.search(r'fill="([^"]+)"', svg_string)
        if fill is None or not dpi:
            raise ValueError("nothing to draw")
        file = io.BytesIO()
        colour = (0, 0, 0, 0) if fill[1] == "none" else fill[1]
        Image.new("RGBA", (width, height), colour).save(file, "PNG")
        return file.getvalue()

    module = ModuleType("resvg_py")
    vars(module)["svg_to_bytes"] = svg_to_bytes
    return module


def write_package(folder: Path, name: str, files: Mapping[str, str | object]) -> None:
    """Write an npm package's tarball: text, or what becomes JSON."""
    with tarfile.open(folder / f"{name.lstrip('@').replace('/', '-')}-1.0.0.tgz", "w:gz") as tar:
        for path, content in files.items():
            data = (content if isinstance(content, str) else json.dumps(content)).encode()
            member = tarfile.TarInfo(f"package/{path}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def write_vendor(folder: Path, name: str, slugs: Mapping[str, str], colour: str) -> None:
    icons = {slug: {"body": f'<path fill="{colour}"/>'} for slug in slugs.values()}
    write_package(
        folder, name, {"icons.json": {"width": 9, "height": 9, "icons": icons}, "chars.json": slugs}
    )


@pytest.fixture(autouse=True)
def art(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for packages, and a program that draws."""
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "resvg_py", drawing_program())
    packaged_pictures.cutout.cache_clear()
    packaged_pictures.svg_files.cache_clear()
    packaged_pictures.emoji_data.cache_clear()
    packaged_pictures.countries.cache_clear()
    gather_art.package_json.cache_clear()
    gather_art.cache_folder().mkdir(parents=True)
    return gather_art.cache_folder()


def write_emoji(art: Path, missing: str = "") -> None:
    """Write twelve bugs and one map, of which one vendor lacks what is ``missing``."""
    slugs = {f"1f{number:03x}": f"bug-{letter}" for number, letter in enumerate(LETTERS)} | {"1f999": "map"}
    data = [
        {"hexcode": code.upper(), "emoji": "", "label": slug.replace("-", " "), "group": 3, "subgroup": group}
        for code, slug in slugs.items()
        for group in ("2" if slug == "map" else "1")
    ]
    write_package(
        art,
        tags.EMOJI_TEXTS["data"].package,
        {
            "en/data.json": data,
            "meta/groups.json": {"groups": {"3": "animals-nature"}, "subgroups": SUBGROUPS},
        },
    )
    vendors = {**packaged_pictures.FEW_SHOT_VENDORS, **published_sets.EMOJI_TEST_VENDORS}
    for name, vendor in vendors.items():
        own = {code: slug for code, slug in slugs.items() if name != "fxemoji" or slug != missing}
        colour = "red" if name in packaged_pictures.FEW_SHOT_VENDORS else "blue"
        write_vendor(art, vendor.package, own, colour)


def test_a_subgroup_that_every_vendor_draws_is_a_set(art: Path) -> None:
    """Its few-shot and test images come from different vendors; a subgroup of one emoji is left out."""
    write_emoji(art)
    ((name, data),) = published_sets.emoji_sets()
    assert name == "emoji-animal-bug"
    assert data.classes == [f"bug {letter}" for letter in LETTERS]
    assert data.description == "Emoji of the group animals-nature, subgroup animal-bug."
    middle = {
        split: {image.getpixel((48, 48)) for _, image in data.images(name, split)}
        for split in packaged_pictures.SIZES
    }
    assert middle == {"train": {(255, 0, 0)}, "val": {(255, 0, 0)}, "test": {(0, 0, 255)}}


def test_a_subgroup_that_one_vendor_lacks_in_part_is_no_set(art: Path) -> None:
    """Eleven emoji are too few."""
    write_emoji(art, missing="bug-c")
    assert list(published_sets.emoji_sets()) == []


def test_clip_art_is_of_the_held_out_third(art: Path) -> None:
    """Classes are folders with enough pictures that show something, half of them few-shot images."""
    root = art / tags.CLIP_ART / "usr/share/openclipart/svg"
    for folder, colour in {"food/soft_fruit": "red", "tools/saws": "blue", "special/empty": "none"}.items():
        (root / folder).mkdir(parents=True)
        for number in range(30):
            (root / folder / f"{number:02d}.svg").write_text(svg(colour), "utf-8")
    (root / "food/soft_fruit/00.txt").write_text("", "utf-8")
    sets = dict(published_sets.clip_art_sets())
    assert [data.classes for data in sets.values()] == [["soft fruit"], ["saws"], []]
    data = sets["clip-art-1"]
    few_shot, test = ([picture.name for picture in own["soft fruit"]] for own in (data.few_shot, data.test))
    assert sorted([*few_shot, *test]) == [*few_shot, *test]
    expected = (f"food/soft_fruit/{number:02d}.svg" for number in range(30))
    assert [*few_shot, *test] == [path for path in expected if tags.held_out(path)]


def test_icons_are_named_as_in_both_packages(art: Path) -> None:
    """A category of Remix Icon is a set of the names that both packages have; its categories are one too."""
    names = [f"arrow-{letter}" for letter in LETTERS]
    write_package(
        art,
        "remixicon",
        {
            **{f"icons/Map/{name}-{style}.svg": svg("red") for name in names for style in ("line", "fill")},
            "icons/Map/only-here-line.svg": svg("red"),
            "icons/Food/pie-line.svg": svg("red"),
            "icons/Food/pot-line.svg": svg("red"),
            "fonts/remixicon.svg": svg("red"),
        },
    )
    files = {f"icons/{name}{style}.svg": svg("blue") for name in names for style in ("", "-fill")}
    write_package(art, "bootstrap-icons", files)
    sets = dict(published_sets.icon_sets())
    assert sorted(sets) == ["icon-categories", "icons-map"]
    assert sets["icons-map"].classes == [f"arrow {letter}" for letter in LETTERS]
    assert len(sets["icons-map"].test["arrow a"]) == len(sets["icons-map"].few_shot["arrow a"]) == 2
    assert sets["icon-categories"].classes == ["Food", "Map"]


def test_flags_have_the_names_of_countries(art: Path) -> None:
    """The emoji's two letters are the code by which the packages name a flag."""
    emoji = [
        {"label": "flag: Chad", "emoji": "\U0001f1f9\U0001f1e9", "hexcode": ""},
        {"label": "flag: Peru", "emoji": "\U0001f1f5\U0001f1ea", "hexcode": ""},
        {"label": "chequered flag", "emoji": "\U0001f3c1", "hexcode": ""},
    ]
    write_package(art, tags.EMOJI_TEXTS["data"].package, {"en/data.json": emoji})
    write_vendor(art, packaged_pictures.SOURCES["circle-flags"].package, {"": "td", "-": "pe"}, "red")
    write_package(art, "flag-icons", {"flags/4x3/td.svg": svg("red"), "flags/1x1/pe.svg": svg("blue")})
    ((_, data),) = published_sets.flag_sets()
    assert {country: [picture.name for picture in own] for country, own in data.test.items()} == {
        "Chad": ["package/flags/4x3/td.svg"],
        "Peru": ["package/flags/1x1/pe.svg"],
    }
    assert data.few_shot["Chad"] == [Picture(packaged_pictures.SOURCES["circle-flags"], "td")]


def test_written_sets_are_read_as_they_were_composed(art: Path, tmp_path: Path) -> None:
    """Class folders hold the same images in the same order, alike at each making."""
    write_vendor(art, packaged_pictures.SOURCES["circle-flags"].package, {"1": "td", "2": "pe"}, "red")
    pictures = {
        name: [Picture(packaged_pictures.SOURCES["circle-flags"], code)]
        for name, code in {"Peru": "pe", "Chad": "td"}.items()
    }
    data = PictureSet(description="", few_shot=pictures, test=pictures)
    packaged_pictures.write_class_folders(tmp_path, "flags", data)
    for split, per_class in packaged_pictures.SIZES.items():
        composed = [(name, image.tobytes()) for name, image in data.images("flags", split)]
        read = packaged_pictures.read_class_folders(tmp_path, "flags", split)
        assert composed == [(name, image.tobytes()) for name, image in read]
        assert [name for name, _ in composed] == ["Chad"] * per_class + ["Peru"] * per_class
        assert len(set(composed)) == len(composed)


def test_vocabularies_are_of_things_that_are_drawn(art: Path) -> None:
    """A class shows its thing by the vendors of its split, in the order of class folders."""
    slugs = {"1f98a": "fox", "1f989": "owl"}
    for vendors, colour in (
        (packaged_pictures.FEW_SHOT_VENDORS, "red"),
        (packaged_pictures.TEST_VENDORS, "blue"),
    ):
        for vendor in vendors.values():
            write_vendor(art, vendor.package, slugs, colour)
    vocabulary = vocabularies.Vocabulary(title="", classes={"pöllö": "owl", "kettu": "fox"})
    data = vocabularies.picture_set(vocabulary)
    assert data.classes == vocabulary.names == ["kettu", "pöllö"]
    assert [picture.name for picture in data.test["kettu"]] == ["fox", "fox"]
    assert [picture.source for picture in data.few_shot["pöllö"]] == [
        *packaged_pictures.FEW_SHOT_VENDORS.values()
    ]


def test_vocabularies_of_codes_show_what_their_packages_have(art: Path) -> None:
    """Flags are found by country, logos by language; only emoji are mirrored."""
    sources = packaged_pictures.SOURCES
    data = [{"label": "flag: Chad", "emoji": "\U0001f1f9\U0001f1e9", "hexcode": ""}]
    write_package(art, tags.EMOJI_TEXTS["data"].package, {"en/data.json": data})
    write_vendor(art, sources["circle-flags"].package, {"": "td"}, "red")
    write_package(art, "flag-icons", {"flags/4x3/td.svg": svg("red")})
    slugs = {"vscode-icons": "file-type-rust", "devicon": "rust", "material-icon-theme": "rust"}
    for package, slug in slugs.items():
        write_vendor(art, sources[package].package, {"": slug}, "red")

    def shown(pictures: str, thing: str) -> tuple[list[str], list[str]]:
        vocabulary = vocabularies.Vocabulary(title="", classes={"code": thing}, pictures=pictures)
        drawn = vocabularies.picture_set(vocabulary)
        assert not drawn.mirrored
        few_shot, test = ([picture.name for picture in own["code"]] for own in (drawn.few_shot, drawn.test))
        return few_shot, test

    assert shown("flags", "Chad") == (["td"], ["package/flags/4x3/td.svg"])
    assert shown("logos", "Rust") == (["file-type-rust"], ["rust", "rust"])


def test_every_vocabulary_has_classes_of_its_own() -> None:
    """The sets of vocabularies.toml name what they show, each thing once."""
    for name, vocabulary in vocabularies.vocabularies().items():
        assert 10 <= len(vocabulary.classes) <= 20, name
        assert len({*vocabulary.classes.values()}) == len(vocabulary.classes), name
        assert vocabulary.pictures in vocabularies.PICTURES_OF
