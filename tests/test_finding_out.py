"""The benchmark of what scores bring: its conversations are those of ``pn``, true or shuffled."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from benchmarks.finding_out import conversation, document_of
from promptclimb.agent.methods.base import Ask, Feedback, View
from promptclimb.agent.methods.memory import Entry, Memory
from promptclimb.agent.methods.registry import METHODS
from promptclimb.agent.position import Position
from promptclimb.evaluator.scoring import Score
from promptclimb.prompts.requests import ChatMessage, Outcome
from promptclimb.prompts.template import Template

TRIED = [Outcome(f"- template {{}} {place}", place / 100) for place in range(40, 48)]


def view(names: Sequence[str] = ()) -> View:
    """A restart with 30 scored starting templates; the number in a template is its score."""
    memory = Memory()
    for value in range(30):
        template = Template.parse(f"a {{}} of {value}", max_words=None)
        score = Score(train=value / 100)
        memory.add(Entry(candidate=template, score=score, value=value / 100, position=Position(1)))
    return View(
        memory=memory,
        pool=(),
        proposals=8,
        top_k=5,
        max_words=15,
        max_turns=6,
        rng=lambda: random.Random(1),
        class_names=names,
    )


def messages(of: View, *, shuffled: bool) -> tuple[ChatMessage, ...]:
    """What the second request of a conversation says."""
    steps = conversation(of, shuffled=shuffled)
    next(steps)
    step = steps.send(Feedback(text="- an answer {}", outcomes=TRIED, best_before=0.3))
    assert isinstance(step, Ask)
    return tuple(step.messages)


def test_without_shuffling_it_is_pn() -> None:
    """Every message is that of the method that ships."""
    steps = METHODS["pn"].conversation(view())
    next(steps)
    shipped = steps.send(Feedback(text="- an answer {}", outcomes=TRIED, best_before=0.3))
    assert isinstance(shipped, Ask)
    assert messages(view(), shuffled=False) == tuple(shipped.messages)


def test_class_names_stand_first() -> None:
    """They are one sentence before the rest, which stays as it is."""
    (first, *_), (plain, *_) = (
        messages(view(["cat", "bee"]), shuffled=False),
        messages(view(), shuffled=False),
    )
    assert first["content"] == f"The classes are: cat, bee.\n\n{plain['content']}"


def test_shuffled_scores_are_the_same_numbers_at_other_templates() -> None:
    """Lists are drawn at random; an answer's lines have its scores in another order, the rest is the same."""
    true, shuffled = messages(view(), shuffled=False), messages(view(), shuffled=True)
    assert [one["role"] for one in true] == [one["role"] for one in shuffled]
    (opening, _, ours), (drawn, _, mixed) = true, shuffled
    assert opening["content"] != drawn["content"]
    assert len(opening["content"].splitlines()) == len(drawn["content"].splitlines())
    assert ours["content"] != mixed["content"]
    assert sorted(ours["content"].split()) == sorted(mixed["content"].split())
    lines = [line for line in mixed["content"].splitlines() if line.startswith("- - template")]
    assert [line.split()[4] for line in lines] == [one.text.split()[3] for one in TRIED]


def test_differences_are_paired_by_set_and_seed() -> None:
    """A pair of arms is compared in cells that both have, in points."""
    rows = [
        {
            "set": "a",
            "seed": seed,
            "arm": arm,
            "test": test,
            "starting": 0.1,
            "default": 0.1,
            "scored": 90,
            "calls": 6,
        }
        for seed, arm, test in (
            (1, "pn", 0.5),
            (1, "pn, shuffled", 0.3),
            (2, "pn", 0.4),
            (2, "pn, shuffled", 0.4),
        )
    ]
    found = document_of([*rows, {**rows[0], "seed": 3}])["differences"]["pn over pn, shuffled"]["all"]
    assert found == {
        "points": pytest.approx(10),
        "standard_error": pytest.approx(10),
        "cells": 2,
    }
