"""Collections of cyclic garbage that stay short, however much a search has found."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

OFTEN = 2
"""Collections of the middle generation before a full one, in place of 10: each then has less to look at, and
all together as much as before."""


@contextmanager
def short_collections() -> Iterator[None]:
    """Let Python's full collections look at what is new since the last one alone.

    A full collection goes through every object that there is, and nothing else runs meanwhile: with torch
    loaded that is a quarter of a second, and more with every template that a search keeps. What has lived
    through one is *frozen* here: it is freed as ever when nobody refers to it, only no longer looked at for
    cycles. So that cycles cannot pile up unseen, all are looked at once when twice as much is in use as there
    was after the last time.

    Where a program has turned collections off, or has frozen objects of its own, they are left as they are.
    """
    most = 2 * sys.getallocatedblocks()
    if not gc.isenabled() or gc.get_freeze_count() or not most:
        yield
        return
    often = gc.get_threshold()
    gc.set_threshold(*often[:2], min(often[2], OFTEN))
    gc.freeze()
    gc.collect()  # of next to nothing: Python puts the next one off by a quarter of what this one leaves
    thawed = False

    def collected(phase: str, info: dict[str, Any]) -> None:
        nonlocal most, thawed
        if phase != "stop" or info["generation"] != 2:
            return
        blocks = sys.getallocatedblocks()
        if thawed:  # this one has looked at all
            most, thawed = 2 * blocks, False
        if blocks > most:
            gc.unfreeze()
            thawed = True
        else:
            gc.freeze()

    gc.callbacks.append(collected)
    try:
        yield
    finally:
        gc.callbacks.remove(collected)
        gc.set_threshold(*often)
        gc.unfreeze()
