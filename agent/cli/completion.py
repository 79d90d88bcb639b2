"""``--print-completion SHELL``: a script by which a shell completes commands, options and their values."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

import shtab

from ..methods.registry import METHODS
from .output import print_text

SHELLS = tuple(shtab.SUPPORTED_SHELLS)
_WORDS = re.compile(r"[a-z0-9_]+(\|[a-z0-9_]+)+")


def print_completion(shell: str, whole: Callable[[], argparse.ArgumentParser]) -> None:
    """Print the script of a shell.

    Args:
        shell: One of ``SHELLS``.
        whole: Makes the parser of the whole command line, with the options of every command.
    """
    parser = whole()
    for command in _commands(parser):
        for action in command._actions:
            _tell_values(action)
    print_text(shtab.complete(parser, shell=shell) + "\n")


def _commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    found = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return [command for one in found for command in one.choices.values()]


def _tell_values(action: Any) -> None:
    """Say what may stand behind an option: names, a file or a folder, as its help writes it."""
    shown = action.metavar if isinstance(action.metavar, str) else ""
    if action.dest == "method":
        action.choices = tuple(METHODS)
    elif _WORDS.fullmatch(shown):
        action.choices = tuple(shown.split("|"))
    elif "FILE" in shown:
        action.complete = shtab.FILE
    elif "DIR" in shown:
        action.complete = shtab.DIRECTORY
