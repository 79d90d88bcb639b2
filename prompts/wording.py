"""The texts of the method ``guided``, such as ``wordings.toml`` for templates."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template as Text
from typing import Any


@dataclass(frozen=True, slots=True)
class Wordings:
    """All texts; ``$name`` in one is filled on use.

    Attributes:
        texts: By name, such as ``rich.task``.
        examples: Requests with their answers that show a small model the form.
        plain_examples: The same for requests for plain words.
        angles: Where to look first without a description.
    """

    texts: Mapping[str, str]
    examples: tuple[tuple[str, str], ...]
    plain_examples: tuple[tuple[str, str], ...]
    angles: tuple[str, ...]

    def say(self, name: str, **values: object) -> str:
        """Return a text with its places filled."""
        return Text(self.texts[name]).substitute({key: str(value) for key, value in values.items()})


@functools.cache
def document(file: str) -> Mapping[str, Any]:
    """Return a TOML file of this package."""
    return tomllib.loads(files(__package__).joinpath(file).read_text("utf-8"))


@functools.cache
def built_in(file: str = "wordings.toml") -> Wordings:
    """Return the texts of a file of this package."""
    groups = document(file)
    return Wordings(
        texts={
            f"{group}.{name}": text.strip("\n")
            for group, members in groups.items()
            for name, text in members.items()
            if isinstance(text, str)
        },
        examples=_pairs(groups["short"]["examples"]),
        plain_examples=_pairs(groups["short"]["plain_examples"]),
        angles=tuple(groups["guesses"]["angles"]),
    )


def _pairs(examples: Sequence[Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((example["ask"].strip("\n"), example["answer"].strip("\n")) for example in examples)
