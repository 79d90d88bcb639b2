"""Files of a run's folder are opened only where they are files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from promptclimb.evaluator.regular_files import BUFFER, irregular, open_regular, read_regular

KINDS: dict[str, Callable[[Path], object]] = {
    "a symbolic link": lambda path: path.symlink_to("/dev/zero"),
    "a pipe or a device": os.mkfifo,
    "a folder": Path.mkdir,
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_named_and_not_waited_for(kind: str, tmp_path: Path) -> None:
    """A pipe has no end, and a link leads elsewhere."""
    KINDS[kind](tmp_path / "x")
    assert irregular(tmp_path / "x") == kind
    for mode in ("rb", "a+b"):
        with pytest.raises(OSError, match=f"it is {kind}"):
            open_regular(tmp_path / "x", mode)


def test_a_file_is_read_and_written_up_to_a_size(tmp_path: Path) -> None:
    """A sparse file of any size fits into a small archive."""
    path = tmp_path / "x"
    assert irregular(path) is None
    with pytest.raises(FileNotFoundError):
        read_regular(path)
    with open_regular(path, "a+b") as file:
        file.write("é".encode())
    assert (irregular(path), read_regular(path)) == (None, "é")
    with pytest.raises(OSError, match="more than 1 bytes"):
        read_regular(path, most=1)


def test_a_large_file_is_read_in_large_parts(tmp_path: Path) -> None:
    """Threads that read small parts keep all others from the interpreter."""
    (tmp_path / "log").write_bytes(b"x" * 3 * BUFFER)
    with open_regular(tmp_path / "log") as file:
        assert len(file.peek(1)) == BUFFER  # type: ignore[attr-defined]
