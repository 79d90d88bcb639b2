"""Where a template came from, as far as its words tell."""

from __future__ import annotations

from promptclimb.agent.results.lineage import lineage_of, marked, shown_in
from promptclimb.agent.results.word_counts import word_effects
from tests.fakes.small_result import row

FIRST = row(template="a photo of a {}", train=0.4)
SECOND = row(template="a bright photo of a {}", train=0.5, conversation=1, round=1)
BEST = row(template="a bright drawing of a {}", train=0.6, conversation=1, round=3)


def test_the_line_goes_back_to_an_initial_template() -> None:
    """By most words in common, in the same restart, and always backwards in time."""
    others = [
        row(template="a bright drawing of one {}", train=0.9, restart=2),
        row(template="a bright drawing of the {}", train=0.9, conversation=1, round=3),
        row(template="some {}", train=0.9),
    ]
    assert lineage_of(BEST, [FIRST, SECOND, BEST, *others]) == [BEST, SECOND, FIRST]


def test_a_template_that_is_like_no_other_has_no_ancestor() -> None:
    """Less than half of its words in common is none."""
    assert lineage_of(BEST, [row(template="{} in ink")]) == [BEST]


def test_words_that_are_new_are_marked() -> None:
    """Against the ancestor; the first of the line has none."""
    assert [word.text for word in marked(BEST.template, SECOND.template) if word.new] == ["drawing"]
    assert not any(word.new for word in marked(FIRST.template, None))


def test_what_stood_in_a_request_is_found_best_first() -> None:
    """Templates are looked for as they are written."""
    assert shown_in(["1. a photo of a {}", f"2. {SECOND.template}: 50 %"], [FIRST, SECOND, BEST]) == [
        SECOND,
        FIRST,
    ]


def test_words_are_told_by_what_went_with_them() -> None:
    """Each template once; too few templates with a word, or without it, tell nothing."""
    rows = [row(template=f"Good, {{}} {n}", train=0.8) for n in "abc"]
    rows += [row(template=f"bad {{}} {n}", train=0.2) for n in "abc"]
    better, worse = word_effects([*rows, *rows])
    assert [(one.word, one.templates, round(one.difference, 6)) for one in better] == [("good", 3, 0.6)]
    assert [(one.word, one.templates, round(one.difference, 6)) for one in worse] == [("bad", 3, -0.6)]
    assert word_effects(rows[:4]) == ([], [])
