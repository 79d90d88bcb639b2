"""Spell messages for the command line: settings as options, commands as they are typed."""

from __future__ import annotations

import shlex

from ...evaluator.messages import Message, Setting, SettingOrCommand, shown
from .schema import OPTIONS


def on_command_line(text: str) -> str:
    """Return a text as a user of the command line reads it; a plain text is returned as it is."""
    return text.spelled(_spell) if isinstance(text, Message) else text


def _spell(reference: SettingOrCommand) -> str:
    if isinstance(reference, Setting):
        return _option(reference)
    words = [reference.name, *([shlex.quote(reference.argument)] if reference.argument else [])]
    return f"`promptclimb {' '.join([*words, *map(_option, reference.settings)])}`"


def _option(setting: Setting) -> str:
    """Return ``--price IN/OUT``; a setting without an option as its line in the settings file."""
    option = OPTIONS.get(setting.name)
    if option is not None and not option.flag:
        value = str(setting).partition("=")[2]
        return f"{setting.name} = {value}" if value else setting.name
    flag = f"--{setting.name.replace('_', '-')}" if option is None else option.flag
    if setting.value is None or setting.value is True:
        return flag
    if setting.value is False:
        return f"--no-{flag.removeprefix('--')}"
    return f"{flag} {setting.value if isinstance(setting.value, str) else shown(setting.value)}"
