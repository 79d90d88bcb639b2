"""The folder of a run and its files."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import StoreExistsError
from promptclimb.agent.present.sentences import about_order
from promptclimb.agent.results.result import Row, words_of
from promptclimb.agent.results.run_dir import (
    check_files,
    check_run_dir,
    labels_in,
    leaderboard_csv,
    new_run_dir,
    output_file,
    read_result,
    result_of,
    safe_cell,
    write_atomically,
    write_result,
)
from promptclimb.evaluator.errors import ConfigError, UsageError
from tests.fakes.small_result import small_result


def test_a_result_reads_back(tmp_path: Path) -> None:
    """result.json holds all that a result is; the leaderboard and the ensemble lie beside it."""
    write_result(tmp_path, small_result())
    assert read_result(tmp_path) == result_of(tmp_path) == small_result()
    assert json.loads((tmp_path / "templates.json").read_text()) == ["a {}", "one {}"]
    assert (tmp_path / "leaderboard.csv").read_text().count("\n") == 3


def test_a_missing_result_is_reported_with_what_to_do(tmp_path: Path) -> None:
    """No folder, no run, a run that has not come so far."""
    with pytest.raises(UsageError, match="no such folder"):
        result_of(tmp_path / "absent")
    with pytest.raises(UsageError, match="not the folder of a run"):
        result_of(tmp_path)
    (tmp_path / "store").mkdir()
    with pytest.raises(UsageError, match="resume"):
        result_of(tmp_path)


@pytest.mark.parametrize("new", ["new", b"\x00new"])
def test_a_write_is_whole(tmp_path: Path, new: str | bytes) -> None:
    """Text and bytes replace what was there, and nothing is left beside them."""
    path = tmp_path / "f"
    write_atomically(path, "old")
    write_atomically(path, new)
    assert path.read_bytes() == (new if isinstance(new, bytes) else new.encode())
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["pipe", "link"])
def test_a_pipe_or_a_device_is_not_replaced(tmp_path: Path, name: str) -> None:
    """Root's ``--out /dev/null`` would make it a file."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with pytest.raises(OSError, match="it is not a file"):
        write_atomically(tmp_path / name, "new")
    assert (tmp_path / name).is_fifo()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """A reader sees the old file or the new one."""
    path = tmp_path / "f"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder", "new")
    assert path.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "folder"]


def test_a_new_runs_folder_is_named_or_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the config says, as an absolute path; else one under runs/ that nobody else gets any more."""
    monkeypatch.chdir(tmp_path)
    assert new_run_dir(SearchConfig(method="random", run_dir=Path("r"))) == tmp_path / "r"
    assert not (tmp_path / "r").exists()
    config = SearchConfig(method="random", data="some where/my pics!")
    first = new_run_dir(config)
    assert first.parent == tmp_path / "runs"
    assert first.name.endswith("-my-pics-random")
    others = [new_run_dir(config) for _ in range(20)]  # most of them in the same second
    assert len({first, *others}) == 21
    for folder in (first, *others):
        check_run_dir(folder)


def test_a_file_in_place_of_the_runs_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no sign that other runs have all the names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").write_text("x")
    with pytest.raises(ConfigError, match=r"run_dir = .*runs\"`: a file is where the folder should be"):
        new_run_dir(SearchConfig(method="random"))


def test_a_file_in_place_of_the_folder_of_labels_is_said(tmp_path: Path) -> None:
    """By name, with the setting to change."""
    (tmp_path / "labels.sqlite").touch()
    with pytest.raises(UsageError, match=r"labels\.sqlite: it is a file; name a folder with `shared_cache`"):
        labels_in(tmp_path / "labels.sqlite")


def test_a_folder_of_labels_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is asked, and with the setting that names another."""

    def refuse(**_where: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(UsageError, match="Read-only file system; name a folder with `shared_cache`"):
        labels_in(tmp_path)


def test_a_dash_is_not_taken_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other programs mean standard output by it; a path to such a file is taken."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"`out = -` is not standard output; name a file"):
        output_file("-", "`out`", ".csv")
    assert output_file("./-", "`out`", ".csv") == tmp_path / "-"


def test_a_new_run_needs_an_empty_folder(tmp_path: Path) -> None:
    """One is made; a run, other files, and a file in its place are refused with what to do."""
    check_run_dir(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "run" / "store").mkdir(parents=True)
    with pytest.raises(StoreExistsError, match="resume"):
        check_run_dir(tmp_path / "run")
    with pytest.raises(ConfigError, match="not empty"):
        check_run_dir(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="a file is where the folder should be"):
        check_run_dir(tmp_path / "file")


def test_what_a_killed_start_left_is_no_obstacle(tmp_path: Path) -> None:
    """The store sweeps it away; anything else in the folder is somebody's."""
    (tmp_path / "store.new.123").mkdir()
    check_run_dir(tmp_path)
    (tmp_path / "store.mine").mkdir()
    with pytest.raises(ConfigError, match="not empty"):
        check_run_dir(tmp_path)


def test_an_error_of_writing_names_the_file_and_no_temporary_one(tmp_path: Path) -> None:
    """A folder in the file's place, or no folder to write into."""
    (tmp_path / "result.json").mkdir()
    for path in (tmp_path / "result.json", tmp_path / "absent" / "result.json"):
        with pytest.raises(OSError, match=r"result\.json") as caught:
            write_atomically(path, "x")
        assert caught.value.filename == str(path)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize(
    "name", ["result.json", "leaderboard.csv", "templates.json", "config.toml", "report.html"]
)
def test_a_folder_in_place_of_a_runs_file_is_reported(tmp_path: Path, name: str) -> None:
    """Found when the run goes on, and not when it has come to its end."""
    check_files(tmp_path)
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match=f"{name} is a folder"):
        check_files(tmp_path)


