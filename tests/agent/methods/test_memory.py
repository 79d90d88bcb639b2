"""The ranked memory, held against a sorted list."""

from __future__ import annotations

import hashlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.methods.memory import Entry, Memory
from promptclimb.agent.position import Position
from promptclimb.evaluator.scoring import Score
from promptclimb.prompts.template import Template

added = st.lists(
    st.tuples(st.text("abcdefgh", max_size=3), st.sampled_from([0.0, 0.25, 0.5, 0.5000001, 1.0])), max_size=60
)


def scored(word: str, value: float, round: int = 1) -> Entry:
    """A template of one word with a value."""
    template = Template.parse(f"{word} {{}}")
    score = Score(train=0.0)
    return Entry(candidate=template, score=score, value=value, position=Position(1, 1, round))


def key_of(word: str) -> str:
    """The normal form of that template."""
    return scored(word, 0.0).key


def ranked(entries: dict[str, float], seed: int) -> list[str]:
    """The stated order, implemented independently."""
    key = hashlib.blake2b(str(seed).encode(), digest_size=16).digest()

    def rank(name: str) -> tuple[float, bytes, str]:
        tie = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
        return (-entries[name], tie, name)

    return sorted(entries, key=rank)


@given(added, st.integers(0, 20), st.integers(0, 3))
def test_it_is_a_sorted_list_without_duplicates(plan: list[tuple[str, float]], k: int, seed: int) -> None:
    """Order, views and membership are those of a list that is sorted each time."""
    memory, entries = Memory(seed), dict[str, float]()
    for word, value in plan:
        key = key_of(word)
        assert memory.add(scored(word, value)) == (key not in entries)
        entries.setdefault(key, value)
    order = ranked(entries, seed)
    assert [entry.key for entry in memory] == order
    assert [entry.key for entry in memory.best(k)] == order[:k]
    worst = [entry.key for entry in memory.worst(k)]
    bad = [key for key in order[k:] if entries[key] != entries[order[k - 1]]] if k else []
    assert worst == list(reversed(bad))[:k]
    assert all(entries[low] < entries[high] for low in worst for high in order[:k])
    assert len(memory) == len(entries)


def test_spellings_of_a_template_are_one_entry() -> None:
    """The first of them stands, whatever a later one scored."""
    memory = Memory()
    assert memory.add(scored("A photo of a", 0.5))
    assert not memory.add(scored("a photo of", 0.9))
    (entry,) = (each for each in memory if each.key == key_of("photo of"))
    assert entry is not None
    assert (entry.text, entry.value, len(memory)) == ("A photo of a {}", 0.5, 1)
    assert key_of("photo of") in memory
    assert "nothing" not in memory


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_only_finite_numbers_are_ranked(value: float) -> None:
    """A template without a score is absent, not zero, and not NaN either."""
    memory = Memory()
    with pytest.raises(ValueError, match="finite"):
        memory.add(scored("b", value))
    assert len(memory) == 0
    assert key_of("b") not in memory


def test_what_equals_the_last_of_the_best_is_in_no_list_of_bad_ones() -> None:
    """Which of several equal ones is among the best is a coin's choice; the others are not shown as bad."""
    memory = Memory()
    for number in range(40):
        memory.add(scored(str(number), 1.0))
    assert (len(memory.best(15)), memory.worst(15)) == (15, [])
    memory.add(scored("dull", 0.5))
    memory.add(scored("bright", 1.5))
    assert [entry.text for entry in memory.worst(15)] == ["dull {}"]
    assert [entry.text for entry in memory.best(1)] == ["bright {}"]
    assert memory.worst(1) == memory.worst(15)

    few = Memory()
    for number in range(5):
        few.add(scored(str(number), number / 10))
    assert [entry.text for entry in few.best(4)] == ["4 {}", "3 {}", "2 {}", "1 {}"]
    assert [entry.text for entry in few.worst(4)] == ["0 {}"]
    assert (few.worst(9), few.worst(0), few.worst(-1), few.best(-1)) == ([], [], [], [])
