"""The gain on test: differences, the verdict, the chance level, and runs side by side."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from promptclimb.agent.present.sections import about_scores
from promptclimb.agent.results.accuracies import Difference
from promptclimb.agent.results.gain import (
    chance_warning,
    differences,
    losing_classes,
    most_frequent_share,
    verdict_of,
)
from promptclimb.agent.results.result import (
    Dataset,
    GroupAccuracies,
    Recommended,
    SearchResult,
    Sizes,
    WithImages,
    WithoutSearch,
)
from promptclimb.evaluator.scoring import ClassAccuracy, Form, Inspection
from promptclimb.prompts.kinds import TEMPLATE, kind_named
from tests.fakes.small_result import small_result


class Measured(NamedTuple):
    """Templates with their accuracy on test, and whether each image is right, if that is known."""

    group: GroupAccuracies
    hits: list[bool] | None = None


def share(test: float | None, *templates: str, hits: list[bool] | None = None) -> Measured:
    """Templates of so much on test."""
    return Measured(GroupAccuracies(templates=templates, train=None, test=test), hits)


def on_test(template: str, right: int, *, first: int = 0, decided: bool = True) -> Measured:
    """A template that classifies ``right`` of 1000 images correctly, from the ``first`` on."""
    hits = [first <= image < first + right for image in range(1000)]
    return share(right / 1000, template, hits=hits if decided else None)


def gain_of(
    best: Measured, others: Mapping[str, Measured], *, name: str = "best", images: int = 1000,
    renamed: bool = False,
) -> dict[str, Difference]:  # fmt: skip
    """The gain of a form over others."""
    measured = {name: best, **others}
    return differences(
        name,
        {name: group for name, (group, _) in measured.items()},
        {name: hits for name, (_, hits) in measured.items() if hits is not None},
        images=images,
        renamed=renamed,
    )


BEST = on_test("a {}", 600)
BARE = on_test("{}", 200)


def test_each_difference_has_its_counts_and_a_paired_interval() -> None:
    """In percentage points; the images on which two agree count in the interval alone."""
    (difference,) = gain_of(BEST, {"default template": on_test("the {}", 550, first=10)}).values()
    assert (difference.points, difference.better, difference.worse, difference.paired, difference.images) == (
        5.0,
        50,
        0,
        True,
        1000,
    )
    assert 0.0 < difference.interval[0] < 5.0 < difference.interval[1]
    assert (difference.verdict, difference.in_words) == ("better", "+5.0\n[3.8, 6.5]\nbetter")


def test_only_what_is_certain_is_called_better_or_worse() -> None:
    """One template is the same under another name; a difference of some images may be chance."""
    gains = gain_of(
        BEST,
        {
            "best starting template": BEST,
            "best hand-made": on_test("one {}", 700),
            "default template": on_test("the {}", 590, first=20),
        },
    )
    assert [gap.verdict for gap in gains.values()] == ["the same", "worse", "may be chance"]
    assert gains["best starting template"].in_words == "the same"


def test_a_template_is_another_classifier_with_new_names_and_with_images() -> None:
    """Nothing is the same template then, though its text is; the texts have the new names too."""
    renamed = gain_of(BEST, {"texts": BEST, "original names": BEST}, renamed=True)
    assert [gap.same_template for gap in renamed.values()] == [True, False]
    assert renamed["original names"].verdict == "the same"  # of each image the decision is
    learnt = gain_of(on_test("a {}", 700), {"best": BEST}, name="with_images")
    assert learnt["best"].verdict == "better"


@pytest.mark.parametrize(
    ("form", "texts", "remark", "use"),
    [
        ("texts", ("a {}", "one {}"), "", "averaged texts"),
        ("template", ("a {}",), "", "best template"),
        ("template", ("{}",), ", with 2 new class names", "best template, with 2 new class names"),
        ("with_images", ("a {}", "one {}"), "", "classifier (averaged texts and labelled images)"),
        ("with_images", ("{}",), "", "classifier (bare class name and labelled images)"),
        (
            "with_images",
            ("{}",),
            ", with 2 new class names",
            "classifier (best template, with 2 new class names, and labelled images)",
        ),
    ],
)
def test_one_line_says_what_to_use(form: Form, texts: tuple[str, ...], remark: str, use: str) -> None:
    """With its gain over the better of the bare class name and the default template."""
    plain = {"bare class name": on_test("{}", 600), "default template": on_test("the {}", 500)}
    recommended = Recommended(form=form, test=0.7)
    measured = on_test(texts[0], 700)
    over = gain_of(measured, plain, name=recommended.name, renamed=bool(remark))
    measured_groups = {"texts": share(None, "a {}"), recommended.name: share(0.7, *texts), **plain}
    groups = {name: group for name, (group, _) in measured_groups.items()}
    line = verdict_of(replace(recommended, over=over), groups, remark, kind_named(TEMPLATE).words)
    assert line == f"Use the {use}: 70.0 % on test, +10.0 [8.3, 12.0] over the bare class name (better)."


@pytest.mark.parametrize(
    ("right", "outcome"),
    [
        (
            600,
            "brought +10.0 [8.3, 12.0] over the best without one (bare class name with images: 60.0 %). "
            "This is beyond chance.",
        ),
        (
            698,
            "brought +0.2 [-0.2, 0.7] over the best without one (bare class name with images: 69.8 %). "
            "This may be chance: use either.",
        ),
        (
            800,
            "is behind the best without one (bare class name with images: 80.0 %): -10.0 [-12.0, -8.3]. "
            "Use that instead.",
        ),
    ],
)
def test_the_line_says_whether_the_search_beat_the_best_without_one(right: int, outcome: str) -> None:
    """Where it is certain; one that is the bare name alone is named once, the same classifier has no gain."""

    def rival(measured: Measured, images: int) -> WithoutSearch:
        group = measured.group
        return WithoutSearch(
            templates=group.templates, train=None, test=group.test, name="bare class name", images=images
        )

    def line(ours: Measured, bare: Measured, images: int) -> str:
        ways = {"best without a search": Measured(rival(bare, images), bare.hits), "bare class name": BARE}
        over = gain_of(ours, ways, name="with_images")
        groups = {name: group for name, (group, _) in ways.items()}
        groups |= {"with_images": ours.group, "texts": share(None, "a {}").group}
        recommended = Recommended(form="with_images", test=0.7, over=over)
        return verdict_of(recommended, groups, "", kind_named(TEMPLATE).words)

    found = on_test("a {}", 700)
    assert line(found, on_test("{}", right), 9).endswith(
        f"70.0 % on test, +50.0 [46.9, 53.1] over the bare class name (better). The search {outcome}"
    )
    same = line(on_test("{}", 700), on_test("{}", 700), 9)
    assert same.endswith("over the bare class name (better). That is also the best without a search.")
    alone = line(found, BARE, 0)
    assert alone.count("+50.0") == 1
    brought = "The search brought +50.0 [46.9, 53.1] over the best without one (bare class name: 20.0 %)."
    assert alone.endswith(f"{brought} This is beyond chance.")


def test_the_line_names_the_classes_that_lose_beyond_chance() -> None:
    """However large the gain of all classes together is; one image more or less is chance."""
    classes = [name for name in ("ant", "bat", "cow", "dog", "elk") for _ in range(40)]

    def right(**by_class: int) -> list[bool]:
        return [image < by_class[name] for name in ("ant", "bat", "cow", "dog", "elk") for image in range(40)]

    theirs = right(ant=40, bat=10, cow=30, dog=30, elk=36)
    ours = right(ant=10, bat=40, cow=29, dog=40, elk=20)
    sentence = losing_classes(classes, ours, theirs, "default template")
    expected = "But 2 of 5 classes do worse than with the default template: ant -75.0, elk -40.0 points."
    assert sentence == expected
    assert losing_classes(classes, theirs, theirs, "default template") == ""
    many = losing_classes(classes, right(ant=0, bat=0, cow=0, dog=9, elk=0), theirs, "default template")
    named = "ant -100.0, elk -90.0, cow -75.0 points"
    assert many == f"But 5 of 5 classes do worse than with the default template: most of all {named}."


def test_an_interval_below_zero_is_no_tie_in_the_line() -> None:
    """Among many comparisons it is not certain that the search is behind, but the advice is the other row."""
    ours, theirs = on_test("a {}", 700), on_test("{}", 706)
    (gap,) = gain_of(ours, {"best without a search": theirs}, name="with_images").values()
    rival = WithoutSearch(templates=("{}",), train=None, test=0.706, name="bare class name", images=9)
    over = {"best without a search": replace(gap, verdict="may be chance")}
    recommended = Recommended(form="with_images", test=0.7, over=over)
    groups = {"with_images": ours.group, "texts": share(None, "a {}").group, "best without a search": rival}
    line = verdict_of(recommended, groups, "", kind_named(TEMPLATE).words)
    assert line.endswith(
        "The search may be behind the best without one (bare class name with images: 70.6 %): -0.6 "
        "[-1.3, -0.2]. Rather use that."
    )


def test_a_search_that_is_right_on_the_same_images_is_no_gain_by_chance() -> None:
    """The table calls it the same."""
    ours = on_test("a {}", 700)
    (gap,) = gain_of(ours, {"best without a search": on_test("{}", 700)}, name="with_images").values()
    assert (gap.verdict, gap.same_template) == ("the same", False)
    rival = WithoutSearch(templates=("{}",), train=None, test=0.7, name="bare class name", images=9)
    groups = {"with_images": ours.group, "texts": share(None, "a {}").group, "best without a search": rival}
    recommended = Recommended(form="with_images", test=0.7, over={"best without a search": gap})
    line = verdict_of(recommended, groups, "", kind_named(TEMPLATE).words)
    assert line.endswith("(bare class name with images) is right on the same test images: use either.")


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        ((0.017, 15.7), "+7.6 [0.02, 15.7]"),
        ((-15.7, -0.0004), "-7.6 [-15.7, -0.0004]"),
        ((-0.017, 15.7), "+7.6 [0.0, 15.7]"),
        ((0.4, 15.7), "+7.6 [0.4, 15.7]"),
    ],
)
def test_an_interval_that_excludes_0_does_not_seem_to_touch_it(
    interval: tuple[float, float], text: str
) -> None:
    """Its end decides on the verdict beside it."""
    points = math.copysign(7.6, sum(interval))
    assert str(Difference(points=points, interval=interval, paired=True, images=9)) == text


def test_where_nothing_beat_the_bare_name_the_line_says_so() -> None:
    """And the default template is named as the better one on test where it is that."""
    bare, default = on_test("{}", 600), on_test("the {}", 590, first=20)
    groups = {"texts": bare, "bare class name": bare, "default template": default}
    over = gain_of(bare, {"bare class name": bare}, name="texts")
    recommended = Recommended(form="texts", test=0.6, over=over)
    line = verdict_of(
        recommended, {name: group for name, (group, _) in groups.items()}, "", kind_named(TEMPLATE).words
    )
    assert line == "Use the bare class name: 60.0 % on test. Nothing beat it on the labelled images."


@pytest.mark.parametrize(
    ("remark", "right", "sentence"),
    [
        (
            "",
            650,
            ": 65.0 % on test, +5.0 [3.8, 6.5] over the bare class name (better).",
        ),
        (
            "",
            598,
            ": 59.8 % on test, -0.2 [-0.7, 0.2] over the bare class name (may be chance).",
        ),
        (
            "",
            550,
            ": 55.0 % on test, -5.0 [-6.5, -3.8] over the bare class name (worse). Rather use that.",
        ),
        (
            ", with 2 new class names",
            650,
            ", with 2 new class names: 65.0 % on test, +5.0 [3.8, 6.5] over the bare class name "
            "(better). Read the new names: 1 of them is unsupported (the texts get every labelled image of "
            "the class wrong).",
        ),
    ],
)
@pytest.mark.parametrize("original_names", [False, True])
def test_a_sentence_says_what_the_texts_gain_without_images(
    remark: str, right: int, sentence: str, *, original_names: bool
) -> None:
    """Over the same plain text, with the new names, which the classifier may not have."""
    texts = on_test("a {}", right)._replace(group=share(right / 1000, "a {}", "one {}").group)
    plain = {"default template": on_test("the {}", 500), "bare class name": on_test("{}", 600)}
    learnt = WithImages(
        templates=("a {}", "one {}"), train=None, test=0.7, images=9, strength=1.0,
        original_names=original_names and bool(remark),
    )  # fmt: skip
    recommended = Recommended(
        form="with_images",
        test=0.7,
        over=gain_of(on_test("a {}", 700), plain, name="with_images"),
        texts_over=gain_of(texts, plain, name="texts", renamed=bool(remark)),
    )
    groups = {
        "with_images": learnt,
        "texts": texts.group,
        **{name: each.group for name, each in plain.items()},
    }
    words = kind_named(TEMPLATE).words
    line = verdict_of(recommended, groups, remark, words, unsupported=int(bool(remark)))
    assert line.endswith(
        f"over the bare class name (better). If you can only use texts, use the averaged texts{sentence}"
    )
    assert ("with the original class names" in line) == learnt.original_names


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        (
            650,
            "On test they are -5.0 [-6.5, -3.8] against OpenAI's 80 templates: rather use those.",
        ),
        (600, ""),
    ],
)
def test_where_other_texts_alone_do_better_on_test_the_sentence_on_texts_says_so(
    others: int, sentence: str
) -> None:
    """Although they are measurably ahead of the plain texts."""
    texts, plain = on_test("a {}", 600), {"bare class name": on_test("{}", 500)}
    published = {"OpenAI's 80 templates": on_test("the {}", others, first=0)}
    recommended = Recommended(
        form="with_images",
        test=0.7,
        over=gain_of(on_test("a {}", 700), plain, name="with_images"),
        texts_over=gain_of(texts, plain | published, name="texts"),
    )
    learnt = WithImages(templates=("a {}",), train=None, test=0.7, images=9, strength=1.0)
    groups = {"with_images": learnt, "texts": texts.group, "bare class name": plain["bare class name"].group}
    line = verdict_of(recommended, groups, "", kind_named(TEMPLATE).words)
    assert line.partition("If you can only use texts, ")[2] == (
        "use the best template: 60.0 % on test, +10.0 [8.3, 12.0] over the bare class name (better)."
        + (sentence and f" {sentence}")
    )


def test_accuracies_alone_give_wider_intervals() -> None:
    """A custom scorer need not give decisions image by image; the interval takes the two for independent."""
    (narrow,) = gain_of(BEST, {"default template": on_test("the {}", 550)}).values()
    (wide,) = gain_of(BEST, {"default template": on_test("the {}", 550, decided=False)}).values()
    assert not wide.paired
    assert (wide.better, wide.worse) == (None, None)
    assert wide.interval[0] < narrow.interval[0] < narrow.interval[1] < wide.interval[1]


@pytest.mark.parametrize("images", [10, 20, 40])
def test_nothing_is_claimed_whose_own_interval_holds_none(images: int) -> None:
    """Newcombe's interval is not symmetric: its edge towards 0 decides, whichever accuracies they are."""
    for right in itertools.product(range(images + 1), repeat=2):
        first, second = (
            share(count / images, f"{name} {{}}") for name, count in zip(("a", "the"), right, strict=True)
        )
        (gap,) = gain_of(first, {"default template": second}, images=images).values()
        low, high = gap.interval
        assert (gap.verdict == "may be chance") == (low <= 0.0 <= high)


