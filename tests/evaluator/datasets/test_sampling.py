"""Few-shot samples, published indices, and splits made by rule."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.evaluator.datasets.readers import torchvision_sets
from promptclimb.evaluator.datasets.readers.coop import ELEVEN, parse_split
from promptclimb.evaluator.datasets.sampling import (
    default_shots,
    divide,
    draw,
    part_of_test,
    sample,
)
from promptclimb.evaluator.datasets.values import Item, Splits
from promptclimb.evaluator.errors import DataError
from tests.evaluator.datasets.conftest import MakeImages, stand_in
from tests.fakes.data_sets import load
from tests.paths import ROOT

PUBLISHED = ("dtd", "eurosat", "oxford_pets")


@pytest.fixture(scope="session")
def data_root(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CoOp's folder layout for one set: the real split file over tiny stand-ins for the images."""
    root = tmp_path_factory.mktemp("DATA")
    home = root / "dtd"
    text = (published / ELEVEN["dtd"].split).read_text("utf-8")
    paths = [path for entries in json.loads(text).values() for path, _label, _name in entries]
    for folder in {Path(path).parent for path in paths}:
        (home / "images" / folder).mkdir(parents=True)
    for path in paths:
        (home / "images" / path).write_bytes(stand_in(path))
    (home / ELEVEN["dtd"].split).write_text(text, "utf-8")
    return root


@pytest.fixture(scope="session", params=PUBLISHED)
def whole(request: pytest.FixtureRequest, published: Path) -> Splits:
    """A published split file, read as it is; its images are not needed to draw from it."""
    layout = ELEVEN[request.param]
    text = (published / layout.split).read_text("utf-8")
    images = Path("/data", layout.folder, layout.images)
    (train, val, test), classes = parse_split(text, root=images, where=layout.split)
    return Splits(name=request.param, classes=classes, train=train, val=val, test=test, root=images)


def listed(items: tuple[Item, ...], root: Path) -> list[tuple[str, int]]:
    return [(item.path.relative_to(root).as_posix(), item.label) for item in items]


def indices(published: Path, name: str, shots: int, seed: int) -> dict[str, list[tuple[str, int]]]:
    """The published few-shot items, their paths from the image folder on."""
    file = published / "indices" / name / f"shot_{shots}-seed_{seed}.json"
    inner = f"/{ELEVEN[name].images}/"
    return {
        split: [(entry["impath"].split(inner, 1)[1], entry["label"]) for entry in drawn["data"]]
        for split, drawn in json.loads(file.read_text("utf-8")).items()
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("shots", [1, 4, 16])
def test_every_published_index_comes_out_in_its_order(
    whole: Splits, published: Path, shots: int, seed: int
) -> None:
    """Three data sets, three shot counts, three seeds: the same files with the same labels, one by one."""
    train, val = draw(whole, shots=shots, seed=seed)
    expected = indices(published, whole.name, shots, seed)
    assert listed(train, whole.root) == expected["train"]
    assert listed(val, whole.root) == expected["val"]


def test_a_data_set_on_disk_gives_the_published_indices(published: Path, data_root: Path) -> None:
    """Through the front door, by name under the data root, and by the path of its folder."""
    expected = indices(published, "dtd", 16, 3)
    by_name = load("dtd", data_root=data_root, shots=16, seed=3)
    by_path = load(str(data_root / "dtd"), shots=16, seed=3)
    for data in (by_name, by_path):
        assert data.name == "dtd"
        assert listed(data.train, data_root / "dtd" / "images") == expected["train"]
        assert listed(data.val, data_root / "dtd" / "images") == expected["val"]
    # The test split's items are not shown by repr, and opening it gives all of them.
    assert ".jpg" not in repr(by_name.test)
    assert len(set(by_name.test.open())) == by_name.test.size == 1692


def test_names_lose_their_underscores_and_keep_their_casing(whole: Splits) -> None:
    """american_bulldog is a name with a space, Annual Crop Land keeps its capitals."""
    spelled = {"dtd": "polka-dotted", "eurosat": "Annual Crop Land", "oxford_pets": "american bulldog"}
    assert spelled[whole.name] in whole.classes


def items(labels: list[int]) -> tuple[Item, ...]:
    return tuple(Item(Path(f"/images/{number}.png"), label) for number, label in enumerate(labels))


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(1, 8), st.integers(0, 2**31))
def test_a_sample_is_balanced_and_distinct(labels: list[int], shots: int, seed: int) -> None:
    """min(shots, count) of every label, no item twice, labels in the order of their first appearance."""
    drawn = sample(items(labels), shots, random.Random(seed))
    assert len(set(drawn)) == len(drawn)
    counted = [item.label for item in drawn]
    for label in set(labels):
        assert counted.count(label) == min(shots, labels.count(label))
    assert list(dict.fromkeys(counted)) == list(dict.fromkeys(labels))


