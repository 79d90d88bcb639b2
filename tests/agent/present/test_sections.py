"""What a page says to do next, and the lines to copy."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.present.page import next_steps, render
from promptclimb.agent.present.sections import about_names, classes_of, use_of
from promptclimb.agent.present.sentences import names_read
from promptclimb.agent.results.accuracies import ORIGINAL_NAMES, Difference
from promptclimb.agent.results.details import Decisions, Details
from promptclimb.agent.results.gain import with_warnings
from promptclimb.agent.results.history import RunView
from promptclimb.agent.results.result import (
    ApiUsage,
    Best,
    Dataset,
    GroupAccuracies,
    Llm,
    Model,
    ReadNames,
    Recommended,
    SearchResult,
    Sizes,
    WithImages,
    WithoutSearch,
)
from promptclimb.evaluator.datasets.values import UNUSED_IMAGES
from promptclimb.evaluator.scoring import CHOSEN, OPENAI_80, ClassAccuracy, Inspection
from tests.fakes.small_result import small_result

KNOWS: dict[str, Any] = {
    "dataset": Dataset(name="d", classes=2, shots=1, seed=1, sizes=Sizes(train=2, test=100)),
    "recommended": Recommended(form="texts", test=0.9),
}
"""A model that knows the pictures."""


def between(low: float, high: float) -> Difference:
    """A difference with that interval."""
    return Difference(points=(low + high) / 2, interval=(low, high), paired=True, images=100)


def view(result: SearchResult | None, state: str = "finished", **more: Any) -> RunView:
    """A run in the folder ``my run``."""
    return RunView(run_dir=Path("my run"), state=state, result=result, **more)


def steps(**changes: Any) -> str:
    """What is said of a finished run."""
    return "\n".join(next_steps(view(small_result(**changes))))


def test_a_wide_interval_gets_advice() -> None:
    """A narrow one does not."""
    unsure, sure = (
        Recommended(form="texts", test=0.9, over={"best starting template": between(*interval)})
        for interval in ((-4, 3), (1, 3))
    )
    assert "take more test images" in steps(**KNOWS | {"recommended": unsure})
    assert "take more test images" not in steps(**KNOWS | {"recommended": sure})


def test_where_no_words_beat_the_plain_ones_the_page_says_what_may() -> None:
    """Texts that do, and new class names, need no such advice."""
    default = GroupAccuracies(templates=("a photo of a {}",), train=0.5, test=0.9)
    plain = KNOWS | {"texts": default, "baselines": {"default template": default}}
    advice = "other words in --describe"
    assert advice in steps(**plain)
    assert advice not in steps(**KNOWS)
    renamed = Best(template="a {}", train=0.5, val=None, test=0.5, class_names={"b": "bee"})
    assert advice not in steps(**plain | {"best": renamed})
    # What is not advised is the search that has just ended.
    names = Best(template="a {}", train=0.5, val=None, test=0.5, class_names={})
    assert "--search-for class-names" in steps(**plain)
    assert "--search-for class-names" not in steps(**plain | {"best": names})
    unused = {"notes": {CHOSEN: [f"using 4 of 9 training images: 2 of each class; {UNUSED_IMAGES}"]}}
    for changes, first in (
        (KNOWS, "What usually helps most: --shots all,"),
        (plain, "No searched words beat"),
    ):
        line = steps(**changes | unused).partition("\n")[0]
        assert line.startswith(first)
        assert "--shots all, as only 4 of 9 training images were used" in line


def test_the_texts_are_shown_to_be_used() -> None:
    """Those that are recommended, however few; predict and export follow."""
    plain = GroupAccuracies(templates=("{}",), train=0.5, test=0.5)
    both, alone = use_of(view(small_result())), use_of(view(small_result(texts=plain)))
    assert both is not None
    assert alone is not None
    assert [json.loads(use.templates) for use in (both, alone)] == [["a {}", "one {}"], ["{}"]]
    assert [command.rpartition("'")[2] for command in both.commands] == ["", " --format open-clip"]


def test_what_was_learnt_is_loaded_in_two_lines_of_python() -> None:
    """From the run's folder, whatever its name; the templates stand below, for where there are no images."""
    learnt = WithImages(templates=("a {}", "one {}"), train=0.5, test=0.5, images=9, strength=1.0)
    recommended = Recommended(form="with_images", test=0.5)
    used = use_of(view(small_result(with_images=learnt, recommended=recommended)))
    assert used is not None
    assert used.code == ["import promptclimb", 'promptclimb.load("my run").predict(["a.jpg", "b.jpg"])']
    assert used.about.startswith("classifier.safetensors holds the recommended classifier. If you can")
    assert (
        "With --format open-clip, what the 9 labelled images taught is left out: these texts have "
        in used.about
    )
    page = render(view(small_result(with_images=learnt, recommended=recommended)))
    assert "from 9 labelled images and the averaged texts. On test these texts alone have " in page
    assert "<h1>Classifier for " in page


