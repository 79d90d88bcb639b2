"""Write sentences that refer to settings and commands, which whoever shows a sentence spells.

The core knows settings by name. A caller of the library reads ``test_images``, a user of the command line its
option; both read the same sentence::

    raise ConfigError("too few images; give more with ", Setting("test_images", "N"))
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200


def shown(value: object) -> str:
    """Return a value for a message, shortened in the middle if long; never raise."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python limits the digits of a number as text
        return f"a {type(value).__name__} too long to show"


class Verbatim(str):
    """The text of a setting's value that every spelling shows as it is, such as a value's ``repr``."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """A reference to a setting, such as ``Setting("price", "IN/OUT")``.

    Attributes:
        name: The setting's name in Python and TOML.
        value: The value to write after the name: a placeholder in capitals, a value, or True and False for a
            switch; None for the name alone.
    """

    name: str
    value: object = None

    def __str__(self) -> str:
        """Spell it as in Python: ``price=IN/OUT``, ``data="pets"``, ``trust=True``."""
        if self.value is None:
            return self.name
        if not isinstance(self.value, str):
            return f"{self.name}={shown(self.value)}"
        if isinstance(self.value, Verbatim) or self.value == self.value.upper():  # a placeholder, or a number
            return f"{self.name}={self.value}"
        return f'{self.name}="{self.value}"'


@dataclass(frozen=True, slots=True)
class Command:
    """A reference to a command and what it is called with, such as ``Command("resume", run_dir)``.

    Attributes:
        name: The command's name, which is that of a function in Python.
        argument: Its first argument; empty for none.
        settings: Settings to call it with.
    """

    name: str
    argument: str = ""
    settings: tuple[Setting, ...] = ()

    def __str__(self) -> str:
        """Spell it as in Python: ```resume('runs/1', conclude=True)```."""
        arguments = [repr(self.argument)] * bool(self.argument) + [str(setting) for setting in self.settings]
        return f"`{self.name}({', '.join(arguments)})`"


SettingOrCommand: TypeAlias = Setting | Command
Speller: TypeAlias = Callable[[SettingOrCommand], str]


class Message(str):
    """A sentence that keeps its references; as a plain text it is spelled as in Python.

    Args:
        parts: Texts, references, other messages, and errors, whose messages become part of this one.

    Attributes:
        parts: Texts and references, in order.
    """

    __slots__ = ("parts",)
    parts: tuple[str | SettingOrCommand, ...]

    def __new__(cls, *parts: object) -> Message:
        flat: list[str | SettingOrCommand] = []
        for part in parts:
            message_of_error = getattr(part, "message", None) if isinstance(part, Exception) else None
            content = message_of_error if isinstance(message_of_error, Message) else part
            if isinstance(content, Message):
                flat.extend(content.parts)
            else:
                flat.append(content if isinstance(content, Setting | Command) else str(content))
        message = super().__new__(cls, "".join(map(str, flat)))
        message.parts = tuple(flat)
        return message

    def spelled(self, spell: Speller) -> str:
        """Return the sentence with each reference as ``spell`` writes it."""
        return "".join(part if isinstance(part, str) else spell(part) for part in self.parts)

    def __getnewargs__(self) -> tuple[str | SettingOrCommand, ...]:  # type: ignore[override]
        return self.parts


def joined(separator: str, messages: list[Message]) -> Message:
    """Return messages as one, with a separator between them."""
    parts: list[object] = []
    for index, message in enumerate(messages):
        parts += [separator, message] if index else [message]
    return Message(*parts)


class InvalidValueError(ValueError):
    """A setting's value is wrong; for validators of pydantic, which keep the error and so its message."""

    def __init__(self, *parts: object) -> None:
        self.message = Message(*parts)
        super().__init__(self.message)
