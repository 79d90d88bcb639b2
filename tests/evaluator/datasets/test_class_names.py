"""Class names, and templates to compare with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from promptclimb.evaluator.datasets.checks import check
from promptclimb.evaluator.datasets.class_names import (
    LONGEST_CLASS_NAME,
    line_of,
    read_names,
    read_names_file,
    rename,
    tidy,
)
from promptclimb.evaluator.datasets.hand_made import (
    for_dataset,
    hand_made,
    published,
    simple_imagenet_templates,
)
from promptclimb.evaluator.datasets.loading import known
from promptclimb.evaluator.datasets.readers.coop import ELEVEN
from promptclimb.evaluator.datasets.values import Item, Splits
from promptclimb.evaluator.errors import DataError
from promptclimb.evaluator.files import MOST_SETTINGS_BYTES
from promptclimb.evaluator.scoring import DEFAULT_TEMPLATE
from tests.evaluator.datasets.conftest import unless_refused


def splits(classes: int) -> Splits:
    items = tuple(Item(Path(f"/data/{label}.jpg"), label) for label in range(classes))
    names = tuple(f"name {label}" for label in range(classes))
    return Splits(name="made up", classes=names, train=items, val=(), test=items, root=Path("/data"))


def test_openai_names_are_open_clips_thousand() -> None:
    """In the order of the WordNet ids; two pairs share a name, which is published and so a note."""
    renamed = rename(splits(1000), "openai")
    assert renamed.classes[:2] == ("tench", "goldfish")
    assert any("missile, sunglasses" in note for note in check(renamed))


def test_openai_names_with_better_ones_are_read_from_a_file(tmp_path: Path) -> None:
    """As ``export --format class-names`` writes them: the list repeats two of them."""
    names = ["tench, a fish", *rename(splits(1000), "openai").classes[1:]]
    (tmp_path / "n.txt").write_text("\n".join(names))
    renamed = rename(splits(1000), str(tmp_path / "n.txt"))
    assert renamed.classes == tuple(names)
    assert any("as published" in note for note in check(renamed))
    (tmp_path / "n.txt").write_text("\n".join([*names[:-1], names[0]]))
    with pytest.raises(DataError, match="'tench, a fish' stands for 2 classes"):
        rename(splits(1000), str(tmp_path / "n.txt"))


def test_a_file_of_names_is_used_unchanged(tmp_path: Path) -> None:
    """Underscores and casing are the user's own; white space at the ends is not."""
    file = tmp_path / "names.txt"
    file.write_bytes("\ufeff Snow_Leopard \r\n{cat} 100%\n\n".encode())
    assert rename(splits(2), str(file)).classes == ("Snow_Leopard", "{cat} 100%")


def test_a_file_of_names_has_a_limit_and_so_has_a_name(tmp_path: Path) -> None:
    """A message shows the beginning of a long name only."""
    file, long = tmp_path / "names.txt", "e" * (LONGEST_CLASS_NAME + 1)
    file.write_text(f"a\n{long[1:]}\n")
    assert rename(splits(2), str(file)).classes == ("a", long[1:])
    for text, where in (
        (f"a\n{long}\n", "line 2: the class name"),
        (f"a=b\n{long}=a\n", "line 2: the folder"),
    ):
        file.write_text(text)
        message = f"{where} that begins with 'e{{60}}' has 301 characters; shorten it to 300 at most"
        with pytest.raises(DataError, match=message):
            rename(splits(2), str(file))
    with file.open("wb") as large:
        large.truncate(MOST_SETTINGS_BYTES + 1)
    with pytest.raises(DataError, match="is too large for a class names file"):
        rename(splits(2), str(file))


FOLDERS = replace(splits(3), classes=("n 1", "n 2", "été"), sources=("n_1", "n_2", "e\u0301te\u0301"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.txt", "n_2 = rose\nété=a = b\n\n"),
        ("names.json", '{"n_2": "rose", "e\u0301te\u0301": "a = b"}'),
        ("names.toml", '"n 2" = "rose"\n"été" = "a = b"\n'),
    ],
)
def test_names_by_folder_go_to_their_folders(tmp_path: Path, name: str, text: str) -> None:
    """Whatever the order and the form of accents; a folder that is not named keeps its own name."""
    file = tmp_path / name
    file.write_text(text, "utf-8")
    renamed = rename(FOLDERS, str(file))
    assert renamed.classes == ("n 1", "rose", "a = b")
    assert renamed.notes == (f"class names from {name}: n_1 -> n 1, n_2 -> rose, e\u0301te\u0301 -> a = b",)


# Control characters alone cannot be in a name.
TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)
NAMES = TEXTS.filter(lambda text: text.replace("_", " ").strip()).map(lambda text: tidy(text, where="here"))


