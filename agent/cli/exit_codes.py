"""The exit codes of the program; besides these, 128 plus a signal's number if one ended it."""

from __future__ import annotations

FINISHED = 0
FAILED = 1
WRONG = 2
NOTHING_USABLE = 3
"""The search finished or was stopped, and every answer of the LLM was unusable."""
