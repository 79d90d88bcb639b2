"""Answers that come in pieces, as server-sent events: put together as if they had come whole.

Nobody asks for pieces; but some models answer in no other way, and some servers do so whatever is asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_FIELD = (b"data:", b"event:", b"id:", b"retry:", b":")
"""What a line of such a stream begins with."""
_END = b"[DONE]"
_TEXTS = ("reasoning_content", "reasoning", "thinking", "refusal")
"""Members of a message, beside its content, that come in pieces too."""


def is_streamed(content_type: str, body: bytes) -> bool:
    """Whether a body is a stream of events, by what it is called or by how it begins."""
    return content_type.startswith("text/event-stream") or body.lstrip().startswith(_FIELD[:2])


def whole(body: bytes) -> dict[str, Any] | None:
    """Return the completion that came in pieces; None where its end is missing.

    Args:
        body: All of the stream.
    """
    found: dict[str, Any] = {}
    choice: dict[str, Any] = {"message": {}}
    content: list[Any] = []
    ended = False
    for piece in _pieces(body):
        if piece is None:
            ended = True
            continue
        found |= {name: value for name, value in piece.items() if name != "choices" and value is not None}
        ended |= "error" in found
        first = _first(piece)
        ended |= bool(first.get("finish_reason"))
        choice |= {name: first[name] for name in ("finish_reason", "error") if first.get(name)}
        said = first.get("delta") or first.get("message")
        if isinstance(said, dict):
            _add(said, content, choice["message"])
    if not ended:
        return None
    if "error" in found and content:
        choice["error"] = found["error"]  # after half an answer: it is none
    texts = all(isinstance(part, str) for part in content)
    choice["message"]["content"] = "".join(content) if texts else content
    return found if "error" in found and not content else {**found, "choices": [choice]}


def _pieces(body: bytes) -> Iterator[dict[str, Any] | None]:
    """Yield each event's object, and None for the mark of the end."""
    for line in body.split(b"\n"):  # not at what ends a line in texts: JSON may hold that
        name, _, value = line.strip().partition(b":")
        if name != b"data":
            continue
        if value.strip() == _END:
            yield None
            continue
        try:
            piece = json.loads(value)
        except (ValueError, RecursionError):
            continue
        if isinstance(piece, dict):
            yield piece


def _first(piece: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event's first choice, empty where it has none, as the one that tells the usage."""
    choices = piece.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) and not first.get("index") else {}


def _add(said: Mapping[str, Any], content: list[Any], message: dict[str, Any]) -> None:
    """Put what an event says at the end of what was said before it."""
    more = said.get("content")
    content.extend(more if isinstance(more, list) else [more] if more else [])
    for name in _TEXTS:
        if isinstance(text := said.get(name), str) and text:
            message[name] = message.get(name, "") + text
