"""The picture of a study: every name whole and distinct, nothing that is not there, and always an SVG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

from promptclimb.agent.study.outcomes import AccuracyOnTest
from promptclimb.agent.study.picture import svg
from tests.fakes.study_outcomes import cells, document_of, drawn_texts, outcome, study

LONG = "guided with a long sentence"


def drawn(said: dict[str, Any]) -> str:
    """The picture, which is well-formed."""
    found = svg(said)
    assert found is not None
    ET.fromstring(found)
    return found


def one_run_each(*methods: Any, **more: Any) -> dict[str, Any]:
    """What a study of one set says, every run finished, with a curve."""
    found = study(methods=list(methods), data=["one"], seeds=[1], curve=[5], **more)
    return document_of(found, [outcome(one, curve={5: 0.5}) for one in cells(found)])


def test_no_label_is_cut() -> None:
    """What differs at the end of two names is there, a white box by its mark."""
    methods = [{"name": LONG, "method": "random"}, {"name": f"{LONG}, Tip-Adapter", "method": "tip-adapter"}]
    compare = [
        {"first": LONG, "second": f"{LONG}, Tip-Adapter"},
        {"first": LONG, "second": "combine"},
        {"first": LONG, "second": "combine", "resample": ["seeds"]},
    ]
    said = drawn_texts(one_run_each(*methods, "combine", compare=compare)).replace("\n", " ")
    assert f"{LONG} over {LONG}, Tip-Adapter (white box)" in said
    assert f"{LONG} over combine (images resampled)" in said
    assert f"{LONG} over combine (nothing resampled)" in said


def test_a_name_that_begins_with_an_underscore_is_in_the_legend() -> None:
    """As every other."""
    said = drawn_texts(one_run_each({"name": "_combined", "method": "combine"}, "random")).splitlines()
    assert {"_combined", "random"} <= set(said)


def test_many_curves_are_distinct_and_drawn_alike_everywhere() -> None:
    """By lines where colours are not enough; a method that one model lacks shifts no other's."""
    numbered = [{"name": f"m{number}", "method": "random"} for number in range(12)]
    methods = [{**numbered[0], "models": ["RN-pico"]}, *numbered[1:]]
    found = drawn(one_run_each(*methods, models=["RN-pico", "ViT-pico"]))
    strokes = re.findall(r'<path d="[^"]*" style="(fill: none; [^"]*stroke-width: 1.5[^"]*)"', found)
    styles = {
        (re.findall("stroke: (#[0-9a-f]+)", one)[0], *re.findall("stroke-dasharray: ([0-9.,]+)", one))
        for one in strokes
        if "stroke: #" in one
    }
    assert len(styles) == 12


def test_what_has_no_interval_does_not_look_as_if_it_had_one() -> None:
    """An open circle, and a note; neither where every difference has its interval."""
    compare = [{"first": "combine", "second": "random"}]
    known = one_run_each("random", "combine", compare=compare)
    assert "open circle" not in drawn_texts(known)
    assert "fill: #ffffff; stroke: #223355" not in drawn(known)
    found = study(compare=compare)
    blind = [outcome(one, figures={"best": AccuracyOnTest(test=0.5)}) for one in cells(study(seeds=[1]))]
    alone = document_of(found, blind)
    assert "difference on test, percentage points; an open circle has no interval" in drawn_texts(alone)
    assert "fill: #ffffff; stroke: #223355" in drawn(alone)


def test_names_that_the_font_lacks_are_distinct() -> None:
    """Without a warning, and with nothing in the file that XML does not take."""
    said = one_run_each(
        {"name": "\u732b a", "method": "random"}, {"name": "\u72ac --><x>", "method": "combine"}
    )
    said = {**said, "curves": [{**one, "model": "a\x01b\ufffe\U0001f9a5"} for one in said["curves"]]}
    assert "\\u732b" in drawn_texts(said)
    assert "\\u72ac" in drawn_texts(said)
    assert "a b \\U0001f9a5, 16 shots" in drawn_texts(said)
    drawn(said)