def test_scores_that_are_no_shares_have_no_intervals() -> None:
    """A custom scorer may give any number; nothing is known of a test split that was not evaluated."""
    for test in (None, 17.0):
        assert gain_of(BEST, {"default template": share(test, "the {}")}) == {}
    assert gain_of(BEST, {"default template": on_test("the {}", 5)}, images=0) == {}


def scored(test: float | None, *, classes: int = 5, images: int = 49, **more: Any) -> SearchResult:
    """A result with that accuracy on test."""
    return small_result(
        dataset=Dataset(name="d", classes=classes, shots=1, seed=1, sizes=Sizes(train=5, test=images)),
        recommended=Recommended(form="texts", test=test),
        **more,
    )


@pytest.mark.parametrize(
    ("test", "images", "no_better"),
    [(0.265, 49, True), (0.265, 4900, False), (0.9, 49, False), (0.0, 49, True)],
)
def test_the_interval_decides(test: float, images: int, no_better: bool) -> None:
    """The same accuracy on more images is better than chance."""
    warning = chance_warning(scored(test, images=images))
    assert bool(warning) is no_better
    assert ("is worse than chance" in warning) is (test == 0.0)


def test_texts_that_may_be_chance_are_warned_of_beside_a_classifier_that_is_not() -> None:
    """The verdict has them for models that take texts alone."""
    good = replace(scored(0.9), recommended=Recommended(form="with_images", test=0.9))
    assert not chance_warning(replace(good, texts=replace(good.texts, test=0.9)))
    texts = replace(good.texts, test=0.265)
    assert chance_warning(replace(good, texts=texts)).startswith("26.5 % on test (")


