"""What the fake model says: templates that depend on the messages alone."""

from __future__ import annotations

import hashlib
import random

MEDIA = (
    "photo", "picture", "sketch", "painting", "drawing", "snapshot", "close-up", "print", "rendering",
    "poster",
)  # fmt: skip
LOOKS = (
    "bright", "dark", "small", "large", "blurry", "clean", "old", "cropped", "colourful", "grainy", "good",
)  # fmt: skip
PLACES = (
    "on a table", "in a field", "at night", "in the snow", "on white paper", "in a room", "under water", "",
)  # fmt: skip


def reply_text(request_hash: str, lines: int = 3) -> str:
    """A list of templates, one a line, the same for the same request."""
    rng = random.Random(hashlib.sha256(request_hash.encode()).digest())
    templates = (
        f"a {rng.choice(LOOKS)} {rng.choice(MEDIA)} of a {{}} {rng.choice(PLACES)}".strip()
        for _ in range(lines)
    )
    return "\n".join(f"- {template}" for template in templates)
