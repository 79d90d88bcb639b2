"""What people use today, measured without a search: the ways, what recommends one, and what is written."""

from __future__ import annotations

import csv
import json
import re
import resource
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from promptclimb import Evaluation, EvaluatorSpec, SearchConfig, evaluate, load, load_data, search
from promptclimb.agent import api
from promptclimb.agent.cli.evaluate import print_ways, recommendation
from promptclimb.agent.cli.main import main
from promptclimb.agent.present.sentences import save_without_search
from promptclimb.agent.results.run_dir import read_result
from promptclimb.agent.search.measuring import (
    MOST_LEARNED,
    MeasuredAccuracy,
    measure,
)
from promptclimb.evaluator.datasets.values import UNUSED_IMAGES
from promptclimb.evaluator.errors import UsageError
from promptclimb.evaluator.scoring import (
    BARE_NAME,
    BASELINE_DEFAULT,
    CHOSEN,
    HAND_MADE,
    OPENAI_7,
    OPENAI_80,
    Evaluator,
    LearnedClassifier,
    Split,
)
from promptclimb.prompts.kinds import TEMPLATE, kind_named
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.feature_box import FeatureBox
from tests.fakes.few_shots import pictures
from tests.paths import ROOT
from tests.recorded import text_of

if TYPE_CHECKING:
    from promptclimb.evaluator.head import ClassVectors

SKETCH = "a sketch of a {}"


def box(worth: dict[str, float], **more: Any) -> FeatureBox:
    """Images as vectors, with a hand-made list of one template."""
    feature_box = FeatureBox(worth, **more)
    baselines = {**feature_box.info.baselines, HAND_MADE: (SKETCH,)}
    feature_box.info = replace(feature_box.info, baselines=baselines)
    return feature_box


async def measured(evaluator: Evaluator) -> Evaluation:
    lines: list[str] = []
    kind, say = kind_named(TEMPLATE), lines.append
    return await measure(evaluator, [], kind, "test", inspect=False, report=say, progress=say)


@pytest.mark.parametrize(
    ("worth", "learns", "name", "form"),
    [
        ({SKETCH: 0.45, "{}": 0.15}, True, HAND_MADE, "with_images"),
        ({SKETCH: 0.45, "{}": 0.15}, False, HAND_MADE, "texts"),
        ({"{}": 0.8}, True, BARE_NAME, "with_images"),
        ({"{}": 0.8}, False, BARE_NAME, "texts"),
    ],
)
async def test_labelled_images_recommend_a_way(
    worth: dict[str, float], learns: bool, name: str, form: str
) -> None:
    """The best that beats the bare class name, else that; with the images where they gain."""
    opened: list[str] = []
    evaluation = await measured(box(worth, learns=learns, before=opened.append))
    best = evaluation.recommended
    assert best is not None
    assert (best.name, best.form, evaluation.labelled) == (name, form, 48)
    assert [way.name for way in evaluation.ways if way.form] == [name]
    # The test images are opened once, when nothing is left to choose.
    assert [step for step in opened if "test" in step] == [opened[-1]] == ["decide on test"]