def line(rank: int, template: str, val: float | None = 0.5) -> Row:
    """A line of a leaderboard."""
    return Row(rank=rank, template=template, train=1 / 3, val=val, restart=1, conversation=0, round=0)


@pytest.mark.parametrize("text", ["=1+1 {}", "+{}", "-{}", "@sum {}", "\t={}", "\r-{}", " @{}", "＝1+1 {}"])
def test_no_cell_starts_a_formula(text: str) -> None:
    """What a spreadsheet would run is turned into text."""
    assert safe_cell(text)[0] == "'"
    shown = next(csv.reader(io.StringIO(leaderboard_csv([line(1, text)]).split("\n", 1)[1])))
    assert shown[1].startswith("'")


def test_the_leaderboard_reads_back() -> None:
    """Commas, quotes and absent validation accuracies survive the way through CSV."""
    rows = [replace(line(1, 'a "{}", drawn'), source="llm", copies=0.25), line(2, "b {}", None)]
    read = list(csv.DictReader(io.StringIO(leaderboard_csv(rows))))
    names = ["rank", "template", "train", "val", "restart", "conversation", "round", "source", "copies"]
    assert list(read[0]) == names
    assert [line["template"] for line in read] == ['a "{}", drawn', "b {}"]
    assert (read[0]["train"], read[1]["val"]) == ("0.333333", "")
    assert [line["source"] for line in read] == ["llm", ""]
    assert [line["copies"] for line in read] == ["0.250000", ""]
    read = list(csv.DictReader(io.StringIO(leaderboard_csv([replace(rows[0], objective=0.5), rows[1]]))))
    assert list(read[0]) == [*names, "objective"]
    assert [line["objective"] for line in read] == ["0.500000", ""]


def test_a_spreadsheet_reads_accents_and_no_negative_zero() -> None:
    """Other letters than ASCII get a byte order mark; a file without them has none."""
    plain, accents = (leaderboard_csv([replace(line(1, text, -0.0))]) for text in ("a {}", "une ñ {}"))
    assert (plain[0], accents[0]) == ("r", "\ufeff")
    assert "-0.0" not in plain


def test_the_order_is_said_as_it_is() -> None:
    """What counts beside the training images, where there is anything; before the choice, those alone."""
    seen = replace(line(1, "a {}", None), copies=0.25)
    rows_by_sentence = {
        "counts validation images too": [line(1, "a {}")],
        "counts augmented copies too": [seen],
        "counts validation images and augmented copies too": [seen, line(2, "b {}")],
        "final choice: by training score.": [line(1, "a {}", None)],
    }
    for part, rows in rows_by_sentence.items():
        assert part in about_order(rows, words_of("template"), chosen=True)
        assert about_order(rows, words_of("template"), chosen=False).startswith(
            "Best first by training score so far;"
        )