@example(folder="a=b", name="c=d")
@example(folder='"a"=', name='"')
@given(folder=NAMES, name=NAMES)
def test_a_line_holds_any_folder(tmp_path: Path, folder: str, name: str) -> None:
    """Whatever signs are in its name."""
    file = tmp_path / "names.txt"
    file.write_text(f"{line_of(folder, name)}\n{line_of('other', 'plain')}\n", "utf-8")
    assume(name != "plain" and folder != "other")
    assert read_names_file(file) == {folder: name, "other": "plain"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("n.txt", "n_1=a\nn_3=b\n", "no class folder or label 'n_3'; write .*; did you mean n_2 or n_1"),
        ("n.txt", "n_1=a\nrose\nc\n", "'n_1=a' names a folder; write FOLDER=NAME in all lines or none"),
        ("n.txt", '"n_\\x"=a\n', "the folder in quotes, is not JSON"),
        ("n.txt", "n_1=a\nn_1=b\n", "line 2: the folder 'n_1' has a name already"),
        ("n.txt", "n_1=a\nn_2=a\n", "'a' stands for 2 classes"),
        ("n.txt", "n_1=n 2\n", "'n 2' stands for 2 classes"),
        ("n.json", '{"n_1": "a", "n_1": "b"}', "n.json: the key 'n_1' stands twice"),
        ("n.json", "5", "must be {"),
        ("n.json", "[]", "must be {"),
        ("n.json", '{"n_1": 5}', "must be {"),
        ("n.toml", "a = [", "n.toml is not TOML"),
        ("n.toml", "[n_1]\na = 1", "must be {"),
    ],
)
def test_wrong_names_by_folder_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    """An unknown folder with those that are meant; lines of two kinds; values that are no names."""
    file = tmp_path / name
    file.write_text(text, "utf-8")
    with pytest.raises(DataError, match=message):
        rename(FOLDERS, str(file))


def test_names_by_order_are_shown_and_those_of_other_classes_stand_out(tmp_path: Path) -> None:
    """A note has folder and name; names of other folders, cased or spelled otherwise, are a warning."""
    file = tmp_path / "names.json"
    file.write_text('["one", "two", "three"]')
    renamed = rename(FOLDERS, str(file))
    assert renamed.notes == (
        "class names from names.json, by order: n_1 -> one, n_2 -> two, e\u0301te\u0301 -> three",
    )
    file.write_text('["N-2", "n 1", "Été"]')
    _shown, warning = rename(FOLDERS, str(file)).notes
    assert "those of the data in another order: 'n_1' is now called 'N-2'" in warning
    file.write_text('["N-2", "two", "three"]')
    assert "some are those of other classes" in rename(FOLDERS, str(file)).notes[1]
    file.write_text('["n 1", "n 2", "été"]')
    assert rename(FOLDERS, str(file)).notes == ()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"a\nb\nc\n", "3 names, but made up has 2"),
        (b"a\n\nb\n", "line 2: the class name '' is empty"),
        (b"a\na\n", "'a' stands for 2 classes .labels 0, 1"),
        (b"a\xff\nb\n", "not UTF-8"),
        (b"", "line 1: the class name '' is empty"),
        (b"a\x00\nb", "control character"),
    ],
)
def test_a_wrong_file_of_names_is_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    """The line is named where there is one."""
    file = tmp_path / "names.txt"
    file.write_bytes(raw)
    with pytest.raises(DataError, match=message):
        rename(splits(2), str(file))


def test_a_list_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """A file that is not there, a folder in its place, OpenAI's names for other classes."""
    for choice, message in (
        (str(tmp_path / "names.txt"), r"names\.txt does not exist"),
        (str(tmp_path), "is a folder"),
        ("openai", "1000 names, but made up has 2 classes"),
    ):
        with pytest.raises(DataError, match=message):
            rename(splits(2), choice)


@given(st.text())
def test_tidying_is_done_once(raw: str) -> None:
    """A tidied name is tidy, or the raw one was refused with its place."""
    name = unless_refused(lambda: tidy(raw, where="here"), "here")
    if name is not None:
        assert tidy(name, where="here") == name
        assert name == name.strip()
        assert "_" not in name


@given(st.binary(max_size=60))
def test_any_bytes_give_names_or_a_clear_error(tmp_path: Path, raw: bytes) -> None:
    """No file makes the reader raise anything but DataError."""
    file = tmp_path / "any.txt"
    file.write_bytes(raw)
    names = unless_refused(lambda: read_names(file), str(file))
    if names is not None:
        assert len(set(names)) == len(names) > 0


# How many templates OpenAI published for each data set.
PUBLISHED = {
    "caltech101": 34, "oxford_pets": 1, "stanford_cars": 8, "oxford_flowers": 1, "food101": 1,
    "fgvc_aircraft": 2, "sun397": 2, "dtd": 8, "eurosat": 3, "ucf101": 48,
}  # fmt: skip


@pytest.mark.parametrize("name", [entry.name for entry in known()])
def test_every_known_set_has_templates_of_its_own(name: str) -> None:
    """At least one, each with a slot, no two alike."""
    lists = for_dataset(name)
    assert lists["default template"] == (DEFAULT_TEMPLATE,)
    assert len(set(lists["hand-made"])) == len(lists["hand-made"]) >= 1
    assert all("{}" in template for templates in lists.values() for template in templates)


def test_openais_sets_have_their_published_sizes() -> None:
    """Ten sets here; ImageNet's is open_clip's own list."""
    count_by_set = {name: len(templates) for name, templates in published().items()}
    assert {name: count_by_set[name] for name in PUBLISHED} == PUBLISHED
    assert set(PUBLISHED) | {"imagenet"} == set(ELEVEN)
    assert len(hand_made("imagenet")) == 7


def test_open_clips_lists_are_open_clips() -> None:
    """The same texts that the library's functions give."""
    import open_clip

    lists = for_dataset("a folder of mine")
    assert "hand-made" not in lists
    pairs = (
        (lists["OpenAI's 80 templates"], open_clip.OPENAI_IMAGENET_TEMPLATES, 80),
        (simple_imagenet_templates(), open_clip.SIMPLE_IMAGENET_TEMPLATES, 7),
    )
    for templates, functions, count in pairs:
        assert [text.replace("{}", "cat") for text in templates] == [make("cat") for make in functions]
        assert len(templates) == count
