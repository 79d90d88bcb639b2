"""Sets of pictures by others: how their drawings are dealt, and how packages are fetched."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from benchmarks.own_drawings import Subjects, divided, in_folders, look
from benchmarks.packaged_pictures import Picture, PictureSet, svg_of
from benchmarks.published_sets import listed
from training.gather_art import Source, cache_folder, package
from training.tags import debian_folder

PACKAGE = Source("@iconify-json/fake", "1.0", "MIT", "iconify")


@pytest.fixture
def icons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, dict[str, str]]:
    """A package of 1,500 icons, of which the 1st and the 2nd are the same drawing."""
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path))
    icons = {f"icon-{i}": {"body": f"<path d='M{max(i, 1)} 0'/>"} for i in range(1500)}
    packed("iconify-json-fake", "package/icons.json", json.dumps({"icons": icons}))
    return icons


def packed(name: str, member: str, text: str) -> None:
    """Write a package with one file into the cache."""
    cache_folder().mkdir(exist_ok=True)
    with tarfile.open(cache_folder() / f"{name}-1.0.tgz", "w:gz") as tar:
        content = tarfile.TarInfo(member)
        content.size = len(text)
        tar.addfile(content, io.BytesIO(text.encode()))


def icon(number: int) -> Picture:
    return Picture(PACKAGE, f"icon-{number}")


def plain_class(first: int, count: int) -> Subjects:
    """A class whose subjects are drawn once."""
    return {f"subject {number}": [icon(number)] for number in range(first, first + count)}


@pytest.mark.usefixtures("icons")
def test_no_drawing_stands_twice_and_no_subject_on_both_sides() -> None:
    """Classes with too few drawings go; a subject is shown once before any is shown twice."""
    classes = {f"plain {k}": plain_class(100 + 100 * k, 40 + 20 * k) for k in range(5)}
    # 8 subjects, drawn by six vendors each: 5 of them make 25 few-shot drawings, 3 of them 18 for test.
    classes["drawn by many"] = {f"many {s}": [icon(700 + 6 * s + v) for v in range(6)] for s in range(8)}
    classes["too few"] = plain_class(800, 39)
    classes["Other"] = plain_class(900, 60)
    data = divided("iid-test", "Fakes", classes)
    assert data is not None
    assert data.classes == ["drawn by many", *(f"plain {k}" for k in range(5))]
    assert data.distinct("train") == [20] * 6
    assert data.distinct("train", "val") == [25] * 6
    assert data.distinct("test") == [18, 15, 35, 55, 60, 60]
    for class_name in data.classes:
        shown = [picture for split in ("train", "val", "test") for picture in data.shown(split, class_name)]
        assert len(set(shown)) == len(shown)
    subject_of = {
        picture: subject for subject, drawings in classes["drawn by many"].items() for picture in drawings
    }
    few_shot = {subject_of[p] for split in ("train", "val") for p in data.shown(split, "drawn by many")}
    test = {subject_of[p] for p in data.shown("test", "drawn by many")}
    assert (len(few_shot), len(test), few_shot & test) == (5, 3, set())


@pytest.mark.usefixtures("icons")
def test_what_two_classes_show_is_in_neither() -> None:
    """The same subject, and the same drawing under two names."""
    classes = {f"plain {k}": dict(plain_class(100 + 100 * k, 42)) for k in range(6)}
    classes["plain 0"] |= {"shared": [icon(50)], "one": [icon(0)]}
    classes["plain 1"] |= {"shared": [icon(51)], "another": [icon(1)]}
    data = divided("iid-test", "Fakes", classes)
    assert data is not None
    svgs = [svg_of(p) for split in data.pictures.values() for pictures in split.values() for p in pictures]
    assert len(set(svgs)) == len(svgs) == 6 * 42
    assert not {svg_of(icon(number)) for number in (0, 1, 50, 51)} & set(svgs)


@pytest.mark.usefixtures("icons")
def test_a_set_has_six_to_twenty_four_classes() -> None:
    """Of more, some are drawn; the same ones each time."""
    classes = {f"class {k}": plain_class(50 * k, 40) for k in range(1, 27)}
    assert divided("iid-test", "Fakes", dict(list(classes.items())[:5])) is None
    data = divided("iid-test", "Fakes", classes)
    assert data is not None
    assert len(data.classes) == 24
    assert divided("iid-test", "Fakes", dict(reversed(classes.items()))) == data


def test_the_list_counts_pictures_and_not_pastings() -> None:
    """Twenty images of three drawings are three."""
    pictures = {"cat": [icon(k) for k in range(3)], "dog": [icon(k) for k in range(10, 15)]}
    data = PictureSet(
        name="shift",
        description="Animals.",
        pictures={"train": pictures, "val": pictures, "test": {"cat": [icon(20)], "dog": [icon(21)]}},
    )
    assert len(data.shown("train", "cat")) == 20
    assert len(data.shown("test", "cat")) == 60
    assert listed(data) == (
        "shift (2 classes; pictures of a class: few-shot 3 to 5, median 4; test 1 to 1, median 1): Animals.\n"
        "    cat, dog"
    )


def test_packages_are_fetched_on_a_clean_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that npm or apt-get writes into need not exist."""
    programs = {
        "npm": "touch thing-1.0.tgz",
        "apt-get": "touch pictures_1.0_all.deb",
        "dpkg-deb": 'mkdir "$3"',
    }
    for program, does in programs.items():
        (tmp_path / program).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert package("thing", "1.0", tmp_path / "new" / "npm").name == "thing-1.0.tgz"
    assert debian_folder("pictures", tmp_path / "new" / "debian").is_dir()


def test_icons_are_read_from_folders_and_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PNG is drawn from an SVG around it, a glyph from its outline; a link to another icon is none."""
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path))
    folder = cache_folder() / "theme" / "Theme" / "places"
    folder.mkdir(parents=True)
    (folder / "home-red_2-symbolic.svg").write_text("<svg/>")
    (folder / "user.png").write_bytes(b"png")
    (folder / "alias.svg").symlink_to(folder / "home-red_2-symbolic.svg")
    theme = Source("theme", "", "MIT", "debian")
    icons = list(in_folders(theme, r"Theme/(\w+)/(.+)\.(?:svg|png)"))
    assert [(category, name) for category, name, _ in icons] == [("places", "home-2"), ("places", "user")]
    home, user = (svg_of(picture) for _, _, picture in icons)
    assert home == "<svg/>"
    assert 'href="data:image/png;base64,cG5n"' in user
    packed(
        "font",
        "package/packs/real-estate/fonts/real-estate.svg",
        '<font><glyph unicode="&#xe900;" glyph-name="key-thin" data-tags="k" d="M1 2z" /></font>',
    )
    font = Source("font", "1.0", "MIT", "glyphs")
    ((category, name, picture),) = in_folders(font, r"package/packs/([\w-]+)/.+/(.+)\.svg")
    assert (category, name) == ("real estate", "key-thin")
    assert 'd="M1 2z"' in svg_of(picture)


def test_an_icon_in_other_colours_looks_alike() -> None:
    """A mirrored one does not."""
    blue, red = (Image.new("RGBA", (64, 64)) for _ in range(2))
    blue.paste((0, 60, 200, 255), (4, 8, 40, 56))
    red.paste((200, 30, 0, 255), (4, 8, 40, 56))
    assert look(blue) == look(red)
    assert look(blue) != look(ImageOps.mirror(blue))
