"""The ranked memory, held against a sorted list."""

from __future__ import annotations

import hashlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from promptclimb.agent.climb.memory import Memory

added = st.lists(
    st.tuples(st.text(max_size=6), st.sampled_from([0.0, 0.25, 0.5, 0.5000001, 1.0])), max_size=60
)


def ranked(entries: dict[str, float], seed: int) -> list[str]:
    """The stated order, written down independently."""
    key = hashlib.blake2b(str(seed).encode(), digest_size=16).digest()

    def place(name: str) -> tuple[float, bytes, str]:
        tie = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
        return (-entries[name], tie, name)

    return sorted(entries, key=place)


@given(added, st.integers(0, 20), st.integers(0, 3))
def test_it_is_a_sorted_list_without_duplicates(plan: list[tuple[str, float]], k: int, seed: int) -> None:
    """Order, views, ranks and membership are those of a list that is sorted each time."""
    memory, entries = Memory[int](seed), dict[str, float]()
    for number, (key, value) in enumerate(plan):
        assert memory.add(key, key, value, number) == (key not in entries)
        entries.setdefault(key, value)
    order = ranked(entries, seed)
    assert [entry.key for entry in memory] == order
    assert [entry.key for entry in memory.best(k)] == order[:k]
    worst = [entry.key for entry in memory.worst(k)]
    assert worst == list(reversed(order[k:]))[:k]
    assert not set(worst) & set(order[:k])
    assert len(worst) == min(k, max(len(order) - k, 0))
    assert [memory.rank(key) for key in order] == list(range(1, len(order) + 1))
    assert len(memory) == len(entries)


@given(st.permutations([f"a photo {number} of a {{}}" for number in range(12)]), st.integers(0, 5))
def test_ties_do_not_depend_on_when_a_template_was_added(order: list[str], seed: int) -> None:
    """Equal values, any order of adding: the same ranking."""
    first, second = Memory[None](seed), Memory[None](seed)
    for text in order:
        first.add(text, text, 0.5, None)
    for text in sorted(order):
        second.add(text, text, 0.5, None)
    assert list(first) == list(second)


def test_ties_are_neither_alphabetical_nor_the_same_for_every_seed() -> None:
    """Over many seeds each of two tied templates is first about half of the time."""
    firsts = 0
    for seed in range(400):
        memory = Memory[None](seed)
        memory.add("a", "a", 1.0, None)
        memory.add("z", "z", 1.0, None)
        firsts += memory.best(1)[0].key == "a"
    assert 150 < firsts < 250


def test_near_duplicates_are_one_entry_with_its_spellings() -> None:
    """The first value stands; every spelling is remembered once."""
    memory = Memory[str]()
    assert memory.add("A photo of a {}.", "photo of {}", 0.5, "first")
    assert not memory.add("a photo of {}", "photo of {}", 0.9, "second")
    assert not memory.add("a photo of {}", "photo of {}", 0.9, "third")
    assert memory.spellings("photo of {}") == ("A photo of a {}.", "a photo of {}")
    entry = memory.get("photo of {}")
    assert entry is not None
    assert (entry.value, entry.payload, len(memory)) == (0.5, "first", 1)
    assert memory.spellings("unknown") == ()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_only_finite_numbers_are_ranked(value: float) -> None:
    """A template without a score is absent, not zero, and not NaN either."""
    memory = Memory[None]()
    with pytest.raises(ValueError, match="finite"):
        memory.add("{}", "{}", value, None)
    assert len(memory) == 0
    assert "{}" not in memory


def test_fewer_than_2k_give_the_best_precedence() -> None:
    """With five templates and k = 4 the best have four and the worst one."""
    memory = Memory[None]()
    for number in range(5):
        memory.add(str(number), str(number), number / 10, None)
    assert [entry.key for entry in memory.best(4)] == ["4", "3", "2", "1"]
    assert [entry.key for entry in memory.worst(4)] == ["0"]
    assert memory.worst(9) == []
