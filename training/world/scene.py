"""Define a scene, and the names and emoji that scenes can show."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DRAWINGS: dict[str, Any] = tomllib.loads((Path(__file__).parent / "drawings.toml").read_text("utf-8"))
"""The content of drawings.toml: names, odds and codes."""
NUMBERS: list[str] = DRAWINGS["numbers"]
CORE: list[str] = DRAWINGS["core"]
EVERYDAY: list[str] = DRAWINGS["everyday"]
SENSES: dict[str, dict[str, str]] = DRAWINGS["senses"]


@dataclass(frozen=True)
class Scene:
    """One picture of the world; everything else in it is random."""

    family: str  # "numbers", "letters", "colours", "shapes", "duo", "words", "senses" or "everyday"
    form: str  # how the name is drawn, such as "tally", "morse" or "stroop"
    name: str  # class name in the form's first role
    other: str = ""  # class name in the second role (such as the ink of a colour word), or ""
    medium: str = "photo"  # such as "photo" or "chalk"
    condition: str = "plain"  # such as "plain", "dark" or "blur"
    ground: str = "plain"  # background, such as "wood" or "plain"
    # a further thing for captions (what is counted, the colour of the ink), or ""
    detail: str = ""

    @property
    def group(self) -> str:
        """Scenes of one group differ in their names and roles only: hard negatives of each other."""
        return self.family if self.family in ("everyday", "senses") else f"{self.family}-{self.form}"


def value(name: str) -> int:
    """Return the number that a class name means."""
    return NUMBERS.index(name)


def codepoint(char: str) -> str:
    """Return the emoji's code point in hexadecimal, four digits at least."""
    return f"{ord(char):04x}"


def _parse() -> tuple[dict[str, str], dict[str, str]]:
    concepts: dict[str, str] = {}
    kinds: dict[str, str] = {}
    for kind, line in DRAWINGS["kinds"].items():
        for entry in line.split():
            name = "".join(char for char in entry if char.isascii())
            concepts[name] = entry[len(name) :]
            kinds[name] = kind
    return concepts, kinds


CONCEPTS, KIND = _parse()
