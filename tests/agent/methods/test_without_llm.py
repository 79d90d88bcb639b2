"""Methods that ask no LLM: what each proposes follows from the view alone, and is new."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.methods.base import Propose, View
from promptclimb.agent.methods.memory import Memory
from promptclimb.agent.methods.registry import METHODS
from promptclimb.agent.methods.without_llm import (
    LONGEST_PHRASE,
    MAX_LEARNT_FROM,
    MOST_PHRASES,
    features,
    framed,
    one_word_changed,
    phrases,
    predict,
    singular,
)
from promptclimb.prompts.template import Template
from promptclimb.prompts.template_kind import BUILT_IN, KIND, TemplateKind
from tests.fakes.restart_view import memory_of, view_of

NAMES = ("combine", "random")
POOL = [Template.parse(text) for text in BUILT_IN]


def worth(text: str) -> float:
    """A score that likes dice and dislikes photos."""
    return 0.5 + 0.3 * ("dice" in text) - 0.2 * ("photo" in text)


def view(memory: Memory, **more: Any) -> View:
    """A restart as a method sees it."""
    return view_of(memory, **{"pool": POOL, "proposals": 5, "top_k": 10} | more)


def of_words(most: int) -> TemplateKind:
    """Templates of at most so many words."""
    kind = TemplateKind()
    kind.max_words = most
    return kind


STARTED = memory_of((text, worth(text)) for text in BUILT_IN[:80])


def proposals(name: str, shown: View) -> list[str]:
    """What a method proposes first."""
    step = next(METHODS[name].conversation(shown))
    assert isinstance(step, Propose)
    return [candidate.text for candidate in step.candidates]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("description", ["", "throws of two dice on a green table"])
@pytest.mark.parametrize("seed", range(5))
def test_proposals_are_new_and_decided_by_the_view(name: str, description: str, seed: int) -> None:
    """As many as asked for, valid, none known, none twice; the same view gives the same, another others."""
    shown = view(STARTED, seed=seed, description=description, kind=of_words(9))
    texts = proposals(name, shown)
    assert texts == proposals(name, shown)
    assert texts != proposals(name, view(STARTED, seed=seed + 1, description=description, kind=of_words(9)))
    keys = {Template.parse(text).key for text in texts}
    assert len(keys) == 5
    assert not any(key in STARTED for key in keys)
    assert all(len(text.split()) <= 9 for text in texts)


@pytest.mark.parametrize("name", NAMES)
def test_edge_cases_of_the_memory(name: str) -> None:
    """Nothing left to try gives fewer proposals; thousands of scored templates are no burden."""
    assert (
        proposals(name, view(memory_of([("{}", 0.5)]), pool=[Template.parse("{}")], kind=of_words(1))) == []
    )
    memory = memory_of((f"word{n} {{}} number {n % 97}", n / 9e3) for n in range(3_000))
    assert len(proposals(name, view(memory))) == 5


def test_combine_uses_the_description_or_words_of_form() -> None:
    """Every proposal has its words, none the name of a class; without one there is something to say too."""
    texts: list[str] = []
    for seed in range(6):
        shown = view(STARTED, seed=seed, description="dice in a cup, six of them", class_names=("six", "two"))
        texts += proposals("combine", shown)
    assert all("dice" in text or "die" in text or "cup" in text for text in texts)
    assert not [text for text in texts if "six" in text.split()]
    blind = {text for seed in range(4) for text in proposals("combine", view(STARTED, seed=seed))}
    assert len(blind) > 10


def test_combine_uses_general_words_where_the_descriptions_are_used_up_or_the_share_says_so() -> None:
    """So the round is never wasted."""
    used = {framed(frame, "cup") for frame in KIND.frames}
    left = max(sorted(used), key=len)  # not one that differs from another in its article alone
    used.remove(left)
    shown = view(memory_of((text, 0.5) for text in used), description="cup", kind=of_words(9), proposals=9)
    texts = proposals("combine", shown)
    assert left in texts
    assert len(set(texts)) == len(texts) == 9


def test_a_pool_without_words_borrows_some() -> None:
    """Words to insert come from the built-in templates, then."""
    pool = [Template.parse("{}"), Template.parse("{} {}")]
    texts = proposals("random", view(memory_of([("{}", 0.5)]), pool=pool, top_k=1))
    assert any(word.isalpha() for text in texts for word in text.split())


def test_effects_of_words_are_learnt() -> None:
    """A predicted score follows from those of others; equal scores predict themselves."""
    texts = [*BUILT_IN, "dice {}", "{} on dice", "some dice {}"]
    memory = memory_of((text, worth(text)) for text in texts)
    good, bad = predict(memory, ["two dice {}", "a photo in which a {} is"])
    assert good > bad
    assert predict(STARTED, []) == []
    assert predict(memory_of([("a {}", 0.25), ("some {}", 0.25)]), ["many {}"]) == [0.25]


def test_only_so_many_are_learnt_from() -> None:
    """The best, and others spread over the rest down to the worst."""
    memory = memory_of((f"w{n} {{}}", n / 1e4) for n in range(4 * MAX_LEARNT_FROM))
    best, worst, unknown = predict(memory, [f"w{4 * MAX_LEARNT_FROM - 1} {{}}", "w1 {}", "other {}"])
    assert best > unknown
    assert best > worst


def test_features_keep_the_side_of_the_slot() -> None:
    """Articles, case and marks say nothing."""
    assert features("A {} of the Dice.") == {"{}", "of", "dice", "{} of", "of dice"}
    assert features("of {}") != features("{} of")


def test_only_valid_unknown_candidates_are_left() -> None:
    """Neither too long, nor without a slot, nor scored already, nor there twice."""
    shown = view(memory_of([("a {}", 0.5)]), kind=of_words(3))
    texts = ["the {}", "x", "b {}", "a b c {}", "B {}"]
    assert [candidate.text for candidate in shown.unseen(texts)] == ["b {}"]


def test_slots_are_left_alone() -> None:
    """A parent without words gets one."""
    rng = random.Random(1)
    assert all("{}" in one_word_changed("{} b c", ["x"], "{}", rng) for _ in range(50))
    assert one_word_changed("{}", ["x"], "{}", rng) in ("x {}", "{} x")


@pytest.mark.parametrize("huge", [1e300, 1.7e308])
def test_scores_of_any_size_are_learnt_from(huge: float) -> None:
    """Squares of the largest numbers overflow; that warns nobody, and the order is that of small ones."""
    texts = [template.text for template in POOL[:30]]
    small, large = (
        [value / unit for value in predict(memory_of((text, unit * worth(text)) for text in texts), texts)]
        for unit in (1.0, huge)
    )
    assert all(math.isfinite(value) for value in large)
    assert large == pytest.approx(small, abs=1e-5)


def test_words_of_content_and_their_phrases_are_found() -> None:
    """Within a clause; a plural in the singular too; function words only inside a phrase."""
    words = phrases("Tally marks: strokes in bundles.")
    assert words == (
        *("Tally", "marks", "mark", "strokes", "stroke", "bundles", "bundle"),
        *("Tally marks", "Tally mark", "strokes in bundles", "strokes in bundle"),
    )


def test_a_class_name_is_left_out() -> None:
    """Also one of several words, and whatever its case; the words around it stay."""
    words = phrases("a Great Pumpkin beside Five candles", ["five", "great pumpkin"])
    assert "candles" in words
    assert "Pumpkin" in words
    assert not [phrase for phrase in words if "five" in phrase.casefold() or phrase == "Great Pumpkin"]


@pytest.mark.parametrize("text", ["", "...", "it is one of them", "{} <w>"])
def test_where_nothing_is_said_nothing_is_found(text: str) -> None:
    """Marks, function words and braces say nothing."""
    assert phrases(text) in ((), ("w",))


@given(st.text(max_size=300), st.lists(st.text(max_size=8), max_size=4))
def test_any_description_gives_phrases_that_fit_a_frame(text: str, names: list[str]) -> None:
    """Bounded in number and length, without braces, each once."""
    words = phrases(text, names)
    assert len(words) == len(set(words)) <= MOST_PHRASES
    for phrase in words:
        assert len(phrase.split()) <= LONGEST_PHRASE
        assert not set("{}<>") & set(phrase)


@pytest.mark.parametrize(
    ("plural", "expected"),
    [("marks", "mark"), ("boxes", "box"), ("berries", "berry"), ("dice", "dice"), ("glass", "glass"),
     ("gas", "gas"), ("axis", "axis"), ("dishes", "dish"), ("noses", "nose")],
)  # fmt: skip
def test_a_plural_has_a_singular(plural: str, expected: str) -> None:
    """By its ending; what seems to be no plural is left alone."""
    assert singular(plural) == expected
