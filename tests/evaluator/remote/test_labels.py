from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from promptclimb.evaluator.errors import StoreCorruptError, StoreError
from promptclimb.evaluator.remote.labels import KeyMaker, LabelStore
from tests.paths import ROOT


def test_answers_and_vectors_come_back_as_they_were_kept(tmp_path: Path) -> None:
    """From another store on the same file too; keys without a value are missing."""
    store = LabelStore(tmp_path / "labels.sqlite")
    store.answers.keep({"a": {"text": "ein Bär \ud800"}, "b": 3})
    store.vectors.keep({"a": np.array([1.5, -2], dtype=np.float32), "c": "refused \ud800"})
    again = LabelStore(tmp_path / "labels.sqlite")
    assert again.answers.find(["a", "b", "c"]) == {"a": {"text": "ein Bär \ud800"}, "b": 3}
    kept = again.vectors.find(["a", "b", "c"])
    assert isinstance(kept["a"], np.ndarray)
    assert (kept["a"].tolist(), kept["c"]) == ([1.5, -2], "refused \ud800")
    again._file.rows("INSERT INTO vectors VALUES ('d', x'')")
    assert again.vectors.find(["d"]) == {"d": ""}  # an earlier version kept no reason
    assert again.answers.find([]) == {}


def test_the_first_answer_to_a_question_stays(tmp_path: Path) -> None:
    """Whoever asked at the same time gets the label that a resumed run will find."""
    first, second = (LabelStore(tmp_path / "labels.sqlite") for _ in range(2))
    assert first.answers.keep({"a": 1}) == {"a": 1}
    assert second.answers.keep({"a": 2, "b": 2}) == {"a": 1, "b": 2}


@pytest.mark.parametrize("member", ["protocol", "model", "text", "names"])
def test_a_key_changes_with_all_that_decides_an_answer(member: str) -> None:
    """With prompt, model and image; with the order of the class names too."""
    about = {"protocol": "chat", "model": "m", "text": "t", "names": ["a", "b"]}
    changed = {**about, member: ["b", "a"] if member == "names" else "other"}
    keys = {KeyMaker(about).key("image"), KeyMaker(changed).key("image"), KeyMaker(about).key("other")}
    assert len(keys) == 3
    assert KeyMaker(dict(reversed(about.items()))).key("image") == KeyMaker(about).key("image")


def test_threads_share_a_store(tmp_path: Path) -> None:
    """Nothing is lost, and all see the same."""
    store = LabelStore(tmp_path / "labels.sqlite")
    seen: list[dict[str, int]] = []

    def work(number: int) -> None:
        seen.append(store.answers.keep({"shared": number}))
        store.answers.keep({f"{number}/{label}": label for label in range(50)})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({labels["shared"] for labels in seen}) == 1
    assert len(store.answers.find([f"{number}/{label}" for number in range(8) for label in range(50)])) == 400


_WRITER = """
import sys
from pathlib import Path
from promptclimb.evaluator.remote.labels import LabelStore
store, mine = LabelStore(Path(sys.argv[1])), sys.argv[2]
for number in range(int(sys.argv[3])):
    store.answers.keep({f"{mine}/{number}": number, f"shared/{number}": mine})
    print(number, flush=True)
"""


def writer(path: Path, name: str, labels: int) -> subprocess.Popen[str]:
    """Another process that writes labels, and says so after each."""
    command = [sys.executable, "-c", _WRITER, str(path), name, str(labels)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_a_killed_process_loses_no_label_that_it_used(tmp_path: Path) -> None:
    """Two processes write one file, and one is killed in the middle: the file is whole."""
    path = tmp_path / "labels.sqlite"
    killed, other = writer(path, "one", 10**9), writer(path, "other", 100)
    assert killed.stdout is not None
    assert other.stdout is not None
    while int(killed.stdout.readline()) < 50:
        pass
    os.kill(killed.pid, signal.SIGKILL)
    last = [50, *(int(line) for line in killed.stdout if line.endswith("\n"))][-1]
    assert len(other.communicate()[0].splitlines()) == 100
    killed.wait()
    killed.stdout.close()
    store = LabelStore(path)
    assert len(store.answers.find([f"one/{number}" for number in range(last + 1)])) == last + 1
    assert len(store.answers.find([f"other/{number}" for number in range(100)])) == 100
    assert set(store.answers.find([f"shared/{number}" for number in range(50)]).values()) <= {"one", "other"}


def test_a_closed_file_is_called_closed(tmp_path: Path) -> None:
    """Not another program's."""
    store = LabelStore(tmp_path / "labels.sqlite")
    store.close()
    store.close()
    with pytest.raises(StoreError, match=r"labels\.sqlite is closed"):
        store.answers.find(["a"])


@given(st.integers(0, 8191), st.binary(min_size=1, max_size=200), st.booleans())
@example(at=4057, junk=b"\x80", cut=False)  # SQLite quotes it in its message
def test_a_damaged_file_is_named_or_still_right(
    tmp_path_factory: pytest.TempPathFactory, at: int, junk: bytes, cut: bool
) -> None:
    """Whatever is written into it, or cut off: a StoreError with its name, or the labels that were kept."""
    path = tmp_path_factory.mktemp("damaged") / "labels.sqlite"
    store = LabelStore(path)
    kept = {f"{number:032x}": number for number in range(100)}
    store.answers.keep(kept)
    store.close()
    content = bytearray(path.read_bytes())
    content[at : at + len(junk)] = junk
    path.write_bytes(bytes(content[: at + 1] if cut else content))
    labels: dict[str, object] = {}
    message = str(path)
    try:
        labels = LabelStore(path).answers.find(list(kept))
    except StoreError as error:
        message = str(error)
    assert str(path) in message
    # A changed digit cannot be noticed; a key that nobody asked for is never returned.
    assert labels.keys() <= kept.keys()


def test_a_file_of_another_kind_is_not_touched(tmp_path: Path) -> None:
    """A text, another program's SQLite file, or one of a later version."""
    text = tmp_path / "text"
    text.write_text("labels, in words" * 100)
    with pytest.raises(StoreCorruptError, match="damaged"):
        LabelStore(text)
    assert text.read_text() == "labels, in words" * 100
    for number, (change, problem) in enumerate(
        [("CREATE TABLE other (a)", "is not a file of labels"), ("PRAGMA user_version = 99", "in form 99")]
    ):
        path = tmp_path / f"{number}.sqlite"
        if "user_version" in change:
            LabelStore(path).close()
        with sqlite3.connect(path) as file:
            file.execute(change)
        file.close()
        with pytest.raises(StoreCorruptError, match=problem):
            LabelStore(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The folder does not exist."""
    with pytest.raises(StoreError, match=r"labels\.sqlite.* cannot be used"):
        LabelStore(tmp_path / "missing" / "labels.sqlite")


def test_a_row_from_outside_is_not_taken_for_a_label(tmp_path: Path) -> None:
    """A file that was made elsewhere may hold anything."""
    path = tmp_path / "labels.sqlite"
    store = LabelStore(path)
    store.answers.keep({"a": 1})
    with sqlite3.connect(path) as file:
        file.execute("UPDATE answers SET value = '{'")
        file.execute("INSERT INTO vectors VALUES ('a', X'0000C07F')")
    file.close()
    with pytest.raises(StoreCorruptError, match="is damaged"):
        store.answers.find(["a"])
    with pytest.raises(StoreCorruptError, match="not finite"):
        store.vectors.find(["a"])
