"""A text as one line."""

from __future__ import annotations


def one_line(text: str, most: int | None = None) -> str:
    """Return a text with single spaces and no line ends.

    Args:
        text: the text.
        most: characters that the line may have; a longer one is cut, with an ellipsis at its end.
    """
    line = " ".join(text.split())
    return line if most is None or len(line) <= most else line[: most - 1] + "…"
