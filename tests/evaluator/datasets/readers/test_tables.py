"""CSV, TSV and JSON-lines tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.evaluator.datasets.readers.folders import TABLE_SUFFIXES
from promptclimb.evaluator.datasets.readers.tables import parse_table, read_table
from promptclimb.evaluator.errors import ConfigError, DataError
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.evaluator.datasets.conftest import MakeImages, unless_refused
from tests.fakes.data_sets import load


@pytest.fixture
def pictures(tmp_path: Path, make_images: MakeImages) -> Path:
    return make_images(tmp_path, {"a": 10, "b": 10})


def rows(count: int = 10) -> list[tuple[str, str]]:
    return [(f"{label}/{number:03d}.png", f"kind_{label}") for label in "ab" for number in range(count)]


def write_table(folder: Path, suffix: str, *, split: bool) -> Path:
    file = folder / f"table{suffix}"
    full = [
        (path, label, ("train", "val", "test")[number % 3]) for number, (path, label) in enumerate(rows())
    ]
    columns = ("path", "label", "split")[: 3 if split else 2]
    if suffix == ".jsonl":
        lines = [json.dumps(dict(zip(columns, row, strict=False))) for row in full]
    else:
        comma = "," if suffix == ".csv" else "\t"
        lines = [comma.join(row[: len(columns)]) for row in (columns, *full)]
    file.write_text("\ufeff" * (suffix == ".csv") + "\r\n".join(lines) + "\n\n", "utf-8")
    return file


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_a_table_with_splits_is_taken_as_it_is(pictures: Path, suffix: str) -> None:
    """Rows keep their order, names lose underscores, a byte-order mark and CRLF do no harm."""
    data = load(str(write_table(pictures, suffix, split=True)), shots=2, seed=1)
    assert data.name == "table"
    assert data.classes == ("kind a", "kind b")
    assert (len(data.train), len(data.val), data.test.size) == (4, 4, 6)
    assert [note for note in data.notes if "test images" not in note] == []


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_table_without_splits_is_split_by_rule(pictures: Path, suffix: str) -> None:
    """As a flat folder is, and said so."""
    splits = read_table(write_table(pictures, suffix, split=False), data_root=None)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (10, 4, 6)
    assert any("test were made" in note for note in splits.notes)


def test_paths_may_be_relative_to_a_data_root(
    pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The table may lie elsewhere."""
    file = write_table(pictures, ".csv", split=True).rename(tmp_path_factory.mktemp("elsewhere") / "t.csv")
    assert load(str(file), data_root=pictures, shots=1).test.size == 6


def test_numbers_count_the_lines_of_a_class_names_file(pictures: Path) -> None:
    """With --class-names FILE a label is an index, and one beyond the last name is refused."""
    names = pictures / "names.txt"
    names.write_text("first\nsecond\nthird_one\n", "utf-8")
    table = pictures / "t.csv"
    lines = [f"a/{number:03d}.png,{number % 3}" for number in range(9)]
    table.write_text("\n".join(["path,label", *lines]), "utf-8")
    data = load(str(table), shots=1, class_names=str(names))
    assert data.classes == ("first", "second", "third_one")
    assert all(int(item.path.stem) % 3 == item.label for item in data.train + data.test.open())
    table.write_text("\n".join(["path,label", *lines, "b/000.png,3"]), "utf-8")
    with pytest.raises(DataError, match="line 11: label 3 is out of range: there are 3"):
        load(str(table), shots=1, class_names=str(names))


