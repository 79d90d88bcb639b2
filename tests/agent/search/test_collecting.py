"""Full collections look at what is new alone, and nothing piles up unseen."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator

import pytest

from promptclimb.agent.search.event_loop import short_collections


class Ring:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """Each test begins and ends with nothing frozen."""
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_has_lived_through_a_collection_is_not_looked_at_again() -> None:
    """A full collection then takes as long as there is that is new, whatever a search keeps."""
    with short_collections():
        kept = [[number] for number in range(1_000)]
        gc.collect()
        assert not any(one is kept for one in gc.get_objects())
        assert len(gc.get_objects(generation=2)) < 100
    assert any(one is kept for one in gc.get_objects())
    assert gc.get_freeze_count() == 0


def test_already_the_first_full_collection_is_short() -> None:
    """Python puts one off until a quarter as much has come as was there: that is to be what is not frozen."""
    stats = gc.get_stats()[2]["collections"]
    with short_collections():
        assert gc.get_stats()[2]["collections"] == stats + 1
        assert len(gc.get_objects(generation=2)) < 100
        assert gc.get_freeze_count() > 10_000


def test_full_collections_come_often_meanwhile_and_no_more_afterwards() -> None:
    """Between two of them little has come that is new: ten thousand objects, and not a hundred thousand."""
    before = gc.get_threshold()
    with short_collections():
        counted = gc.get_stats()[2]["collections"]
        kept = [[number] for number in range(4 * 3 * before[0] * before[1])]
        assert gc.get_stats()[2]["collections"] >= counted + 3
    assert gc.get_threshold() == before
    assert kept


def test_new_garbage_is_found_as_ever() -> None:
    """And what is frozen goes when nobody refers to it, as long as it is in no cycle."""
    with short_collections():
        found = weakref.ref(Ring())
        gc.collect()
        assert found() is None
        plain = {1: Ring()}
        gone = weakref.ref(plain[1])
        plain[1].me = plain[1]
        gc.collect()
        assert gone() is not None
        del plain[1].__dict__["me"]
        del plain[1]
        assert gone() is None


def test_cycles_of_what_was_frozen_are_found_when_much_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the latest when twice as much is in use: memory stays in proportion to what is needed."""
    in_use = [1_000]
    monkeypatch.setattr(sys, "getallocatedblocks", lambda: in_use[0])
    with short_collections():
        rings = [Ring() for _ in range(300)]
        last = weakref.ref(rings[-1])
        gc.collect()
        rings.clear()
        in_use[0] = 2_000
        gc.collect()
        assert last() is not None
        in_use[0] = 2_001
        gc.collect()  # all are looked at the next time
        gc.collect()
        assert last() is None
        in_use[0] = 4_002  # and that was not too much for what there is now
        kept = [Ring()]
        gc.collect()
        assert not any(one is kept for one in gc.get_objects())


@pytest.mark.parametrize("own", ["off", "frozen"])
def test_a_program_that_has_its_own_way_keeps_it(own: str) -> None:
    """Collections turned off stay off, and what the program has frozen stays frozen."""
    if own == "off":
        gc.disable()
    else:
        gc.freeze()
    try:
        before, frozen = list(gc.callbacks), gc.get_freeze_count()
        with short_collections():
            assert gc.callbacks == before
            assert (gc.get_freeze_count() > 0) == (frozen > 0)
        assert (gc.get_freeze_count() > 0) == (frozen > 0)
    finally:
        gc.enable()
