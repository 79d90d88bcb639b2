"""One queue to one scorer: templates come from many tasks and go in micro-batches to worker threads."""

from __future__ import annotations

from .calls import is_out_of_memory
from .consumer import Batch, Consumer

__all__ = ["Batch", "Consumer", "is_out_of_memory"]
