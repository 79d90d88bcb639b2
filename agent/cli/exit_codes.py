"""What the program ends with; besides, 128 and a signal's number where one ended it."""

from __future__ import annotations

FINISHED = 0
FAILED = 1
WRONG = 2
NOTHING_USABLE = 3
"""A search went to its end, or was stopped, and none of the LLM's answers was of any use."""
