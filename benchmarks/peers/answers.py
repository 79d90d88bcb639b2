"""Answers that an endpoint has given, kept so that a league can be played again without it.

A line of JSON each: the hash of the cell and what it asked, the text, and the tokens as the endpoint told
them. Who asks the same twice in a cell is answered from the first again when the cell is played again.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict, deque
from pathlib import Path
from typing import Any

_TOKENS = ("prompt_tokens", "completion_tokens")


class Answers:
    """The answers of a file; new ones are added to it.

    Args:
        file: It may not be there yet.

    Raises:
        ValueError: A line of the file is none of these.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._left: defaultdict[str, deque[bytes]] = defaultdict(deque)
        for number, line in enumerate(file.read_text("utf-8").split("\n") if file.exists() else [], 1):
            if line.strip():
                try:
                    kept = json.loads(line)
                    self._left[kept["request"]].append(_reply(kept))
                except (ValueError, TypeError, KeyError) as error:
                    raise ValueError(f"{file}, line {number}: no recorded answer") from error

    def take(self, cell: str, body: bytes) -> bytes | None:
        """Return the reply that this cell got to this request; None where there is none left."""
        left = self._left[_key(cell, body)]
        return left.popleft() if left else None

    def add(self, cell: str, body: bytes, reply: bytes) -> None:
        """Keep a reply."""
        told = json.loads(reply)
        usage = told.get("usage") or {}
        kept = {"request": _key(cell, body), "text": told["choices"][0]["message"].get("content") or ""}
        kept |= {name: int(usage.get(name) or 0) for name in _TOKENS}
        with self._file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(kept) + "\n")


def _key(cell: str, body: bytes) -> str:
    # Of the messages alone: how a client writes them, and what it sends along, may change.
    messages = json.dumps(json.loads(body)["messages"], sort_keys=True)
    return hashlib.sha256(f"{cell}\n{messages}".encode()).hexdigest()[:32]


def _reply(kept: dict[str, Any]) -> bytes:
    usage = {name: int(kept[name]) for name in _TOKENS}
    message = {"role": "assistant", "content": str(kept["text"])}
    told = {
        "id": f"recorded-{kept['request']}",
        "object": "chat.completion",
        "created": 0,
        "model": "recorded",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {**usage, "total_tokens": sum(usage.values())},
    }
    return json.dumps(told).encode()
