"""Collections of cyclic garbage that stay short, however much a search has found."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def short_collections() -> Iterator[None]:
    """Let Python's full collections look at what is new since the last one alone.

    A full collection goes through every object that there is, and nothing else runs meanwhile: with torch
    loaded that is a quarter of a second, and more with every template that a search keeps. What has lived
    through one is *frozen* here: it is freed as ever when nobody refers to it, only no longer looked at for
    cycles. So that cycles cannot pile up unseen, all are looked at once when as much has been frozen as there
    was after the last time.

    Where a program has turned collections off, or has frozen objects of its own, they are left as they are.
    """
    if not gc.isenabled() or gc.get_freeze_count():
        yield
        return
    gc.freeze()
    room = gc.get_freeze_count()
    gc.collect()  # of next to nothing: Python puts the next one off by a quarter of what this one leaves

    def collected(phase: str, info: dict[str, Any]) -> None:
        nonlocal room
        if phase != "stop" or info["generation"] != 2:
            return
        if room < 0:  # this one has looked at all
            gc.freeze()
            room = gc.get_freeze_count()
            return
        room -= len(gc.get_objects(generation=2))
        if room < 0:
            gc.unfreeze()
        else:
            gc.freeze()

    gc.callbacks.append(collected)
    try:
        yield
    finally:
        gc.callbacks.remove(collected)
        gc.unfreeze()
