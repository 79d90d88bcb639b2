"""The program's exit codes; a run ended by a signal returns 128 plus its number."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..results.result import SearchResult

FINISHED = 0
FAILED = 1
WRONG = 2
NOTHING_USABLE = 3
"""The search ended, and the LLM gave nothing usable."""


def of_result(result: SearchResult) -> int:
    """Return the code of a search that ended; one that an outage stopped has failed."""
    from ..results.result import NOTHING_USABLE as NOTE  # every command imports the codes

    if NOTE in result.notes:
        return NOTHING_USABLE
    return FAILED if result.status == "stopped" and not result.limits else FINISHED