def test_a_published_list_is_named_and_not_listed_at_the_top() -> None:
    """All its templates stand where they are used."""
    published = tuple(f"photo {number} of a {{}}" for number in range(80))
    same = WithoutSearch(templates=published, train=0.5, test=0.5, name=OPENAI_80)
    texts = GroupAccuracies(templates=published, train=0.5, test=0.5)
    page = render(view(small_result(texts=texts, without_search=same)))
    assert "Recommended: OpenAI&#39;s 80 templates" in page
    top = page.partition('id="best">')[2].partition("</p>")[0]
    assert top.splitlines() == [*published[:3], "... 80 in all, under How to use it"]
    assert "photo 79 of a {}" in page


def test_a_custom_scorers_templates_come_without_a_command_to_predict() -> None:
    """Nothing opens it again; a model behind an API can be asked, but is none that `load` opens."""
    custom = Model(name="mine", pretrained="")
    uses = [
        use_of(view(small_result(model=custom, scorer_usage=usage))) for usage in (None, ApiUsage(calls=9))
    ]
    assert [used and len(used.commands) for used in uses] == [1, 2]
    learnt = WithImages(templates=("a {}",), train=0.5, test=0.5, images=9, strength=1.0)
    used = use_of(view(small_result(model=custom, scorer_usage=ApiUsage(calls=9), with_images=learnt)))
    assert used is not None
    assert "load(" not in "".join(used.code)


def test_new_names_are_to_be_read_and_those_that_hurt_a_class_are_named() -> None:
    """With the way to leave one out; the same words in the section on names and in the next steps."""
    new = {"bat": "baseball bat", "seal": "wax seal"}
    decisions = Decisions(
        image_set="set",
        classes=("bat", "seal"),
        labels=(0, 0, 1, 1),
        predicted={"best": (0, 0, 1, 0), "original names": (0, 1, 1, 1)},
    )
    result = small_result(best=Best(template="a {}", train=0.9, val=None, test=0.75, class_names=new))
    finished = replace(view(result), details=Details(decisions=decisions))
    (sentence,) = (step for step in next_steps(finished) if step.startswith("Read the new names."))
    assert "Fewer test images of 'seal' are right with its new name." in sentence
    assert "(`promptclimb export 'my run' --format class-names`), remove its line" in sentence
    assert "--class-names FILE" in sentence
    page = re.sub("</?code>", "`", html.unescape(render(finished)))
    assert page.count(sentence) == 1
    in_order = replace(finished, details=None, config='class_names = "own.txt"')
    assert "Fewer" not in about_names(in_order)
    assert "write the original name in its line" in about_names(in_order)
    none = replace(result, best=replace(result.best, class_names={}))
    assert about_names(view(none)) == about_names(view(small_result())) == ""


def test_only_some_of_the_classes_that_new_names_hurt_are_named() -> None:
    """The others are counted."""
    classes = [f"c{number}" for number in range(8)]
    labels = tuple(range(8))
    decisions = Decisions(
        image_set="set", classes=tuple(classes), labels=labels,
        predicted={"best": (*labels[1:], 0), "original names": labels},
    )  # fmt: skip
    new = {name: f"{name} thing" for name in classes}
    result = small_result(best=Best(template="a {}", train=0.9, val=None, test=0.75, class_names=new))
    sentence = about_names(replace(view(result), details=Details(decisions=decisions)))
    assert (
        "Fewer test images of 'c0', 'c1', 'c2', 'c3', 'c4' and 3 more classes are right with their"
        in sentence
    )


def test_a_limit_of_two_words_is_resumed_by_its_option() -> None:
    """The command on the page can be copied, also after a limit on a scorer behind an API."""
    stopped = small_result(status="stopped", stop_reason="over", limits=("scorer_calls",))
    (resume, *_) = next_steps(view(stopped, state="stopped"))
    assert " --max-scorer-calls N` continues" in resume
    page = html.unescape(render(view(stopped, state="stopped")))
    assert re.search(r"Resume: <code>promptclimb resume .* --max-scorer-calls N</code> continues", page)


def test_what_the_llm_named_is_said_with_how_the_original_names_did() -> None:
    """That they are no better than chance, where they are; nothing where it was not asked."""
    read = ReadNames(names={"kettu": "fox"}, classes=2, taken=True)
    result = small_result(names_read=read)
    images, classes = result.dataset.sizes.test, result.dataset.classes
    assert images
    original = {
        share: replace(
            result, baselines={ORIGINAL_NAMES: GroupAccuracies(templates=("a {}",), train=share, test=share)}
        )
        for share in (1 / classes, 1.0)
    }
    sentence = "the LLM gave another name to 1 of 2 classes; the search started from its names"
    assert names_read(original[1 / classes]) == f"{sentence}; the original names may be no better than chance"
    assert names_read(original[1.0]) == sentence
    assert names_read(replace(result, names_read=None)) == ""
    kept = replace(result, best=replace(result.best, class_names={"kettu": "fox"}))
    replaced = "the LLM gave another name to 1 of 2 classes; its names replace the original ones"
    assert names_read(kept) == replaced
    at_chance = replace(kept, baselines=original[1 / classes].baselines)
    assert names_read(at_chance) == f"{replaced}, which may be no better than chance"
    worse = replace(kept, names_read=replace(read, taken=False))
    assert names_read(worse).endswith("; used all at once, its names are no better than yours")
    page = html.unescape(render(view(original[1.0])))
    assert f"T{sentence[1:]}." in page
    assert SearchResult.from_json(original[1.0].to_json()).names_read == read


