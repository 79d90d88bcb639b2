from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from training import contact
from training import gather_art as art
from training.world.art import Art
from training.world.scene import CONCEPTS, CORE, EVERYDAY


def test_gathering_without_npm_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where npm is missing, the error says so."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(art.ArtError, match="npm is needed"):
        art.training_art(tmp_path)


def test_the_shipped_art_has_every_name_that_the_sets_show() -> None:
    """Pictures of both parts can show every name, and no font is in both."""
    shipped = Art.shipped()
    for half in (0, 1):
        assert all(shipped.part(half, ()).has(name) for name in (*CORE, *EVERYDAY))


def test_parts_share_no_picture_of_a_name_with_several() -> None:
    """A name with two pictures has one of them in each part."""
    first, second = (Art.shipped().part(half, ("karla",)) for half in (0, 1))
    assert len(CONCEPTS["cat"]) == 2
    assert first.cutout("cat", Random(1)).tobytes() != second.cutout("cat", Random(1)).tobytes()


def test_the_commands_end_with_2_where_npm_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gathering art and drawing the contact sheet say what is missing and leave no file behind."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.argv", ["contact", str(tmp_path / "sheet.png")])
    assert contact.main() == 2
    assert "npm is needed" in capsys.readouterr().err
    assert not (tmp_path / "sheet.png").exists()
    monkeypatch.setattr("sys.argv", ["art"])
    assert art.main() == 2
    assert "npm is needed" in capsys.readouterr().err
