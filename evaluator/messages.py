"""Show values in sentences for people.

A sentence names a setting as in TOML, between backticks (``max_cost`` needs a price: give
``price = IN/OUT``).
The command line shows such names as its options (``agent.config.sources.on_command_line``).
"""

from __future__ import annotations

import os
import reprlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200


def shown(value: object) -> str:
    """Return a value for a message, shortened in the middle if long; never raise."""
    try:
        return _SHORT.repr(os.fspath(value) if isinstance(value, os.PathLike) else value)
    except ValueError:  # Python limits the digits of a number as text
        return f"a {type(value).__name__} too long to show"


def first_problem(error: ValidationError) -> str:
    """Return the first thing that is wrong with a document that was not written by a user, and where."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), message)))
