"""The simulated chat model: lists found, captions made, forms kept to, and how often each fails."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptclimb.evaluator.serving import simulated_chat as module
from promptclimb.evaluator.serving.simulated_chat import (
    answer,
    caption,
    choose,
    find_options,
    read_instruction,
)

LISTS = {
    "Choose one of: cat, dog, bird.": ("cat", "dog", "bird"),
    "Choose one of cat, dog and bird. Answer now.": ("cat", "dog", "bird"),
    "Is it cat, dog, or St. Bernard? Say which.": ("cat", "dog", "St. Bernard"),
    "Which of cat, dog, bird does it show?": ("cat", "dog", "bird"),
    "Which animal (cat; sea lion; bird) is it?": ("cat", "sea lion", "bird"),
    'Options: "a, b", "c \\" d", "e"': ("a, b", 'c " d', "e"),
    'Pick from ["cat", "dog, wet", "bird"]!': ("cat", "dog, wet", "bird"),
    "Look.\n1. cat\n2. sea lion\n3. bird\nWhich?": ("cat", "sea lion", "bird"),
    "0) cat\n1) dog": ("cat", "dog"),
    "(A) cat\n(B) dog\n(C) bird": ("cat", "dog", "bird"),
    "Is it 1) cat, 2) dog or 3) bird?": ("cat", "dog", "bird"),
    "1 = cat, 2 = dog, 3 = bird. Give the number.": ("cat", "dog", "bird"),
    "- cat\n- dog\n* bird\n": ("cat", "dog", "bird"),
    "Classes:\ncat\ndog\n\nWhich is it?": ("cat", "dog"),
    "First, look. Second, compare it with these: cat, dog, bird, ox.": ("cat", "dog", "bird", "ox"),
    "1. Look at the shape of what is in the middle of the image before you say anything about it.\n"
    "2. Choose: cat, dog.": ("cat", "dog"),
}


@pytest.mark.parametrize("text", LISTS)
def test_a_list_is_found_in_each_form(text: str) -> None:
    """By comma, by line, by number, by letter, in JSON; with what surrounds it."""
    found = find_options(text)
    assert found is not None
    assert found.names == LISTS[text]
    assert not found.marks or len(found.marks) == len(found.names)


@pytest.mark.parametrize("text", ["What is this?", "", "cat", "[[[", "Options: cat, cat"])
def test_a_text_without_two_different_options_has_no_list(text: str) -> None:
    """The answer then names no class."""
    assert find_options(text) is None


CAPTIONS = {
    "Which road sign does this dark photo show?": "a road sign dark photo of a {}",
    "What is in this image? Answer with the class name only.": "an image of a {}",
    "A drawing in white chalk.\nWhich of the following classes is it?": "a drawing in white chalk of a {}",
    'Complete "a chalk drawing of a ___" with one of the classes.': "a chalk drawing of a {}",
    'Fill in: "an icon of [class], small".': "an icon of {} , small",
    'Reply in JSON such as {"label": "..."}.': "{}",
    "Choose one of the following.": "{}",
    "": "{}",
}


@pytest.mark.parametrize("text", CAPTIONS)
def test_what_the_instruction_says_of_the_image_becomes_the_template(text: str) -> None:
    """Without sentences about the answer, and without the words of any instruction."""
    assert caption(text) == CAPTIONS[text]


FORMS = {
    "cat, dog. Answer with the class name only.": ("name", "cat"),
    "cat, dog. Reply in one word.": ("name", "cat"),
    "1. cat\n2. dog\nAnswer with the number.": ("number", "1"),
    "a. cat\nb. dog\nAnswer with the letter.": ("number", "a"),
    "Options: cat, dog. Give the number of the option.": ("number", "1"),
    'Options: cat, dog. Answer in JSON: {"kind": "..."}': ("json", '{"kind": "cat"}'),
    "Options: cat, dog. Explain your choice.": ("sentence", "This looks like cat."),
    "Options: cat, dog.": ("sentence", "This looks like cat."),
}


@pytest.mark.parametrize("text", FORMS)
def test_the_answer_has_the_form_that_is_asked_for(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence if the instruction asks for no form."""
    for share in ("OFF_BY_ONE", "CUT_OFF", "TWO_NAMED"):
        monkeypatch.setattr(module, share, 0.0)
    asked = read_instruction(text)
    assert (asked.form, answer(asked, 0, b"image", text)) == FORMS[text]


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("Options: cat, dog. Answer with the class name only.", 0.0),
        ("Options: cat, dog. Answer in JSON.", module.CUT_OFF),
        ("Options: cat, dog. Give the number.", module.OFF_BY_ONE),
        ("Options: cat, dog.", module.TWO_NAMED),
    ],
)
def test_each_form_fails_for_its_share_of_the_images(text: str, share: float) -> None:
    """The same images each time."""
    asked = read_instruction(text)
    right = (
        max((answer(asked, 0, b"%d" % image, text) for image in range(20)), key=len) if share < 0.1 else ""
    )
    said = [[answer(asked, 0, b"%d" % image, text) for image in range(2000)] for _ in range(2)]
    assert said[0] == said[1]
    most = max(set(said[0]), key=said[0].count)
    assert sum(one != most for one in said[0]) / 2000 == pytest.approx(share, abs=0.02)
    assert not right or most


def test_temperature_draws_by_probability() -> None:
    """And 0 takes the largest."""
    logits = np.log(np.array([0.1, 0.6, 0.3], np.float32))
    drawn = [choose(logits, 1.0, Random(seed)) for seed in range(2000)]
    assert drawn.count(1) / 2000 == pytest.approx(0.6, abs=0.05)
    assert {choose(logits, 0.0, Random(seed)) for seed in range(9)} == {1}


@settings(max_examples=60)
@given(st.text(max_size=40) | st.text("[]()\"{}.,;:=-*1 2aA\n_'or", max_size=80))
def test_no_text_is_too_odd(text: str) -> None:
    """Whatever it is, it has a template with a slot, and its list lies within it."""
    asked = read_instruction(text)
    assert "{}" in asked.template
    if asked.options is not None:
        assert 0 <= asked.options.start < asked.options.end <= len(text)
        assert answer(asked, 1, b"image", text)


@pytest.mark.parametrize(
    "text",
    [
        "1) " * 20_000,
        "[" * 50_000,
        '"' * 50_000,
        "a, " * 30_000,
        '"____' * 10_000,
        "(a," * 20_000,
        "- a\n" * 20_000,
        "`" + "_" * 50_000,
    ],
)
def test_a_long_text_is_read_in_time(text: str) -> None:
    """No pattern backtracks without end: 50,000 characters are read, not waited for."""
    assert "{}" in read_instruction(text).template
