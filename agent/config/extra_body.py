"""More members of a request, as a user gives them: checked, and kept as canonical JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..secrets import Scrubber

OWN = {
    "messages": "it is what the search asks",
    "model": "give it with --llm",
    "max_tokens": "give it with --answer-tokens",
    "max_completion_tokens": "give --answer-tokens; it is sent by the name that the endpoint takes",
    "temperature": "give it with --temperature",
    "seed": "give it with --seed",
    "random_seed": "give --seed; it is sent by the name that the endpoint takes",
    "reasoning_effort": "give it with --reasoning-effort",
    "service_tier": "give it with --service-tier",
    "stream": "answers are read whole",
    "stream_options": "answers are read whole",
    "n": "one answer is read of each request",
    "tools": "answers are texts",
}
"""Members that are not a user's to give here, with the reason or the right way."""
_SECRET = re.compile(
    r"api[-_]?key|authori[sz]ation|password|passwd|secret|credential|(?:access|auth|bearer)[-_]?token|\Atoken\Z",
    re.IGNORECASE,
)
LONGEST = 10_000


def parse_extra_body(value: Any) -> Any:
    """Return a JSON object, given as text or as a table, as canonical JSON; other kinds as they are.

    Raises:
        ValueError: It is no JSON object, has a member that is given in another way, or holds a secret.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError("write a JSON object, such as '{\"top_p\": 0.9}'") from error
        if not isinstance(value, Mapping):
            raise ValueError("write a JSON object, such as '{\"top_p\": 0.9}'")
    if not isinstance(value, Mapping):
        return value
    for name, reason in OWN.items():
        if name in value:
            raise ValueError(f"{name!r} has no place in it: {reason}")
    for name, text in _texts("", value):
        if _SECRET.search(name) or Scrubber().scrub_quoted(text) != text:
            raise ValueError("it seems to hold a secret; keys are read from the environment alone")
    try:
        found = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        found.encode()  # half a surrogate pair is no text that can be sent
    except (TypeError, ValueError) as error:
        raise ValueError("it holds a value that JSON does not know") from error
    if len(found) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST:,} characters")
    return found if value else None


def _texts(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(str(key), inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(name, inner)
    else:
        yield name, str(value)