def splits(train: list[int], val: list[int]) -> Splits:
    return Splits(
        name="made up", classes=("a", "b"), train=items(train), val=items(val), test=(), root=Path("/images")
    )


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.integers(1, 59), st.integers(0, 9))
def test_a_part_of_test_is_stratified(labels: list[int], images: int, seed: int) -> None:
    """So many images, in their order, of each class its share but for rounding; the same for a seed."""
    items = tuple(Item(Path(f"{number}.png"), label) for number, label in enumerate(labels))
    images = min(images, len(items))
    drawn = part_of_test(items, images=images, seed=seed)
    assert len(drawn) == images
    assert sorted(drawn, key=items.index) == list(drawn)
    for label in set(labels):
        share = labels.count(label) * images / len(labels)
        assert abs(sum(item.label == label for item in drawn) - share) < 1
    assert part_of_test(items, images=images, seed=seed) == drawn


def test_an_evaluation_on_a_part_says_so(tmp_path: Path, make_images: MakeImages) -> None:
    """The split has its size, and a note of the data; as many images as there are is all of them."""
    data = str(make_images(tmp_path / "data", {"a": 40, "b": 20}))
    whole, partial = load(data), load(data, test_images=9)
    assert (whole.test.size, partial.test.size) == (18, 9)
    assert set(partial.test.open()) < set(whole.test.open())
    assert partial.train == whole.train
    assert "using 9 of 18 test images" in partial.notes[-2]
    assert "there are only 9 test images" in partial.notes[-1]
    assert load(data, test_images=18) == whole
    assert load(data, test_images=9, seed=2).test != partial.test


def test_val_continues_the_random_stream_of_train() -> None:
    """Val is not drawn from a fresh generator, so it changes with the number of training shots."""
    data = splits([0] * 20 + [1] * 20, [0] * 20 + [1] * 20)
    train, val = draw(data, shots=4, seed=1)
    rng = random.Random(1)
    expected = [data.train[20 * label + index] for label in (0, 1) for index in rng.sample(range(20), 4)]
    assert list(train) == expected
    assert val == tuple(
        data.val[20 * label + index] for label in (0, 1) for index in rng.sample(range(20), 4)
    )
    assert len(draw(data, shots=16, seed=1)[1]) == 8


def test_too_many_shots_are_answered_with_what_would_do() -> None:
    """A number that is possible, or none."""
    with pytest.raises(
        DataError,
        match=r"4 training images, too few for 16 .*`shots = 4` or fewer, `shots = \"all\"` for every",
    ):
        draw(splits([0, 0, 1, 1, 1, 1], []), shots=16, seed=1)


def test_where_nothing_is_said_the_smallest_class_decides_up_to_sixteen() -> None:
    """Every class gives as many. Where few leave images unused, or 16 a fifth of them, one line says so."""
    shots, line = default_shots(splits([0, 0, 1, 1, 1, 1], []))
    assert (shots, line) == (
        2,
        "using 4 of 6 training images: 2 of each class, as the smallest, 'a', has no more; "
        '`shots = "all"` uses every one, and more labelled images usually help most',
    )
    for counts, expected, is_noted in (
        ((16, 16), 16, False),
        ((3, 3), 3, False),
        ((20, 20), 16, False),
        ((40, 20), 16, True),
        ((40, 1), 1, True),
        ((100, 68), 16, True),
    ):
        labels = [label for label, count in enumerate(counts) for _ in range(count)]
        shots, line = default_shots(splits(labels, []))
        assert (shots, line is not None) == (expected, is_noted)


def test_all_shots_are_every_labelled_image() -> None:
    """Also of a class that has a single one, which then has no test image."""
    train, val = draw(splits([0, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1]), shots="all", seed=1)
    assert (len(train), len(val)) == (4, 7)
    learnt, _, tested = divide([Item(Path(str(number)), number > 0) for number in range(5)])
    assert [sum(item.label == 0 for item in split) for split in (learnt, tested)] == [1, 0]


@pytest.mark.parametrize("shots", [0, -1])
def test_impossible_shots_are_refused(shots: int) -> None:
    """Not positive."""
    with pytest.raises(DataError, match="shots"):
        draw(splits([0, 0, 1, 1, 1, 1], []), shots=shots, seed=1)


PAGE = (ROOT / "docs" / "data.md").read_text("utf-8")


def test_the_table_of_the_eleven_is_the_one_that_is_read() -> None:
    """Name, folder, image folder and split file of each."""
    rows = {row[0]: row[1:] for row in re.findall(r"^\|`(\w+)`\|`([^`]+)`\|(.+?)\|(.+?)\|$", PAGE, re.M)}
    assert set(rows) == set(ELEVEN)
    for name, layout in ELEVEN.items():
        folder, images, split = rows[name]
        assert folder == layout.folder
        assert f"`{layout.split}`" in split
        assert not layout.images or layout.images in images


def test_the_page_names_torchvision_sets_that_are_read_and_how_many_there_are() -> None:
    """Not all, as an unknown name prints them."""
    listed = re.search(r"torchvision's `root`: (.*?) and (\d+) more", PAGE, re.DOTALL)
    assert listed is not None
    names = re.split(r",\s+", listed.group(1))
    assert set(names) <= set(torchvision_sets.SPLITS)
    assert len(names) + int(listed.group(2)) == len(torchvision_sets.SPLITS)
