"""How to get what only some need: the extras of ``pyproject.toml``."""

from __future__ import annotations


def how_to_install(extra: str) -> str:
    """Return the command that brings an extra, and where to give it."""
    return f"`pip install '.[{extra}]'` in the project's folder"