def test_numbers_without_names_are_sorted_as_numbers(pictures: Path) -> None:
    """Class "10" comes after class "9"."""
    table = pictures / "t.csv"
    table.write_text("path,label\n" + "\n".join(f"a/{n % 10:03d}.png,{n // 2}" for n in range(22)), "utf-8")
    assert read_table(table, data_root=None).classes[9:] == ("9", "10")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'label'"),
        ("path,label\n", "has no rows"),
        ("file,class\na/000.png,x\n", r"no column 'label' \(it has file, class\)"),
        (
            "file;class\na/000.png;x\n",
            r"no column 'label' \(it has file, class\).*are given by `columns = path",
        ),
        ("path;label\na/000.png;x;y\n", "line 2 has more cells than there are columns"),
        ("path,label\na/000.png\n", "line 2 has no label"),
        ("path,label\n,x\n", "line 2 has no path"),
        ("path,label\na/000.png,x,y\n", "line 2 has more cells"),
        ("path,label\na/000.png,x\nb/000.png,x\n", "one class only"),
        ("path,label\na/000.png,x\nb/999.png,y\n", "line 3: .*b/999.png does not exist"),
        ("path,label\na/000.png,x\nb,y\n", "line 3: .*is not a file"),
        ("path,label\n../t.csv,x\nb/000.png,y\n", "line 2: '../t.csv' leads out of"),
        ("path,label\n/etc/passwd,x\nb/000.png,y\n", "line 2: '/etc/passwd' leads out of"),
        ("path,label,split\na/000.png,x,training\nb/000.png,y,test\n", "split must be train, val or test"),
        ("path,label,split\na/000.png,x,train\nb/000.png,y,\n", "1 row has no split"),
        ("path,label\na/000.png,polar_bear\nb/000.png,polar bear\n", "stands for 2 classes"),
        ('path,label\n\na/000.png,x\n"b/000.png,y\nb/001.png,y\n', "line 4: a quote is not closed"),
        ('path,label\n"a/000.png,x\n' + 9_000 * "b/000.png,y\n", "line 2: a quote is not closed"),
        ('path,label\na/000.png,x\nb/000.png,"y" y\n', 'line 3: .*, or text follows .* quoted cell as ""'),
        ('path,"label\na/000.png,x\n', "line 1: a quote is not closed"),
        (
            f"path,label\na/000.png,x\nb/000.png,{'y' * 140_000}\n",
            "line 3: a cell has more than 131,072 char",
        ),
        ("path,label\n\na/000.png,x\nb/999.png,y\n", "line 4: .*b/999.png does not exist"),
        ("path,label,Label\na/000.png,x,y\nb/000.png,y,x\n", "2 columns 'label'"),
        ("path,label,la\u200bbel\na/000.png,x,y\nb/000.png,y,x\n", "2 columns 'label'"),
        ("path,label,split,split\na/000.png,x,train,test\n", "2 columns 'split'"),
        ("path,label\na/000.png,x\nb/000.png,y\n", "no test images"),
        ("[1, 2]", "line 1 is not a JSON object"),
        (
            '{"path": "a/000.png", "label": "x"}\n{"path": "b}',
            "line 2 is not JSON: Unterminated .* at column 10$",
        ),
        ('{"path": "a\t.png"}', "line 1 is not JSON: Invalid control character at column 12$"),
        ('{"path": "a/000.png", "label": true}', "label must be text or a number"),
        ('{"path": ["a"], "label": 1}', "path must be text"),
        ('{"label": "x"}', "line 1 has no path"),
    ],
)
def test_a_wrong_table_is_refused(pictures: Path, text: str, message: str) -> None:
    """The line is named, and what a table must look like."""
    table = pictures / ("t.jsonl" if text.startswith(("[", "{")) else "t.csv")
    table.write_text(text, "utf-8")
    with pytest.raises(DataError, match=message):
        load(str(table), shots=1)


def test_a_table_that_is_not_utf8_is_refused(pictures: Path) -> None:
    """With the place of the first byte that is not."""
    (pictures / "t.csv").write_bytes(b"path,label\na/000.png,caf\xe9\n")
    with pytest.raises(DataError, match=r"not UTF-8 \(byte 24"):
        load(str(pictures / "t.csv"), shots=1)


