"""Recorded answers of an endpoint, so that a comparison can be run again without it.

A line of JSON each: the hash of the cell and its request, and the reply. A repeated request in a cell gets
the same answers in their order. One comparison at a time adds to a file.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict, deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.peers.kept import add_line


class Answers:
    """The answers of a file; new ones are added to it.

    Args:
        file: It may not be there yet.

    Raises:
        OSError: The file cannot be read.
        ValueError: A line of the file is something else. One that was cut short by a kill is passed over.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._left: defaultdict[str, deque[bytes]] = defaultdict(deque)
        # By line feeds alone: an answer may hold other ends of a line.
        for number, line in enumerate(file.read_text("utf-8").split("\n") if file.exists() else [], 1):
            with suppress(json.JSONDecodeError):
                try:
                    kept = json.loads(line)
                    self._left[kept["request"]].append(_reply(kept))
                except (TypeError, LookupError, RecursionError) as error:
                    raise ValueError(f"line {number}: no recorded answer") from error

    def take(self, cell: str, body: bytes) -> bytes | None:
        """Return the reply that this cell got to this request; None if no more are left."""
        left = self._left[_key(cell, body)]
        return left.popleft() if left else None

    def add(self, cell: str, body: bytes, reply: bytes) -> None:
        """Keep a reply; one that holds no answer is passed over, for it was none.

        Raises:
            OSError: It cannot be written.
        """
        try:
            document = json.loads(reply)
            kept = {
                "request": _key(cell, body),
                "choices": document["choices"],
                "usage": document.get("usage") or {},
            }
            _reply(kept)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return
        add_line(self._file, kept)


def holds_answer(document: Any) -> bool:
    """Return whether what an endpoint said, out of its JSON, is an answer to a chat."""
    try:
        return isinstance(document["choices"][0]["message"], dict)
    except (TypeError, LookupError):
        return False


def _key(cell: str, body: bytes) -> str:
    # Of the messages alone: how a client writes them, and what it sends along, may change.
    messages = json.dumps(json.loads(body)["messages"], sort_keys=True)
    return hashlib.sha256(f"{cell}\n{messages}".encode()).hexdigest()[:32]


def _reply(kept: dict[str, Any]) -> bytes:
    if not holds_answer(kept):
        raise TypeError("no answer")
    document = {
        "id": f"recorded-{kept['request']}",
        "object": "chat.completion",
        "created": 0,
        "model": "recorded",
        "choices": kept["choices"],
        "usage": dict(kept["usage"]),
    }
    return json.dumps(document).encode()
