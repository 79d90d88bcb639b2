"""A path that the user gave: absolute, or refused with what is wrong with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from promptclimb.agent.cli.main import main
from promptclimb.evaluator.datasets.loading import data_root_or_default, load_data, read_splits
from promptclimb.evaluator.errors import ConfigError, DataError, UsageError
from promptclimb.evaluator.files import cache_dir, read_bytes, user_path
from promptclimb.evaluator.spec import EvaluatorSpec

NONE = {
    "": "empty",
    "a\0b": "NUL",
    "~nobody-here/x": "no home folder for ~nobody-here",
    "around/x": "circle",
    "x\udcff": "not UTF-8",
}
"""What no file can be meant by, and what is said of it."""


@pytest.fixture(autouse=True)
def in_a_folder_with_a_circle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of the test's own, with a link that leads to itself."""
    monkeypatch.chdir(tmp_path)
    Path("around").symlink_to("around")


def test_a_path_becomes_absolute_and_need_not_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home folder and links are followed; where a link is to stay, it stays."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert user_path("~/link/x", "x") == tmp_path / "real" / "x"
    assert user_path(Path("link"), "x", follow_links=False) == tmp_path / "link"


@pytest.mark.parametrize("path", list(NONE))
def test_what_can_be_no_path_is_refused_with_who_gave_it(path: str) -> None:
    """One line: where it came from, the path, what is wrong, what to do."""
    with pytest.raises(ConfigError, match=f"^--here .*{NONE[path]}.*") as caught:
        user_path(path, "--here")
    str(caught.value).encode()
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_utf_8_is_no_place_to_start_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is judged by what it leads to."""
    folder = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(folder)  # noqa: PTH102 - a name of bytes
    monkeypatch.chdir(os.fsdecode(folder))
    with pytest.raises(ConfigError, match="not UTF-8"):
        user_path("runs", "--run-dir")


@pytest.mark.parametrize("path", ["~nobody-here/x", "a\0b"])
def test_variables_and_data_are_judged_alike(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache folder, the data root, a data set's place, class names and an evaluator's file."""
    if "\0" not in path:  # which no variable can hold
        monkeypatch.setenv("PROMPTCLIMB_CACHE", path)
        with pytest.raises(UsageError, match=r"^PROMPTCLIMB_CACHE"):
            cache_dir()
        monkeypatch.setenv("DATA", path)
        with pytest.raises(UsageError, match=r"^DATA"):
            data_root_or_default(None)
        monkeypatch.undo()
    with pytest.raises(UsageError, match=r"^`data = "):
        read_splits(path, data_root=None)
    with pytest.raises(UsageError, match=r"^`class_names = "):
        load_data(EvaluatorSpec(data="digits", class_names=path))
    with pytest.raises(ConfigError, match=r"^`custom_scorer = "):
        EvaluatorSpec(custom_scorer=f"{path}.py:make")


@pytest.mark.parametrize("raw", ["x" * 300, "/b" * 2_500, "\N{SNOWMAN}" * 100])
def test_a_name_that_no_folder_can_have_is_refused(raw: str) -> None:
    """Here, and not by the system where it is first used."""
    with pytest.raises(ConfigError, match=r"longer than a path can be|cannot be followed"):
        user_path(raw, "--run-dir")
    with pytest.raises(ConfigError, match="longer than a path can be"):
        user_path(raw, "--run-dir", follow_links=False)


def test_a_pipe_of_the_shell_is_called_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Linux shows that of <(...) as a link to a path which is not there."""
    read_end, write_end = os.pipe()
    pipe = f"/dev/fd/{read_end}"
    try:
        assert user_path(pipe, "x") == Path(pipe)
        for command in (f"evaluate --config {pipe}", f"suite {pipe}", f"search --describe {pipe} --dry-run"):
            assert main(command.split()) == 2
            err = capsys.readouterr().err
            assert f"{pipe} is a device or a pipe; " in err
            assert "PosixPath" not in err
    finally:
        os.close(read_end)
        os.close(write_end)


@pytest.mark.parametrize("kind", ["device", "pipe", "sparse", "system"])
def test_what_has_no_end_or_is_too_large_is_not_read(tmp_path: Path, kind: str) -> None:
    """A device, a pipe that nobody writes to, a file of many bytes or one that grows while it is read."""
    path = tmp_path / kind
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(2**40)
    else:
        path.symlink_to("/proc/self/maps")  # its size is said to be 0
        if not path.exists():
            pytest.skip("there is no /proc here")
    message = "device or a pipe" if kind in ("device", "pipe") else "too large for a list"
    with pytest.raises(DataError, match=message):
        read_bytes(path, what="list", most=100)
