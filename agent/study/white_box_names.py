"""The white-box references that a study may have as rows."""

from __future__ import annotations

WHITE_BOX: tuple[str, ...] = ()
