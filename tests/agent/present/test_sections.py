"""What a page says to do next, and the lines to copy."""

from __future__ import annotations

import ast
import html
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from promptclimb.agent.present.names import about_names, names_read
from promptclimb.agent.present.page import next_steps, render
from promptclimb.agent.present.sections import classes_of, use_of
from promptclimb.agent.present.sentences import verdict_on
from promptclimb.agent.results.accuracies import ORIGINAL_NAMES, Difference
from promptclimb.agent.results.details import Decisions, Details
from promptclimb.agent.results.history import RunView
from promptclimb.agent.results.result import (
    ApiUsage,
    Best,
    Dataset,
    Gain,
    GroupAccuracies,
    Model,
    ReadNames,
    SearchResult,
    Sizes,
    SplitInspection,
)
from promptclimb.evaluator.scoring import ClassAccuracy
from tests.fakes.small_result import small_result

KNOWS: dict[str, Any] = {
    "dataset": Dataset(name="d", classes=2, shots=1, seed=1, sizes=Sizes(train=2, test=100)),
    "best": Best(template="a {}", train=0.9, val=None, test=0.9),
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


@pytest.mark.parametrize(
    ("over", "ensemble", "said"),
    [
        (
            {"default template": (1, 9), "best starting template": (1, 3)},
            None,
            "in place of the default template",
        ),
        ({"best hand-made": (-9, -1), "default template": (1, 2)}, None, "Use the best hand-made template"),
        ({"best starting template": (-1, 3)}, None, "The rounds added nothing certain"),
        ({"best starting template": (-4, 3)}, None, "take more test images"),
        ({"best starting template": (1, 3)}, (1, 2), "Use the ensemble"),
        ({"best starting template": (1, 3)}, (-2, -1), "Use the best template alone"),
    ],
)
def test_the_intervals_decide(
    over: dict[str, tuple[float, float]], ensemble: tuple[float, float] | None, said: str
) -> None:
    """Only what is certain is acted on."""
    gain = Gain(
        over={name: between(*edges) for name, edges in over.items()},
        ensemble=None if ensemble is None else between(*ensemble),
        verdict="",
    )
    assert said in steps(gain=gain, **KNOWS)


def test_what_the_verdict_calls_chance_is_not_advised() -> None:
    """Of several differences, one whose interval ends just above 0 is not sure."""
    over = {"default template": between(0.04, 36.3)}
    over |= {name: between(-9, 8) for name in ("best starting template", "best hand-made")}
    assert "more than chance" not in steps(gain=Gain(over=over, ensemble=None, verdict=""), **KNOWS)


def code(**changes: Any) -> dict[str, Any]:
    """The names that the lines to copy give a literal."""
    found = use_of(view(small_result(**changes)))
    assert found is not None
    given = [node for node in ast.parse(found.code).body if isinstance(node, ast.Assign)]
    return {
        ast.unparse(node.targets[0]): ast.literal_eval(node.value)
        for node in given
        if isinstance(node.value, ast.List)
    } | {"code": found.code}


def test_templates_of_a_model_behind_an_api_come_without_a_model() -> None:
    """Whatever its name looks like, open_clip has no such model."""
    model = Model(name="qwen2.5-vl:7b", pretrained="")
    clip, api = (
        use_of(view(small_result(model=model, scorer_usage=usage))) for usage in (None, ApiUsage(calls=9))
    )
    assert clip is not None
    assert api is not None
    assert "import open_clip" in clip.code
    assert "import open_clip" not in api.code


def test_the_lines_to_copy_are_python_whatever_is_in_them() -> None:
    """Quotes, backslashes, line ends and braces of names and templates; two slots take one name."""
    odd = 'a "{}" \\ of \u2028 {}'
    names = ['say "x"', "back\\slash", "é", "{}"]
    classes = tuple(ClassAccuracy(name, images=1, correct=1) for name in names)
    found = code(
        ensemble=GroupAccuracies(templates=(odd, "{} it's"), train=None, val=None, test=None),
        inspection=SplitInspection(split="test", classes=classes, confusions=()),
    )
    assert found["names"] == names
    assert [one.format("cat") for one in found["templates"]] == [odd.replace("{}", "cat"), "cat it's"]
    assert 'create_model_and_transforms("m", pretrained="p")' in found["code"]


def test_the_lines_are_those_of_what_is_advised() -> None:
    """The best template alone where the ensemble is worse on test, for a black box of another kind too."""
    gains = {edges: Gain(over={}, ensemble=between(*edges), verdict="") for edges in ((-9, -1), (-9, 1))}
    assert code(gain=gains[-9, 1])["templates"] == ["a {}", "one {}"]
    assert code(gain=gains[-9, -1])["templates"] == ["a {}"]
    for model in (Model(name="m", pretrained="p"), Model(name="mine", pretrained="")):
        alone = use_of(view(small_result(gain=gains[-9, -1], model=model)))
        assert alone is not None
        assert "est template alone, as on test the ensemble is worse" in alone.about
        assert "one {}" not in alone.code
        assert ("--only best" in alone.more) is bool(model.pretrained)
    assert "--only best" in steps(gain=gains[-9, -1], **KNOWS)


def test_a_model_is_opened_as_it_was() -> None:
    """Bundled ones by this program, hubs and folders by their name alone."""
    assert 'load_model("RN-pico", "pico"' in code(model=Model(name="RN-pico", pretrained="pico"))["code"]
    assert 'transforms("hf-hub:a/b")' in code(model=Model(name="hf-hub:a/b", pretrained=""))["code"]


@pytest.mark.parametrize("pretrained", ["p", "pico"])
def test_pictures_are_opened_as_the_search_did(tmp_path: Path, pretrained: str) -> None:
    """What is transparent is laid on white, where Pillow alone would show what lies beneath."""
    lines = code(model=Model(name="RN-pico", pretrained=pretrained))["code"].splitlines()
    (reader,) = (line for line in lines if line.endswith("import open_rgb"))
    (opening,) = (line for line in lines if line.startswith("pixels = "))
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(tmp_path / "photo.png")
    seen: dict[str, Any] = {"preprocess": lambda image: {None: image.getpixel((0, 0))}}
    exec("\n".join([reader, opening.replace("photo.jpg", (tmp_path / "photo.png").as_posix())]), seen)
    assert seen["pixels"] == (255, 255, 255)


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
    found = replace(view(result), details=Details(decisions=decisions))
    (said,) = (step for step in next_steps(found) if step.startswith("Read the new names."))
    assert "Fewer test images of 'seal' are right with its new name." in said
    assert "(promptclimb export 'my run' --format class-names), remove its line" in said
    assert "--class-names FILE" in said
    assert html.unescape(render(found)).count(said) == 1
    in_order = replace(found, details=None, config='class_names = "own.txt"')
    assert "Fewer" not in about_names(in_order, "r")
    assert "write the original name in its line" in about_names(in_order, "r")
    none = replace(result, best=replace(result.best, class_names={}))
    assert about_names(view(none), "r") == about_names(view(small_result()), "r") == ""


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
    said = about_names(replace(view(result), details=Details(decisions=decisions)), "r")
    assert "Fewer test images of 'c0', 'c1', 'c2', 'c3', 'c4' and 3 more classes are right with their" in said


def test_a_limit_of_two_words_is_resumed_by_its_option() -> None:
    """The command on the page can be copied, also after a limit on a scorer behind an API."""
    stopped = small_result(status="stopped", stop_reason="over", limits=("scorer_calls",))
    (resume, *_) = next_steps(view(stopped, state="stopped"))
    assert " --max-scorer-calls N " in resume


def test_what_the_llm_read_is_said_with_how_the_original_names_did() -> None:
    """That they are no better than chance, where they are; nothing where it was not asked."""
    read = ReadNames(names={"kettu": "fox"}, classes=2, taken=True)
    result = small_result(names_read=read)
    images, classes = result.dataset.sizes.test, result.dataset.classes
    assert images
    original = {
        share: replace(
            result,
            baselines={ORIGINAL_NAMES: GroupAccuracies(templates=("a {}",), train=share, test=share)},
        )
        for share in (1 / classes, 1.0)
    }
    said = "the LLM read 1 of 2 classes; its names replace the original ones"
    assert names_read(original[1 / classes]) == f"{said}, which are no better than chance"
    assert names_read(original[1.0]) == said
    assert names_read(replace(result, names_read=None)) == ""
    page = html.unescape(render(view(original[1.0])))
    assert f"T{said[1:]}." in page
    assert SearchResult.from_json(original[1.0].to_json()).names_read == read


def inspected(*correct: int) -> SplitInspection:
    """Classes a, b, ... with ten test images each, so many of them correct."""
    classes = tuple(
        ClassAccuracy(name="abcdefgh"[label], images=10, correct=count) for label, count in enumerate(correct)
    )
    return SplitInspection(classes=classes, confusions=(), split="test")


def test_a_class_that_is_never_recognised_gets_advice() -> None:
    """By its name; no advice where every class has some correct images."""
    result = small_result(inspection=inspected(9, 0, 8))
    (said,) = (step for step in next_steps(view(result)) if step.startswith("No test image"))
    assert said.startswith("No test image of 'b' is recognised. ")
    assert "--search-for class-names" in said
    assert "No test image" not in steps(inspection=inspected(9, 1, 8))


def test_a_renamed_class_is_shown_with_the_name_that_it_was_scored_with() -> None:
    """Beside its own, by which the images are sorted."""
    best = Best(template="a {}", train=0.5, val=None, test=0.5, class_names={"b": "bee"})
    section = classes_of(view(small_result(best=best, inspection=inspected(9, 4))))
    assert section is not None
    assert [row.name for row in section["rows"]] == ["b (as bee)", "a"]


def test_the_ensemble_is_compared_in_the_same_direction_as_in_the_verdict() -> None:
    """Ahead with a plus where the sentence says better; other rows are gains of the best template."""
    gain = Gain(over={"default template": between(2, 8)}, ensemble=between(1, 5), verdict="v")
    page = render(view(small_result(gain=gain)))
    assert "+3.0 over the best found" in page
    assert 'data-of="gain of the best found">+5.0 ' in page


def test_a_single_hand_made_template_has_the_name_of_the_best_one() -> None:
    """In the tables as in the verdict."""
    one = GroupAccuracies(templates=("a photo of {}",), train=0.5, test=0.5)
    two = replace(one, templates=("a {}", "b {}"))
    names = [
        [row.name for row in small_result(baselines={"hand-made": group}).accuracies.rows]
        for group in (one, two)
    ]
    assert names == [["best", "ensemble", "best hand-made"], ["best", "ensemble", "hand-made"]]


def test_sections_without_content_are_left_out() -> None:
    """Nothing rejected, and a best template that was there from the start."""
    page = render(view(small_result(rejected={})))
    assert 'id="refused"' not in page
    assert 'id="refused"' in render(view(small_result()))


def test_few_test_images_are_said_before_the_gain() -> None:
    """Below a hundred."""
    for images, few in ((99, True), (100, False)):
        over = {"default template": replace(between(2, 8), images=images)}
        said = verdict_on(small_result(gain=Gain(over=over, verdict="v")))
        assert f"{images} images" in said
        assert ("go by the intervals" in said) == few
