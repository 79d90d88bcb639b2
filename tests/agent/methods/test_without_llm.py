"""Methods that ask no LLM: what each proposes follows from the view alone, and is new."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from promptclimb.agent.methods.base import Propose, View
from promptclimb.agent.methods.memory import Entry, Memory
from promptclimb.agent.methods.mutate import children, crossed, one_word_changed
from promptclimb.agent.methods.registry import METHODS
from promptclimb.agent.methods.word_regression import MOST_TEMPLATES, features, predict
from promptclimb.agent.position import Position
from promptclimb.evaluator.scoring import Score
from promptclimb.prompts.template import Template
from promptclimb.prompts.template_kind import BUILT_IN

NAMES = ("combine", "words", "mutate")
POOL = [Template.parse(text) for text in BUILT_IN]


def memory_of(values: dict[str, float]) -> Memory:
    """Entry templates."""
    memory = Memory(1)
    for text, value in values.items():
        score = Score(train=value)
        memory.add(Entry(candidate=Template.parse(text), score=score, value=value, position=Position(1)))
    return memory


def worth(text: str) -> float:
    """A score that likes dice and dislikes photos."""
    return 0.5 + 0.3 * ("dice" in text) - 0.2 * ("photo" in text)


def view(memory: Memory, *, seed: int = 1, **more: Any) -> View:
    """A restart as a method sees it."""
    given: dict[str, Any] = {"pool": POOL, "proposals": 5, "top_k": 10, "max_words": 15} | more
    return View(memory=memory, max_turns=3, rng=lambda: random.Random(seed), **given)


STARTED = memory_of({text: worth(text) for text in BUILT_IN[:80]})


def proposals(name: str, seen: View) -> list[Template]:
    """What a method proposes first."""
    step = next(METHODS[name].conversation(seen))
    assert isinstance(step, Propose)
    return list(step.candidates)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("description", ["", "throws of two dice on a green table"])
@pytest.mark.parametrize("seed", range(5))
def test_proposals_are_new_and_decided_by_the_view(name: str, description: str, seed: int) -> None:
    """As many as asked for, valid, none known, none twice; the same view gives the same ones."""
    seen = view(STARTED, seed=seed, description=description, max_words=9)
    found = proposals(name, seen)
    assert found == proposals(name, seen)
    assert len({template.key for template in found}) == 5
    assert all(template.key not in STARTED and len(template.text.split()) <= 9 for template in found)


@pytest.mark.parametrize("name", NAMES)
def test_streams_differ(name: str) -> None:
    """Two rounds do not propose the same."""
    assert proposals(name, view(STARTED, seed=1)) != proposals(name, view(STARTED, seed=2))


@pytest.mark.parametrize("name", NAMES)
def test_a_restart_with_nothing_left_to_try_gives_fewer(name: str) -> None:
    """It ends instead of looking for ever."""
    memory = memory_of({"{}": 0.5})
    assert proposals(name, view(memory, pool=[Template.parse("{}")], max_words=1)) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_large_memory_is_no_burden(name: str) -> None:
    """Thousands of scored templates are learnt from by a bounded number of them."""
    memory = memory_of({f"word{number} {{}} number {number % 97}": number / 9e3 for number in range(3_000)})
    assert len(proposals(name, view(memory))) == 5


def test_combine_says_what_the_description_says() -> None:
    """Most proposals have its words, and none the name of a class."""
    found: list[str] = []
    for seed in range(6):
        seen = view(STARTED, seed=seed, description="dice in a cup, six of them", class_names=("six", "two"))
        found += [template.text for template in proposals("combine", seen)]
    assert sum("dice" in text or "cup" in text for text in found) > len(found) / 2
    assert not [text for text in found if "six" in text.split()]


def test_combine_without_a_description_fills_frames_with_words_of_form() -> None:
    """It has something to propose to a blind restart too."""
    found = [
        template.text for seed in range(4) for template in proposals("combine", view(STARTED, seed=seed))
    ]
    assert len(set(found)) > 10


def test_words_are_learnt() -> None:
    """What they are worth follows from others, and words that were never tried are in doubt."""
    memory = memory_of({text: worth(text) for text in [*BUILT_IN, "dice {}", "{} on dice", "some dice {}"]})
    good, bad = predict(memory, ["two dice {}", "a photo in which a {} is"])
    assert good.value > bad.value
    seen, new = predict(STARTED, [BUILT_IN[0], "quux {} zzz"])
    assert new.doubt > seen.doubt > 0
    assert predict(STARTED, []) == []


def test_a_memory_of_equal_scores_predicts_them() -> None:
    """Nothing to learn is no error."""
    (found,) = predict(memory_of({"a {}": 0.25, "some {}": 0.25}), ["many {}"])
    assert found == (0.25, 0.0)


def test_what_is_learnt_from_is_bounded() -> None:
    """The best, and others spread over the rest down to the worst."""
    memory = memory_of({f"w{number} {{}}": number / 1e4 for number in range(4 * MOST_TEMPLATES)})
    best, worst, unseen = predict(memory, [f"w{4 * MOST_TEMPLATES - 1} {{}}", "w1 {}", "other {}"])
    assert best.value > unseen.value
    assert best.value > worst.value


def test_words_proposes_what_promises_most() -> None:
    """A word that helped comes up in most of what it proposes."""
    memory = memory_of(
        {text: worth(text) for text in [*BUILT_IN[:60], "dice {}", "{} on dice", "some dice {}"]}
    )
    found = [template.text for seed in range(4) for template in proposals("words", view(memory, seed=seed))]
    assert sum("dice" in text for text in found) > len(found) / 3


def test_features_keep_the_side_of_the_slot() -> None:
    """Articles, case and marks say nothing."""
    assert features("A {} of the Dice.") == {"{}", "of", "dice", "{} of", "of dice"}
    assert features("of {}") != features("{} of")


def test_a_cross_has_one_slot_of_the_two() -> None:
    """The beginning of one with the end of the other; texts without a slot meet in the middle."""
    assert crossed("at night in fog", "very close up", "") == "at night close up"
    assert crossed("a photo of a {}", "one {} in the {} rain", "{}") == "a photo of a {} in the {} rain"


def test_what_is_no_template_or_known_is_left_out() -> None:
    """Too long, without a slot, scored already, or there twice."""
    seen = view(memory_of({"a {}": 0.5}), max_words=3)
    assert [one.text for one in seen.unseen(["the {}", "x", "b {}", "a b c {}", "B {}"])] == ["b {}"]


def test_children_come_of_their_parents() -> None:
    """Slots are left alone; a parent without words gets one."""
    seen, rng = view(memory_of({"a {}": 0.5, "{} b c": 0.25})), random.Random(1)
    assert all("{}" in text for text in children(seen, 50, rng))
    assert one_word_changed("{}", ["x"], "{}", rng) in ("x {}", "{} x")


@pytest.mark.parametrize("huge", [1e300, 1.7e308])
def test_scores_of_any_size_are_learnt_from(huge: float) -> None:
    """Squares of the largest numbers overflow; that warns nobody, and the order is that of small ones."""
    texts = [template.text for template in POOL[:30]]
    found = [predict(memory_of({text: unit * worth(text) for text in texts}), texts) for unit in (1.0, huge)]
    orders = [sorted(range(30), key=lambda at, one=one: (round(one[at].value / unit, 5), at))
              for one, unit in zip(found, (1.0, huge), strict=True)]  # fmt: skip
    assert orders[0] == orders[1]
    assert all(math.isfinite(one.value) and math.isfinite(one.doubt) for one in found[1])
