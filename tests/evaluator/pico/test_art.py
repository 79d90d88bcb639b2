from __future__ import annotations

from pathlib import Path

import pytest

from evaluator.pico import art
from evaluator.pico.world import Art
from evaluator.pico.world.concepts import CONCEPTS, CORE, EVERYDAY


def test_gathering_without_npm_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where npm is missing, the error says so."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(art.ArtError, match="npm is needed"):
        art.training_art(tmp_path)


def test_the_cache_folder_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PROMPTCLIMB_CACHE moves the art with every other cache."""
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path))
    assert art.cache_folder() == tmp_path / "pico-art"


@pytest.mark.parametrize("source", ["noto", "noto-v1"])
def test_every_shipped_source_has_every_shipped_name(source: str) -> None:
    """Few-shot and test pictures can show every name that the sets show."""
    shipped = Art.shipped(source)
    assert all(shipped.has(name) for name in (*CORE, *EVERYDAY))


def test_names_have_pictures_and_code_points() -> None:
    """Every concept stands for some emoji, named as the packages name them."""
    assert all(CONCEPTS.values())
    assert art.codepoint("🐈") == "1f408"
    assert art.codepoint("☁") == "2601"
