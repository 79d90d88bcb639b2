"""Places in a run in words, and seeds that follow from a place."""

from __future__ import annotations

from promptclimb.agent.position import NAMES, Position, derived, rng_for


def test_seeds_follow_from_their_place() -> None:
    """The same on every machine; neighbours have nothing in common."""
    assert derived(1, 2, 3) == derived(1, 2, 3) == 270_978_779
    assert len({derived(1, restart, turn) for restart in range(50) for turn in range(50)}) == 2500
    assert rng_for(1, "a").random() != rng_for(1, "b").random()
    assert all(0 <= derived(seed) < 2**31 for seed in range(100))


def test_rounds_of_names_in_another_template_say_so() -> None:
    """An extended run may search for names twice."""
    assert str(Position(NAMES, 1, 2)) == "class names, round 2"
    assert str(Position(NAMES, 2, 2)) == "class names, template 2, round 2"
