"""Show values in sentences for people.

A sentence names a setting as in TOML, between backticks (``max_cost`` needs a price: give
``price = IN/OUT``).
The command line shows such names as its options (``agent.config.sources.on_command_line``).
"""

from __future__ import annotations

import reprlib

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200


def shown(value: object) -> str:
    """Return a value for a message, shortened in the middle if long; never raise."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python limits the digits of a number as text
        return f"a {type(value).__name__} too long to show"