@given(
    st.text(alphabet=st.characters(codec="utf-8")) | st.text(alphabet='path,label\n"\t {}[]:01'),
    st.sampled_from(TABLE_SUFFIXES),
)
def test_any_text_gives_rows_or_a_clear_error(text: str, suffix: str) -> None:
    """With a right header before it or without: no text makes the reader raise anything but DataError."""
    for full in (text, "path,label,split\n" + text, "path\tlabel\n" + text):
        unless_refused(
            lambda text=full: list(parse_table(text, suffix=suffix, where="the table")), "the table"
        )


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_fields_are_separated_as_a_spreadsheet_does(mark: str, suffix: str, pictures: Path) -> None:
    """Where the comma is the decimal sign a CSV has semicolons; the header decides. Others may repeat."""
    header = f'"Label"{mark}"Path"{mark}"a, b; c"{mark}note{mark}Note'
    lines = [f"{label}{mark}{path}{mark}1{mark}x{mark}y" for path, label in rows()]
    file = pictures / f"t{suffix}"
    file.write_text("\n".join([header, *lines]))
    expected = pictures / "usual.csv"
    expected.write_text("\n".join(["path,label", *(f"{path},{label}" for path, label in rows())]))
    splits, usual = read_table(file, data_root=None), read_table(expected, data_root=None)
    assert (splits.classes, splits.train, splits.test) == (usual.classes, usual.train, usual.test)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_columns_may_have_names_of_their_own(suffix: str, pictures: Path) -> None:
    """As ``--columns`` says; one that is not said keeps its name, and others are passed over."""
    parts = ("train", "train", "test")
    if suffix == ".jsonl":
        lines = [
            json.dumps({"File, name": path, "label": label, "Part": parts[number % 3], "path": "x"})
            for number, (path, label) in enumerate(rows())
        ]
    else:
        mark = "\t" if suffix == ".tsv" else ";"
        lines = [mark.join(('"File, name"', "label", "Part", "path"))]
        lines += [mark.join((path, label, parts[n % 3], "x")) for n, (path, label) in enumerate(rows())]
    (pictures / f"t{suffix}").write_text("\n".join(lines))
    data = load(str(pictures / f"t{suffix}"), columns='"path=File, name", split=Part')
    listed = [path for number, (path, _label) in enumerate(rows()) if number % 3 == 2]
    assert sorted(item.path for item in data.test.open()) == sorted(pictures / path for path in listed)


def test_a_column_that_is_not_there_is_named(pictures: Path) -> None:
    """As it was given; anything but a table has no columns."""
    file = write_table(pictures, ".csv", split=False)
    with pytest.raises(DataError, match=r"no column 'part' \(it has path, label"):
        load(str(file), columns="split=Part")
    with pytest.raises(DataError, match="`columns` describes a table"):
        load(str(pictures), columns="split=Part")


@pytest.mark.parametrize(
    "text", ["", "path", "path=", "file=path", "path=a,path=b", '"path=a', "path=a;label=b,"]
)
def test_columns_that_say_nothing_are_refused(text: str) -> None:
    """In one line, with the form."""
    with pytest.raises(ConfigError, match=r"write path=NAME,label=NAME, and split=NAME"):
        EvaluatorSpec(columns=text)


def test_absolute_paths_need_a_root_above_them(tmp_path: Path, make_images: MakeImages) -> None:
    """The message names it; a root whose links were followed fits too."""
    pictures = make_images(tmp_path / "pictures", {"a": 10, "b": 10})
    link = tmp_path / "link"
    link.symlink_to(pictures)
    (tmp_path / "lists").mkdir()
    file = tmp_path / "lists" / "t.csv"
    file.write_text("\n".join(["path,label", *(f"{link}/{path},{label}" for path, label in rows())]))
    with pytest.raises(DataError, match=rf"outside {file.parent}; give `data_root = {link}`, which"):
        read_table(file, data_root=None)
    for root in (link, pictures.resolve()):
        splits = read_table(file, data_root=root)
        named = {item.path.relative_to(root).as_posix() for item in splits.train}
        assert named <= {path for path, _label in rows()}
