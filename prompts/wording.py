"""The texts of the method ``guided``: ``wordings.toml`` for templates, changed one by one by a user's file.

``$name`` in a text is filled on use. A user's text may have the places of the one that it replaces.
"""

from __future__ import annotations

import functools
import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template as Text
from typing import Any

SIZE_LIMIT = 64 * 1024
"""Characters of a file of wordings: far more than a request should have."""
_WITH_SLOT = ("rich.task", "rich.form")
_PAIRS = ("short.examples", "short.plain_examples")


class WordingsError(ValueError):
    """A file of wordings cannot be used; the message says which text of it, and why."""


@dataclass(frozen=True, slots=True)
class Wordings:
    """All texts.

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

    @property
    def hash(self) -> str:
        """SHA-256 of all of it: equal wordings, equal hashes."""
        whole = repr((sorted(self.texts.items()), self.examples, self.plain_examples, self.angles))
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


@functools.cache
def built_in(file: str = "wordings.toml") -> Wordings:
    """Return the wordings that come with the program."""
    return _read(tomllib.loads(files(__package__).joinpath(file).read_text("utf-8")))


def with_changes(text: str, ours: Wordings | None = None, *, slot: str = "{}") -> Wordings:
    """Return wordings with texts replaced by those of a file's content, TOML.

    ``ours`` are the built-in wordings if None; ``slot`` must stand in ``rich.task`` and ``rich.form``.

    Raises:
        WordingsError: The text is not TOML, is too long, or has a text that is unknown, empty, or has other
            places than the one that it replaces.
    """
    if len(text) > SIZE_LIMIT:
        raise WordingsError(f"it has more than {SIZE_LIMIT // 1024} KiB")
    try:
        changes = _read(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise WordingsError(f"it is not TOML: {error}") from None
    ours = ours or built_in()
    for name, changed in changes.texts.items():
        _check(name, changed, ours.texts, slot)
    return Wordings(
        {**ours.texts, **changes.texts},
        changes.examples or ours.examples,
        changes.plain_examples or ours.plain_examples,
        changes.angles or ours.angles,
    )


def _read(document: Mapping[str, Any]) -> Wordings:
    texts: dict[str, str] = {}
    pairs: dict[str, tuple[tuple[str, str], ...]] = dict.fromkeys(_PAIRS, ())
    angles: Sequence[Any] = ()
    for group, members in document.items():
        if not isinstance(members, dict):
            raise WordingsError(f"{group} stands outside of a table such as [rich]")
        for name, value in members.items():
            whole = f"{group}.{name}"
            if whole in pairs:
                pairs[whole] = tuple(
                    (_member(example, whole, "ask"), _member(example, whole, "answer"))
                    for example in _list(value, whole)
                )
            elif (group, name) == ("guesses", "angles"):
                angles = _list(value, "guesses.angles")
            else:
                texts[whole] = _text(value, whole)
    examples, plain_examples = pairs.values()
    checked = tuple(_text(angle, "guesses.angles") for angle in angles)
    return Wordings(texts, examples, plain_examples, checked)


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise WordingsError(f"{name} is not a list with something in it")
    return value


def _member(example: Any, where: str, name: str) -> str:
    return _text(example.get(name) if isinstance(example, dict) else None, f"{where}: {name}")


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise WordingsError(f"{name} is not a text, or an empty one")
    return value.strip("\n")


def _check(name: str, changed: str, ours: Mapping[str, str], slot: str) -> None:
    if name not in ours:
        raise WordingsError(f"there is no text {name}; known are {', '.join(ours)}")
    if not Text(changed).is_valid():
        raise WordingsError(f"{name} has a $ that begins no name; write $$ for a dollar sign")
    places = set(Text(ours[name]).get_identifiers())
    if unknown := sorted(set(Text(changed).get_identifiers()) - places):
        known = ", ".join(f"${name}" for name in sorted(places)) or "none"
        raise WordingsError(f"{name} has the place ${unknown[0]}; it may have {known}")
    if name in _WITH_SLOT and slot not in changed:
        raise WordingsError(f"{name} does not say how the slot {slot} is written")
