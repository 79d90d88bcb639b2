"""The program's exit codes; a run ended by a signal returns 128 plus its number."""

from __future__ import annotations

FINISHED = 0
FAILED = 1
WRONG = 2
NOTHING_USABLE = 3
"""The search ended, and every answer of the LLM was unusable."""