@pytest.mark.parametrize(
    ("worth", "learns", "is_hinted"), [(0.0, True, True), (0.0, False, False), (0.9, True, False)]
)
async def test_names_that_get_no_more_than_chance_are_hinted_at(
    worth: float, learns: bool, is_hinted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where all texts may be no better than chance, unless the labelled images are no better either."""
    texts = ("{}", "a photo of a {}", SKETCH)
    evaluation = await measured(box(dict.fromkeys(texts, worth), learns=learns))
    print_ways(evaluation, "promptclimb search")
    printed = capsys.readouterr().out
    hint = "to ask an LLM for others: add --search-for class-names --llm MODEL to the search above"
    assert (hint in printed) is is_hinted
    assert not is_hinted or printed.index("to try to beat it: promptclimb search") < printed.index(hint)
    best = evaluation.recommended
    assert best is not None
    perfect = MeasuredAccuracy(accuracy=1.0)
    print_ways(replace(evaluation, ways=(replace(best, with_images=perfect),)), "promptclimb search")
    printed = capsys.readouterr().out
    if learns:
        assert "\nwith the labelled images, every test image is classified correctly" in printed
        assert "--search-for class-names" not in printed


async def test_uneven_classes_are_held_against_the_most_frequent_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As by a search: 45 % is no feat where half of the images are of one class."""
    evaluation = await measured(box({SKETCH: 0.45, "{}": 0.15}, learns=False))
    assert evaluation.most_frequent
    uneven = replace(evaluation, most_frequent=evaluation.images // 2)
    sketch = [
        row.cells["without images"].may_be_chance
        for table in (evaluation.accuracies, uneven.accuracies)
        for row in table.rows
        if row.name == HAND_MADE
    ]
    assert sketch == [False, True]
    print_ways(uneven, "promptclimb search")
    guess = f"always naming the most frequent of {uneven.classes} classes gets {100 * uneven.chance:.1f} %"
    assert f"† may be no better than chance, or is worse: {guess}" in capsys.readouterr().out


async def test_what_is_right_on_every_image_is_not_said_to_be_beaten(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A search on these images could not."""
    evaluation = await measured(box({"{}": 0.8}, learns=False))
    bare, *others = evaluation.ways
    perfect = replace(bare, texts_alone=MeasuredAccuracy(accuracy=1.0))
    print_ways(replace(evaluation, ways=(perfect, *others)), "promptclimb search")
    assert "\nevery test image is classified correctly" in (printed := capsys.readouterr().out)
    assert "promptclimb search" not in printed


async def test_rows_as_good_as_the_recommended_one_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """The star alone would seem to say that the others are worse."""
    evaluation = await measured(box({"{}": 0.8}, learns=False))
    bare, second, *others = (
        replace(way, texts_alone=MeasuredAccuracy(accuracy=accuracy), with_images=None)
        for way, accuracy in zip(evaluation.ways, (0.8, 0.8, 0.7, 0.7), strict=False)
    )
    ahead = replace(second, texts_alone=MeasuredAccuracy(accuracy=0.9))
    for ways, tie in (
        ((bare, second, *others), ", on which 1 other is as accurate.\n"),
        ((bare, ahead, ahead, second), ", on which 2 others are more accurate and 1 other is as accurate.\n"),
        ((bare, *others), ".\n"),
    ):
        print_ways(replace(evaluation, ways=ways))
        assert f", not the test images{tie}" in capsys.readouterr().out


async def test_test_images_unlike_the_labelled_ones_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Where what is recommended is right far more often on labelled images that it had not seen."""
    evaluation = await measured(box({SKETCH: 0.45, "{}": 0.15}))
    print_ways(evaluation)
    assert "seem unlike" not in capsys.readouterr().out
    best = evaluation.recommended
    assert best is not None
    worse = replace(best, with_images=MeasuredAccuracy(accuracy=0.4))
    print_ways(replace(evaluation, ways=(worse,)))
    assert "The test images seem unlike the labelled ones: " in capsys.readouterr().out


async def test_images_that_were_not_used_are_mentioned_beside_the_recommendation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As at the end of a search; not where there is nothing to gain."""
    used = box({"{}": 0.8})
    line = f"using 17 of 216 training images: 1 of each class; {UNUSED_IMAGES}, and more"
    used.info = replace(used.info, notes={CHOSEN: ["another line", line]})
    evaluation = await measured(used)
    print_ways(evaluation, "promptclimb search")
    assert re.search(
        r"not the test images.*\n"
        r"What usually helps most: --shots all, as only 17 of 216 training images were used\.",
        capsys.readouterr().out,
    )
    first, *others = evaluation.ways
    assert first.with_images is not None
    perfect = replace(first, with_images=replace(first.with_images, accuracy=1.0))
    for other in (replace(evaluation, notes={}), replace(evaluation, ways=(perfect, *others))):
        print_ways(other, "promptclimb search")
        assert "--shots all" not in capsys.readouterr().out


async def test_given_templates_stand_beside_the_bare_class_name_with_what_images_add() -> None:
    """Each alone and all together, with differences; the plain figures are those of scores."""
    lines: list[str] = []

    async def measured_texts(texts: list[str], split: Split = "test") -> Evaluation:
        return await measure(
            box({SKETCH: 0.45, "{}": 0.15}), texts, kind_named(TEMPLATE), split,
            inspect=True, report=lines.append, progress=lambda _line: None,
        )  # fmt: skip

    evaluation = await measured_texts([SKETCH, "{}", "a {}"])
    assert [way.name for way in evaluation.ways] == [BARE_NAME, SKETCH, "a {}", "all 3 together"]
    bare, sketch, _other, together = evaluation.ways
    assert [score.accuracy for score in evaluation.scores[:2]] == [
        way.texts_alone and way.texts_alone.accuracy for way in (sketch, bare)
    ]
    assert together.texts_alone is not None
    assert evaluation.ensemble == together.texts_alone.accuracy
    assert evaluation.inspection is not None
    correct = sum(each.correct for each in evaluation.inspection.classes)
    assert correct / evaluation.images == pytest.approx(evaluation.ensemble)
    assert all(way.with_images and way.with_images.gain for way in evaluation.ways)
    assert evaluation.accuracies.columns == ("without images", "with images")
    assert evaluation.recommended == sketch
    assert recommendation(evaluation).startswith(f'* Use "{SKETCH}" with the labelled images. Chosen on')
    document = evaluation.to_json()
    assert len(document["scores"]) == 3
    assert document["recommended"] == {"name": SKETCH, "form": "with_images"}
    assert not lines
    # Nothing is learned where another split judges; and of many, few learn.
    (alone,) = (await measured_texts([SKETCH], "val")).ways
    assert (alone.name, alone.with_images, alone.form) == (SKETCH, None, None)
    many = await measured_texts([SKETCH, *(f"{number} {{}}" for number in range(MOST_LEARNED))])
    learnt = [way.name for way in many.ways if way.with_images]
    assert learnt == [BARE_NAME, SKETCH, f"all {MOST_LEARNED + 1} together"]
    assert len(lines) == 1


async def test_each_way_has_its_difference_to_the_bare_class_name() -> None:
    """Image by image, without and with the labelled images; the recommended cell is marked."""
    evaluation = await measured(box({SKETCH: 0.45, "{}": 0.15}))
    bare, _default, hand_made = evaluation.ways
    assert bare.texts_alone is not None
    assert hand_made.texts_alone is not None
    assert bare.texts_alone.gain is None
    gain = hand_made.texts_alone.gain
    assert gain is not None
    assert (gain.better or 0) - (gain.worse or 0) == round(gain.points * 2)  # of 200 images
    points = 100 * ((hand_made.texts_alone.accuracy or 0) - (bare.texts_alone.accuracy or 0))
    assert gain.points == pytest.approx(points, abs=1e-3)
    table = evaluation.accuracies
    title, _heads, *lines = str(evaluation).splitlines()
    assert title == "vectors: test accuracy in %, 200 images"
    assert [line.split("  ")[0] for line in lines] == [row.title for row in table.rows]
    cells = [
        (row.name, column) for row in table.rows for column in table.columns if row.cells[column].recommended
    ]
    assert cells == [(HAND_MADE, "with images")]


async def test_without_labelled_images_nothing_is_learnt_or_recommended() -> None:
    """Only a column of the split is left."""
    feature_box = box({SKETCH: 0.45})
    feature_box.info = replace(feature_box.info, sizes={"train": 0, "val": 0, "test": 200})
    evaluation = await measured(feature_box)
    assert evaluation.accuracies.columns == ("test",)
    assert evaluation.recommended is None
    document = evaluation.to_json()
    assert (document["labelled_images"], document["recommended"]) == (0, None)
    assert all(way["with_images"] is None for way in document["ways"])


async def test_labelled_images_that_the_scorer_refused_are_not_said_to_be_learned_from() -> None:
    """The recommendation has the number that the saved classifier has, and a note the others."""

    class Refusing(FeatureBox):
        def learn(self, classifier: ClassVectors) -> LearnedClassifier:
            return replace(super().learn(classifier), images=31)

    lines: list[str] = []
    kind, say = kind_named(TEMPLATE), lines.append
    evaluation = await measure(
        Refusing({"{}": 0.8}), [], kind, "test", inspect=False, report=say, progress=say
    )
    assert evaluation.classifier is not None
    assert evaluation.classifier.about.images == 31
    assert "Chosen on your 31 labelled images" in recommendation(evaluation)
    assert lines[-1].startswith("note: the scorer refused 17 of 48 labelled images")
    assert not any("48" in line for line in lines[:-1])
    document = evaluation.to_json()
    assert (document["labelled_images"], document["labelled_images_refused"]) == (48, 17)


def test_a_folder_of_test_images_alone_is_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A search on it is refused, and says what is missing."""
    monkeypatch.chdir(tmp_path)
    spec = pictures(tmp_path)
    for split in ("train", "val"):
        shutil.rmtree(tmp_path / "pictures" / split)
    command = ["--data", str(spec.data), "--model", spec.model, "--pretrained", str(spec.pretrained)]
    assert main(["evaluate", *command]) == 0
    out, err = capsys.readouterr()
    assert "with images" not in out
    assert "Nothing is recommended, as there are no labelled images" in out
    assert "0 training, 0 validation and 18 test images" in err
    assert main(["evaluate", *command, "--templates", "{}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"][0]["test"] is not None
    assert main(["evaluate", *command, "--templates", "{}", "--split", "train"]) == 2
    assert main(["search", *command, "--method", "random"]) == 2
    err = capsys.readouterr().err
    assert "has no train images; score templates on another split" in err
    assert "pictures has test images alone; a search and white-box references need labelled images" in err


def test_a_scorer_without_features_recommends_by_its_accuracies() -> None:
    """A way with a template that it cannot read is left out, and said."""
    lines: list[str] = []
    evaluator = FakeEvaluator(favourites={"photo": 4.0}, max_words=5)
    evaluation = evaluate(spec=EvaluatorSpec(data="words"), custom_scorer=evaluator, report=lines.append)
    assert [way.name for way in evaluation.ways] == [BARE_NAME, BASELINE_DEFAULT]
    assert any(line.startswith("hand-made is not measured: ") for line in lines)
    assert evaluation.recommended == evaluation.ways[1]
    assert recommendation(evaluation).startswith("* Use the default template. Chosen on")


def test_kept_features_are_measured_without_loading_a_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither open_clip nor the model, which take longer than all else; the figures are the same."""
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("promptclimb.evaluator.files.SETTLED_NS", 0)
    spec = EvaluatorSpec(data=pictures(tmp_path).data, shots=4, device="cpu")
    first = evaluate(["a {}"], spec)
    for name in [name for name in sys.modules if name.partition(".")[0] == "open_clip"]:
        monkeypatch.delitem(sys.modules, name)
    assert evaluate(["a {}"], spec).to_json() == first.to_json()
    assert "open_clip" not in sys.modules
    # One module imports it, and functions alone that module.
    imports = re.compile(r"^(?:import open_clip|from (?:open_clip|\.+(?:clip\.)?model_files) )", re.MULTILINE)
    importing = [path.name for path in (ROOT / "evaluator").rglob("*.py") if imports.search(path.read_text())]
    assert importing == ["model_files.py"]


async def test_ways_are_the_baselines_of_a_search(tmp_path: Path) -> None:
    """On the same data and seed the figures are equal, with a real model; both learn from the same images."""
    spec = pictures(tmp_path)
    config = SearchConfig.of(
        spec, method="random", initial=4, restarts=1, conversations=1, rounds=1, run_dir=tmp_path / "run"
    )
    result = await search(config)
    evaluation = evaluate(None, spec)
    ways = {way.name: way for way in evaluation.ways}
    assert list(ways) == [BARE_NAME, BASELINE_DEFAULT, OPENAI_7, OPENAI_80]
    for name in (BARE_NAME, BASELINE_DEFAULT, OPENAI_80):
        texts = ways[name].texts_alone
        assert texts is not None
        assert texts.accuracy == result.baselines[name].test
        assert ways[name].templates == result.baselines[name].templates
    assert result.with_images is not None
    assert evaluation.labelled == result.with_images.images


def test_references_stand_in_the_same_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They learn from every labelled image if they can; one command shows all, and what to type next."""
    monkeypatch.chdir(tmp_path)
    spec = pictures(tmp_path)
    here, there = sorted((tmp_path / "pictures" / "test").iterdir())[:2]
    shutil.copy(next(here.iterdir()), there / "another.png")  # which nothing gets right in both
    command = [
        "evaluate", "--data", str(spec.data), "--model", spec.model, "--pretrained", str(spec.pretrained),
    ]  # fmt: skip
    command += ["--shots", "4", "--device", "cpu", "--white-box", "tip-adapter,linear-probe"]
    assert main([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    tip, probe = document["ways"][-2:]
    assert (tip["name"], probe["name"]) == (
        "tip-adapter (white box, 18 images)",
        "linear-probe (white box, 12 images)",
    )
    assert tip["without_images"] is None
    assert tip["with_images"]["test"] == document["white_box"][0]["test"]
    bare = document["ways"][0]["without_images"]["test"]
    for row in (tip, probe):
        points = row["with_images"]["over_bare_class_name"]["points"]
        assert points == pytest.approx(100 * (row["with_images"]["test"] - bare), abs=1e-3)
    assert document["labelled_images"] == 18
    assert "tip-adapter: fitted to 18 images" in err
    assert "linear-probe: fitted to 12 images" in err  # it chooses on the validation images
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert out.index("bare class name") < out.index("OpenAI's 80") < out.index("linear-probe (white")
    assert out.count(" *") == 1
    assert sum(line.startswith("model:") for line in err.splitlines()) == 1
    assert re.search(r"bare class name .* \d+\.\d†? \(\d+\.\d to \d+\.\d\)", out)
    use = "to use it: add --save best.safetensors; to see which images it gets wrong: --predictions FILE.csv"
    assert re.search(rf"labelled images, not the test images.*\n{re.escape(use)}\n", out)
    assert f"search --data {spec.data} --model tiny-clip" in out
    # Templates of one's own, on another split.
    assert main([*command, "--templates", "a photo of a {}", "--split", "val", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["template"] for row in document["scores"]] == ["a photo of a {}"]
    assert [row["name"] for row in document["white_box"]] == ["tip-adapter", "linear-probe"]
    assert all(0 <= row["val"] <= 1 and row["test"] is None for row in document["white_box"])


def hard_pictures(folder: Path) -> EvaluatorSpec:
    """Pictures with two on test that any classifier gets wrong."""
    spec = pictures(folder)
    for number, name in enumerate(("cat", "dog")):
        source = next((folder / "pictures" / "test" / name).iterdir())
        shutil.copy(source, folder / "pictures" / "test" / "oak tree" / f"more-{number}.png")
    return spec


@pytest.mark.parametrize("own", [[], ["--templates", "own.txt"]])
def test_the_recommended_classifier_is_saved_as_it_was_measured(
    own: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """To the last image, for ``predict`` and ``load``; an existing file is replaced."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.txt").write_text("a cat or a {}\nthe {}\n")
    spec = hard_pictures(tmp_path)
    model = ["--model", spec.model, "--pretrained", str(spec.pretrained)]
    measure = ["evaluate", "--data", str(spec.data), *model, *own, "--save"]
    assert main([*measure, "new/best.safetensors", "--shots", "1"]) == 0
    assert main([*measure, "new/best.safetensors", "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out[out.index("{\n") :])
    best = next(way for way in document["ways"] if way["name"] == document["recommended"]["name"])
    form = {"texts": "without_images", "with_images": "with_images"}[document["recommended"]["form"]]
    assert "predict FOLDER --run new/best.safetensors" in err
    assert "add --save" not in out
    assert main(["predict", "pictures/test", "--run", "new/best.safetensors"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    right = [row["class"] == Path(row["file"]).parent.name for row in rows]
    assert sum(right) / len(right) == best[form]["test"] < 1
    about = load("new/best.safetensors").about
    assert list(about.templates) == best["templates"]
    assert (about.form, about.images) == (document["recommended"]["form"], document["labelled_images"])


def test_the_predictions_are_those_of_the_recommended_classifier(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the true classes, in the order of the split; no cell is a formula."""
    monkeypatch.chdir(tmp_path)
    spec = hard_pictures(tmp_path)
    (tmp_path / "pictures" / "test" / "dog").rename(tmp_path / "pictures" / "test" / "=dog")
    for split in ("train", "val"):
        (tmp_path / "pictures" / split / "dog").rename(tmp_path / "pictures" / split / "=dog")
    command = ["evaluate", "--data", "pictures", "--model", spec.model, "--pretrained", str(spec.pretrained)]
    assert main([*command, "--save", "best", "--predictions", "new/p.csv", "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    rows = list(csv.DictReader((tmp_path / "new" / "p.csv").read_text().splitlines()))
    data = load_data(spec).test.open()
    assert [tmp_path / "pictures" / row["file"] for row in rows] == [item.path for item in data]
    classes = {row["file"].split("/")[1]: row["true_class"] for row in rows}
    assert classes == {"cat": "cat", "=dog": "'=dog", "oak tree": "oak tree"}
    wrong = [row for row in rows if row["correct"] == "no"]
    assert wrong == [row for row in rows if row["class"] != row["true_class"]]
    best = next(way for way in document["ways"] if way["name"] == document["recommended"]["name"])
    form = {"texts": "without_images", "with_images": "with_images"}[document["recommended"]["form"]]
    assert best[form]["test"] == 1 - len(wrong) / len(rows) < 1
    assert f"predictions of what is recommended: new/p.csv; {len(wrong)} of {len(rows)} are wrong" in err
    assert main(["predict", "pictures", "--run", "best"]) == 0
    predicted = {row["file"]: row for row in csv.DictReader(capsys.readouterr().out.splitlines())}
    for row in rows:
        same = predicted[row["file"]]
        assert row["class"] == same["class"]
        assert float(row["probability"]) == pytest.approx(float(same["probability"]), abs=1e-4)


BOX = """
import shutil
from pathlib import Path
from tests.fakes.feature_box import FeatureBox

def box():
    return FeatureBox({"{}": 0.8}, before=replace_folder)

def replace_folder(step):
    if step == "decide on test":
        shutil.rmtree("new")
        Path("new").write_text("")
"""


def test_what_cannot_be_written_at_the_end_does_not_cost_the_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The folder was there when it was checked, and is gone when all is measured."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "box.py").write_text(BOX)
    command = ["evaluate", "--custom-scorer", "./box.py:box", "--save", "new/best"]
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert "bare class name" in out
    assert "* Use the bare class name" in out
    (error,) = (line for line in err.splitlines() if line.startswith("error: "))
    assert re.fullmatch(r"error: .*new/best cannot be written: File exists", error)


def test_the_best_without_a_search_is_saved_from_the_runs_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the search is not ahead of it: the command can be pasted, and the file has the row's accuracy."""
    monkeypatch.chdir(tmp_path)
    spec = hard_pictures(tmp_path)
    command = [
        "search",
        "--data",
        str(spec.data),
        "--model",
        spec.model,
        "--pretrained",
        str(spec.pretrained),
    ]
    small = ["--restarts", "1", "--rounds", "1", "--initial", "40", "--method", "random"]
    assert main([*command, *small, "--shots", "1", "--run-dir", "a run"]) == 0
    out = capsys.readouterr().out
    (line,) = (line for line in out.splitlines() if line.startswith("for the best without a search: "))
    program, *words = shlex.split(line.removeprefix("for the best without a search: "))
    assert program.endswith("promptclimb")
    page = text_of((tmp_path / "a run" / "report.html").read_text("utf-8"))
    assert "promptclimb evaluate --config 'a run'/config.toml --save best.safetensors" in page
    assert main(words) == 0
    # A search with a run's settings would have its folder.
    assert "to try to beat it" not in capsys.readouterr().out
    result, saved = read_result(tmp_path / "a run"), load("best.safetensors")
    assert result.without_search is not None
    assert saved.about.templates == result.without_search.templates
    data = load_data(spec).test.open()
    names = saved.predict([item.path for item in data])
    right = [name == saved.class_names[item.label] for name, item in zip(names, data, strict=True)]
    assert sum(right) / len(right) == result.without_search.test < 1
    # What a model behind an API answered is not paid for again.
    (tmp_path / "a run" / "labels.sqlite").touch()
    assert save_without_search(result, tmp_path / "a run", "r").endswith("safetensors --shared-cache r")


def test_each_class_is_shown_by_what_is_recommended(tmp_path: Path) -> None:
    """The matrix is that of the predictions, as many of them right as the row says."""
    evaluation = evaluate(spec=hard_pictures(tmp_path), inspect=True)
    assert evaluation.matrix is not None
    best = evaluation.recommended
    assert best is not None
    assert best.form == "with_images"
    right = {image.file for image in evaluation.predictions if image.classes == (image.true_class,)}
    diagonal = sum(evaluation.matrix.counts.get((label, label), 0) for label in range(evaluation.classes))
    assert diagonal == len(right)
    assert best.with_images is not None
    assert diagonal / evaluation.images == best.with_images.accuracy
    assert best.texts_alone is not None
    assert best.with_images.accuracy != best.texts_alone.accuracy


def test_where_nothing_is_confused_a_line_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In place of a table without rows."""
    spec = pictures(tmp_path)

    def all_right(*arguments: Any, **options: Any) -> Evaluation:
        evaluation = evaluate(*arguments, **options)
        assert evaluation.inspection is not None
        return replace(evaluation, inspection=replace(evaluation.inspection, confusions=()))

    monkeypatch.setattr(api, "evaluate", all_right)
    command = ["--data", str(spec.data), "--model", spec.model, "--pretrained", str(spec.pretrained)]
    assert main(["evaluate", *command, "--confusions"]) == 0
    out = capsys.readouterr().out
    assert "\nno image is taken for another class\n" in out
    assert "most often confused" not in out


def test_a_folder_of_unequal_classes_is_told_of_the_images_left_unused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """By a model that is loaded only when it is needed, too."""
    spec = hard_pictures(tmp_path)
    first, *_ = sorted(path for path in (Path(spec.data) / "train").iterdir() if path.is_dir())
    for image in sorted(first.iterdir())[1:]:
        image.unlink()
    command = ["evaluate", "--data", str(spec.data), "--model", spec.model]
    assert main([*command, "--pretrained", str(spec.pretrained)]) == 0
    out = capsys.readouterr().out
    assert "What usually helps most: --shots all" in out, out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--save", "old"], r"--save .*old is a folder; name a file"),
        (["--predictions", "old"], r"--predictions .*old is a folder; name a file"),
        (
            ["--save", "best.pt"],
            r"--save .*best.pt: .pt is the ending of another format; the right one is .safe",
        ),
        (["--save", "best.txt"], r"--save .*best.txt: .txt is .*; the right one is .safetensors"),
        (["--predictions", "best.json"], r"--predictions .*best.json: .*; the right one is .csv"),
        (["--matrix", "best.TSV"], r"--matrix .*best.TSV: .tsv is .*; the right one is .csv"),
        (["--save", "new.x", "--predictions", "./new.x"], "--save, --predictions name the same file"),
        (["--save", "own.txt/best"], r"--save .*own.txt/best cannot be written: "),
        (["--custom-scorer", "promptclimb.evaluator.fakes:FakeEvaluator"], "this scorer gives no features"),
        (["--templates", "own.txt", "--split", "val"], "templates learn from labelled images only on test"),
        (["--data", "new"], "there are no labelled images to choose by"),
        (
            ["--predictions", "best.csv", "--custom-scorer", "b:b"],
            "a custom scorer does not; leave it",
        ),
    ],
)
def test_a_classifier_that_could_not_be_saved_is_not_measured(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    """It is said before the work, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old").mkdir()
    (tmp_path / "own.txt").write_text("the {}\n")
    spec = pictures(tmp_path)
    shutil.copytree(tmp_path / "pictures" / "test", tmp_path / "new" / "test")
    command = ["--data", str(spec.data), "--model", spec.model, "--pretrained", str(spec.pretrained)]
    assert main(["evaluate", "--save", "best.safetensors", *command, *arguments]) == 2
    out, err = capsys.readouterr()
    assert re.search(f"^error: .*{words}", err, re.MULTILINE)
    assert not out
    assert not [*tmp_path.rglob("best*")]


def test_a_file_that_cannot_be_written_does_not_cost_the_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a full disk; scores may have been paid for, so it is no wrong usage."""
    monkeypatch.chdir(tmp_path)
    spec, before = pictures(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)

    def on_a_full_disk(*arguments: Any, **options: Any) -> Any:
        evaluation = evaluate(*arguments, **options)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
        return evaluation

    monkeypatch.setattr(api, "evaluate", on_a_full_disk)
    command = ["--data", str(spec.data), "--model", spec.model, "--pretrained", str(spec.pretrained)]
    files = ["--save", "best.safetensors", "--predictions", "p.csv", "--matrix", "m.csv"]
    try:
        assert main(["evaluate", *command, *files]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    faults = ".*best.safetensors cannot be written: File too large; .*p.csv cannot be written: File too large"
    assert re.search(f"^error: {faults}$", capsys.readouterr().err, re.MULTILINE)
    assert Path("m.csv").is_file()
    assert not Path("p.csv").exists()
    assert not Path("best.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"split": "val"}, "split='val' is for templates"),
        ({"custom_scorer": [0.5].count}, "has no test images; score templates on another split"),
        ({"inspect": True, "custom_scorer": FakeEvaluator()}, "there is no classifier to recommend here"),
        ({"white_box": ["coop"], "custom_scorer": FakeEvaluator()}, "custom scorer is not one"),
        ({"templates": []}, "no template to score"),
    ],
)
def test_what_cannot_be_measured_is_a_usage_error(arguments: dict[str, Any], words: str) -> None:
    """It says what to give."""
    with pytest.raises(UsageError, match=words):
        evaluate(**arguments)
