"""How long an endpoint asks to wait, where it says so in the body of a reply."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..pacing.headers import parse_moment, retry_after
from .refusals import read_refusal

_DURATION = r"(?:\d+(?:\.\d+)?\s*(?:ms|milliseconds?|s|sec|seconds?|m|min|minutes?|h|hours?)(?![a-z])\s*)+"
_ASKED = re.compile(
    rf"(?:try again|retry|wait|available|resets?)(?: \w+)?(?: in| after| for)?:? ({_DURATION})"
    rf"|\A({_DURATION})\Z",
    re.ASCII | re.IGNORECASE,
)
_UNIT = re.compile(
    r"\s*(m)(?:illi)(s)econds?\s*|\s*(s|m|h)(?:ec(?:onds?)?|in(?:utes?)?|ours?)\s*|\s+",
    re.ASCII | re.IGNORECASE,
)
_MEMBERS = ("retry_after", "retry_after_seconds", "retryAfter", "retry_after_s")


def wait_in(body: object) -> float | None:
    """Return the seconds that a reply's body asks to wait; None where it does not.

    Headers that a gateway put into the body (OpenRouter's ``metadata.headers``), members (``retryDelay``,
    ``retry_after``), and texts: "try again in 1m2s", "Please retry in 33.3s", "retry after 20 seconds".
    """
    if (wait := retry_after(_headers_in(body, 5))) is not None:
        return wait
    said = read_refusal(body)
    for name in _MEMBERS:
        if name in said.numbers:
            return parse_moment(f"{said.numbers[name]:f}")
    for text in said.texts:
        if found := _ASKED.search(text):
            return parse_moment(_short(found[1] or found[2]))
    return None


def _short(duration: str) -> str:
    """Return a duration in the units that ``parse_moment`` reads: "20 seconds" as "20s"."""
    return _UNIT.sub(lambda unit: (f"{unit[1]}{unit[2]}" if unit[1] else unit[3] or "").lower(), duration)


def _headers_in(body: object, deepest: int) -> dict[str, str]:
    """Return headers that stand in the body, names in lower case."""
    if isinstance(body, list | tuple) and deepest:
        body = body[0] if body else None
    if not isinstance(body, Mapping) or not deepest:
        return {}
    if isinstance(told := body.get("headers"), Mapping):
        return {str(name).lower(): str(value) for name, value in told.items()}
    inner = (_headers_in(body[name], deepest - 1) for name in ("error", "metadata") if name in body)
    return next((found for found in inner if found), {})