@pytest.mark.parametrize(("names", "others"), [({"a": "x"}, True), ({"a": "x", "b": "y"}, False)])
def test_other_classes_are_mentioned_only_where_there_are_some(
    names: dict[str, str], *, others: bool
) -> None:
    """Of two classes, one or both have new names."""
    result = small_result(best=Best(template="a {}", train=0.9, val=None, test=0.75, class_names=names))
    assert ("Every other class keeps its own name" in render(view(result))) == others


def test_a_local_llm_is_named_with_its_model() -> None:
    """``local`` alone says nothing to whoever reads the page on another machine."""
    result = small_result(llm=Llm(model="local", base_url=None))
    page = render(view(replace(result, best=replace(result.best, class_names={"a": "x"}))))
    assert "Class names proposed by local (qwen2.5-coder-0.5b-instruct-q4_k_m) in 1 call" in page
    assert "Templates proposed by local (qwen2.5-coder-0.5b-instruct-q4_k_m)" in page


def inspected(*correct: int) -> Inspection:
    """Classes a, b, ... with ten test images each, so many of them correct."""
    classes = tuple(
        ClassAccuracy(name="abcdefgh"[label], images=10, correct=count) for label, count in enumerate(correct)
    )
    return Inspection(classes=classes, confusions=())


def test_a_class_that_is_never_recognised_gets_advice() -> None:
    """By its name; no advice where every class has some correct images."""
    result = small_result(inspection=inspected(9, 0, 8))
    (sentence,) = (step for step in next_steps(view(result)) if step.startswith("No test image"))
    assert sentence.startswith("No test image of 'b' is recognised. ")
    assert "--search-for class-names" in sentence
    assert "No test image" not in steps(inspection=inspected(9, 1, 8))


def test_a_renamed_class_is_shown_with_the_name_that_it_was_scored_with() -> None:
    """Beside its own, by which the images are sorted."""
    best = Best(template="a {}", train=0.5, val=None, test=0.5, class_names={"b": "bee"})
    section = classes_of(view(small_result(best=best, inspection=inspected(9, 4))))
    assert section is not None
    assert [row.name for row in section["rows"]] == ["b (as bee)", "a"]


def test_classes_and_measures_are_compared_with_one_baseline() -> None:
    """The plain text that leads, as the pictures are; not the default template beside it."""
    (before, after) = predicted = {"bare class name": (0, 0, 1, 0), "texts": (0, 1, 1, 0)}
    decisions = Decisions(image_set=None, classes=("a", "b"), labels=(0, 1, 1, 0), predicted=predicted)
    recalls = {before: 0.75, after: 1.0, "default template": 0.5}
    result = small_result(
        inspection=Inspection((ClassAccuracy("a", 2, 2), ClassAccuracy("b", 2, 2)), ()),
        metrics={name: {"mean_per_class_recall": recall} for name, recall in recalls.items()},
    )
    details = Details(decisions=decisions, baseline=before)
    section = classes_of(replace(view(result), details=details))
    assert section is not None
    assert (
        "Mean recall per class: 100.0% (bare class name: 75.0%). Change: the difference in points to the "
        in (section["about"])
    )
    assert "default" not in section["about"]


def test_each_row_has_the_gain_of_the_recommended_form_with_its_verdict() -> None:
    """On the page, in a notebook and on the terminal."""
    over = {"default template": replace(between(2, 8), verdict="better")}
    result = small_result(recommended=Recommended(form="texts", test=0.5, over=over, verdict="Use it."))
    assert 'data-of="gain of the recommended over it">+5.0 [2.0, 8.0] <span class="soft">better' in render(
        view(result)
    )
    assert "+5.0<br>[2.0, 8.0]<br>better" in result._repr_html_()
    assert "<p>Use it.</p>" in result._repr_html_()


def test_sections_without_content_are_left_out() -> None:
    """Nothing rejected, and a best template that was there from the start."""
    page = render(view(small_result(rejected={})))
    assert 'id="refused"' not in page
    assert 'id="refused"' in render(view(small_result()))


def test_few_test_images_are_said_with_the_gain() -> None:
    """Below a hundred."""
    for images, few in ((99, True), (100, False)):
        dataset = Dataset(name="d", classes=2, shots=1, seed=1, sizes=Sizes(train=2, test=images))
        recommended = Recommended(form="texts", test=0.9, verdict="Use the texts.")
        warned = with_warnings(small_result(recommended=recommended, dataset=dataset))
        assert (
            warned.recommended.verdict
            == "Use the texts." + " There are only 99 test images: go by the intervals." * few
        )
