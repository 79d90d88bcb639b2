"""What one picture shows, as far as words can tell it."""

from __future__ import annotations

from dataclasses import dataclass

NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]


@dataclass(frozen=True)
class Scene:
    """One picture of the world; everything else in it is chance.

    Attributes:
        family: "numbers", "letters", "colours", "shapes", "duo", "words", "senses" or "everyday".
        form: how the name is drawn: "tally", "morse", "stroop", "shadow", ...
        name: the class name that is drawn in the form's first role.
        other: the class name in the form's second role (the ink of a colour word), or "".
        medium: what the picture is made with: "photo", "sketch", "chalk", ...
        condition: what is done to it: "plain", "dark", "blur", ...
        ground: what lies behind: "wood", "grass", "plain", ...
        detail: a further thing that captions may mention (what is counted, the colour of the ink), or "".
    """

    family: str
    form: str
    name: str
    other: str = ""
    medium: str = "photo"
    condition: str = "plain"
    ground: str = "plain"
    detail: str = ""

    @property
    def group(self) -> str:
        """Scenes of one group are told apart by their names and roles only: hard negatives of each other."""
        return self.family if self.family in ("everyday", "senses") else f"{self.family}-{self.form}"


def value(name: str) -> int:
    """Return the number that a class name means."""
    return NUMBERS.index(name)