def looked(*images: int) -> Inspection:
    """A look at classes of so many images."""
    classes = tuple(ClassAccuracy(f"c{label}", images=of, correct=0) for label, of in enumerate(images))
    return Inspection(classes=classes, confusions=())


def test_uneven_classes_are_held_against_the_most_frequent_one() -> None:
    """Which is no feat either: 60 % where 30 of 49 images are of one class."""
    uneven = scored(0.6, inspection=looked(30, 9, 5, 5, 0))
    no_better = "no better than chance: always naming the most frequent of 5 classes gets 61.2 %"
    assert chance_warning(uneven) == f"60.0 % on test (46.0 to 72.5) may be {no_better}"
    assert "Naming one of 5 classes at random gets 20.0, always naming the most frequent one 61.2. " in (
        about_scores(uneven)
    )
    assert not chance_warning(scored(0.9, inspection=looked(30, 9, 5, 5, 0)))
    assert not chance_warning(scored(0.6))


@pytest.mark.parametrize("inspection", [None, looked(), looked(0, 0), looked(9, 9, 9, 9, 9)])
def test_where_classes_are_even_or_unknown_a_class_at_random_is_the_guess(
    inspection: Inspection | None,
) -> None:
    """As with a scorer that does not give its images class by class."""
    assert most_frequent_share(scored(0.265, inspection=inspection)) is None
    warning = chance_warning(scored(0.265, inspection=inspection))
    assert "naming one of 5 classes at random gets 20.0 %" in warning


@pytest.mark.parametrize("changes", [{"test": None}, {"classes": 0}, {"objective": "margin"}, {"images": 0}])
def test_nothing_is_said_where_nobody_knows(changes: dict[str, Any]) -> None:
    """A test split not evaluated, a scorer that names no classes, scores that are no shares of images."""
    assert not chance_warning(scored(**({"test": 0.1} | changes)))
