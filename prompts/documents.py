"""JSON documents within an answer: lists of strings or of objects, one object a line, amid other text."""

from __future__ import annotations

import json
import re
from typing import Any

from .slots import with_slots
from .template import SLOT

_MEMBERS = frozenset(
    {"template", "templates", "caption", "captions", "prompt", "prompts", "proposal", "proposals", "text"}
)
_MAX_DOCUMENTS = 100
_MAX_STRINGS = 1_000
_MOST_READINGS = 4
"""How often a text may be gone through in vain: each of a hundred brackets that nothing closes begins one."""
_START = re.compile(r"^[ \t]*(?=[\[{])", re.MULTILINE)


def strings_in_json(text: str) -> tuple[list[str], str]:
    """Take the proposals out of the JSON documents that begin a line.

    An object's members named ``template``, ``caption``, ``prompt`` and the like are proposals; where it has
    none of these, its string members with a slot are. A document without any proposal is text like any
    other.

    Returns:
        The proposals, and the text without the documents that they were in.
    """
    decoder = json.JSONDecoder()
    proposals: list[str] = []
    rest: list[str] = []
    done = wasted = 0
    for count, match in enumerate(_START.finditer(text)):
        if count >= _MAX_DOCUMENTS or wasted > _MOST_READINGS * len(text):
            break
        if match.end() < done:
            continue
        try:
            document, end = decoder.raw_decode(text, match.end())
        except json.JSONDecodeError as error:
            wasted += error.pos - match.end()
            continue
        except (ValueError, RecursionError):  # a number of thousands of digits; brackets in brackets
            wasted += len(text) - match.end()
            continue
        found = _strings(document)
        # "[] of {}" and "{}" alone are lines with a slot, not documents.
        if found and len(proposals) + len(found) <= _MAX_STRINGS:
            proposals += found
            rest.append(text[done : match.start()])
            done = end
    rest.append(text[done:])
    return proposals, "\n".join(rest)


def _strings(document: Any) -> list[str]:
    found: list[str] = []
    waiting: list[tuple[Any, bool]] = [(document, True)]
    while waiting and len(found) <= _MAX_STRINGS:
        value, named = waiting.pop()
        if isinstance(value, str):
            if named or SLOT in with_slots(value):
                found.append(value)
        elif isinstance(value, list):
            waiting.extend((item, named) for item in reversed(value))
        elif isinstance(value, dict):
            members = [(item, True) for name, item in value.items() if name.lower() in _MEMBERS]
            waiting.extend(reversed(members or [(item, False) for item in value.values()]))
    return found
