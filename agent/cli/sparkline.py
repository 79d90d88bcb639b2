"""How the best so far has come about, in a line of blocks."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 30


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """Return values as blocks from the lowest to the highest, at most ``width`` of them.

    Of several values that share a block the last one counts; a level line is at the bottom.
    """
    if len(values) > width:
        values = [values[(place + 1) * len(values) // width - 1] for place in range(width)]
    low, high = min(values, default=0.0), max(values, default=0.0)
    if high <= low:
        return BLOCKS[0] * len(values)
    steps = len(BLOCKS) - 1
    return "".join(BLOCKS[round((value - low) / (high - low) * steps)] for value in values)
