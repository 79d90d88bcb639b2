"""Databases that may have been made elsewhere."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from promptclimb.agent.store.run import Store, StoreReader
from promptclimb.evaluator.errors import StoreCorruptError
from promptclimb.evaluator.remote.labels import LabelStore

MAGIC = bytes.fromhex("d9d505f920a163d7")
"""Of a rollback journal."""


def plant_journal(database: Path, victim: Path) -> None:
    """Put a hot journal beside a database, which lets SQLite delete the file that it names."""
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    page = database.read_bytes()[:size]
    pages, sector, nonce = database.stat().st_size // size, 512, 1234
    checksum = (nonce + sum(page[place] for place in range(size - 200, 0, -200))) & 0xFFFFFFFF
    header = (MAGIC + struct.pack(">IIIII", 1, nonce, pages, sector, size)).ljust(sector, b"\0")
    name = os.fsencode(victim)
    record = struct.pack(">I", 1) + page + struct.pack(">I", checksum)
    named = (
        struct.pack(">I", 0x40000000 // size + 1) + name + struct.pack(">II", len(name), sum(name)) + MAGIC
    )
    database.with_name(f"{database.name}-journal").write_bytes(header + record + named)


def stored(folder: Path) -> Path:
    """Return the database of a new run."""
    Store.create(folder, {}).close()
    return folder / "store" / "cache.db"


def labelled(folder: Path) -> Path:
    """Return a new file of labels."""
    LabelStore(folder / "labels.sqlite").close()
    return folder / "labels.sqlite"


def test_sqlite_obeys_such_a_journal(tmp_path: Path) -> None:
    """Or the next test would show nothing."""
    database, victim = labelled(tmp_path), tmp_path / "precious.txt"
    victim.write_text("precious")
    plant_journal(database, victim)
    connection = sqlite3.connect(database)
    connection.execute("SELECT * FROM sqlite_master").fetchall()
    connection.close()
    assert not victim.exists()


@pytest.mark.parametrize(
    ("make", "open_it"),
    [
        (stored, lambda database: Store.open(database.parent.parent)),
        (stored, lambda database: StoreReader(database.parent.parent)),
        (labelled, LabelStore),
    ],
)
def test_a_received_journal_deletes_no_file(
    make: Callable[[Path], Path], open_it: Callable[[Path], object], tmp_path: Path
) -> None:
    """It is refused before anything is opened."""
    database, victim = make(tmp_path), tmp_path / "precious.txt"
    victim.write_text("precious")
    plant_journal(database, victim)
    with pytest.raises(StoreCorruptError, match="-journal is a rollback journal"):
        open_it(database)
    assert victim.read_text() == "precious"


def test_a_run_on_a_full_disk_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite would make a file beside the database, for which there is no room."""
    Store.create(tmp_path, {}).close()
    before = sorted((tmp_path / "store").iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: shutil._ntuple_diskusage(1, 1, 0))
    with StoreReader(tmp_path) as stored:
        assert stored.manifest.config == {}
        assert sorted((tmp_path / "store").iterdir()) == before
