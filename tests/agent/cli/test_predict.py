"""Predictions for images without labels: by a run, by templates of one's own, and from Python."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import promptclimb
from promptclimb import EvaluatorSpec, SearchConfig, search_sync
from promptclimb.agent.cli.main import main
from promptclimb.agent.cli.predict import opened
from promptclimb.agent.results import exports
from promptclimb.agent.results.accuracies import BEST, TEXTS
from promptclimb.agent.results.details import Details, read_details
from promptclimb.agent.results.exports import export
from promptclimb.agent.results.run_dir import BYTE_ORDER_MARK, CLASSIFIER, read_result, write_result
from promptclimb.evaluator.classifier import Classifier
from promptclimb.evaluator.clip.images import ImageEncoder
from promptclimb.evaluator.errors import PromptclimbError, UsageError
from promptclimb.evaluator.prediction import ImagePredictor
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.few_shots import pictures
from tests.recorded import check_session


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a tiny CLIP on pictures, with its images."""
    folder = tmp_path_factory.mktemp("home")
    spec = pictures(folder)
    config = SearchConfig(
        **{name: getattr(spec, name) for name in spec.model_fields_set},
        method="random",
        restarts=1,
        rounds=1,
        initial=6,
        run_dir=folder / "run",
    )
    search_sync(config)
    return folder


@pytest.fixture
def images(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images without labels: in sub-folders, with names that a spreadsheet would compute, and torn ones."""
    monkeypatch.chdir(tmp_path)
    folder, source = tmp_path / "new", home / "pictures" / "test"
    for index, name in enumerate(("=cmd(1),x.png", "-1.png", "b.png", "deep/er/a.png", "\x1b[31mtab\té.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / "dog" / f"{index}.png", folder / name)
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "deep" / "loop").symlink_to(folder)
    return folder


def call(*arguments: str | Path) -> int:
    """Runs a command in this process."""
    return main([str(argument) for argument in arguments])


def rows_of(text: str) -> list[dict[str, str]]:
    """The lines of a CSV file."""
    return list(csv.DictReader(text.splitlines()))


@pytest.mark.parametrize("group", ["recommended", TEXTS, BEST])
def test_the_classes_are_those_of_the_runs_own_evaluation(
    home: Path, group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Image by image on the test images, for the recommended form and for those that are asked for."""
    details = read_details(home / "run")
    assert details is not None
    assert details.decisions is not None
    more = [] if group == "recommended" else ["--only", group]
    assert call("predict", home / "pictures" / "test", "--run", home / "run", *more) == 0
    rows = rows_of(capsys.readouterr().out)
    names = details.decisions.classes
    name = read_result(home / "run").recommended.name if group == "recommended" else group
    assert [row["class"] for row in rows] == [names[label] for label in details.decisions.predicted[name]]
    assert [Path(row["file"]).parent.name for row in rows] == [
        names[label] for label in details.decisions.labels
    ]
    assert all(1 / len(names) <= float(row["probability"]) <= 1 for row in rows)


def test_new_class_names_of_a_run_stand_in_the_texts_only(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The best template is filled with them; the classes keep their names."""
    result = read_result(home / "run")
    names = read_details(home / "run")
    assert names is not None
    assert names.decisions is not None
    classes = names.decisions.classes
    shutil.copytree(home / "run", tmp_path / "run")
    new = {classes[0]: "a distant galaxy"}
    best = replace(result.best, class_names=new)
    texts = replace(result.texts, templates=best.templates)
    write_result(tmp_path / "run", replace(result, best=best, texts=texts))
    (tmp_path / "run" / CLASSIFIER).unlink()
    shown = {}
    for key, run in (("named", tmp_path / "run"), ("plain", home / "run")):
        assert call("predict", home / "pictures" / "test", "--run", run) == 0
        shown[key] = rows_of(capsys.readouterr().out)
    assert shown["named"] != shown["plain"]
    assert {row["class"] for row in shown["named"]} <= set(classes)
    (tmp_path / "names.txt").write_text("\n".join([new[classes[0]], *classes[1:]]))
    (tmp_path / "best.txt").write_text(result.best.template)
    options = ["--class-names", tmp_path / "names.txt", "--model", result.model.name]
    options += ["--pretrained", result.model.pretrained, "--templates", tmp_path / "best.txt"]
    assert call("predict", home / "pictures" / "test", *options) == 0
    same = rows_of(capsys.readouterr().out)
    assert [float(row["probability"]) for row in same] == pytest.approx(
        [float(row["probability"]) for row in shown["named"]], abs=1e-4
    )


def test_every_image_has_a_line_and_no_cell_is_a_formula(
    home: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A torn image has no class and is named, the rest is classified, and the folder is left as it was."""
    before = sorted(os.walk(images))
    assert call("predict", images, "--run", home / "run", "--out", "found/p.csv", "--top", "9") == 0
    out, err = capsys.readouterr()
    written = Path("found/p.csv").read_bytes().decode()
    assert written[0] == "\ufeff"  # a spreadsheet reads the é
    rows = rows_of(written[1:])
    assert out == ""
    assert [row["file"] for row in rows] == [
        "\x1b[31mtab\té.png", "./-1.png", "./=cmd(1),x.png", "b.png", "torn.jpg", "deep/er/a.png",
    ]  # fmt: skip
    assert all((images / row["file"]).is_file() for row in rows)
    assert list(rows[0]) == [
        "file", "class", "probability", "class_2", "probability_2", "class_3", "probability_3",
    ]  # fmt: skip
    shares = [float(rows[0][name]) for name in ("probability", "probability_2", "probability_3")]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert set(rows[4].values()) == {"torn.jpg", ""}
    assert "torn.jpg is not an image that can be read" in err
    assert "5 images classified: " in err
    assert "1 image could not be classified" in err
    assert "written to found/p.csv" in err
    assert sorted(os.walk(images)) == before
    assert [path.name for path in Path("found").iterdir()] == ["p.csv"]


def test_an_interrupted_file_does_not_look_finished(
    home: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is there keeps the name FILE.part, each line at once; if there is no image, no file is left."""
    Path("empty").mkdir()
    assert call("predict", "empty", "--run", home / "run", "--out", "p.csv") == 2
    assert not list(Path().glob("p.csv*"))
    whole, before = ImagePredictor.predict, list[str]()

    def interrupted(self: ImagePredictor, *arguments: Any, **options: Any) -> Any:
        yield from itertools.islice(whole(self, *arguments, **options), 2)
        before.append(Path("p.csv.part").read_text("utf-8"))
        raise KeyboardInterrupt

    monkeypatch.setattr(ImagePredictor, "predict", interrupted)
    assert call("predict", images, "--run", home / "run", "--out", "p.csv") == 130
    assert "so far is in p.csv.part" in capsys.readouterr().err
    assert not Path("p.csv").exists()
    assert before == [Path("p.csv.part").read_text("utf-8")]
    assert len(rows_of(before[0])) == 2


def test_a_full_disk_is_said_at_the_line_that_does_not_fit(
    home: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the file; what was classified before is on the disk, and perhaps paid for: no wrong usage."""
    whole, room = ImagePredictor.predict, 50

    def on_a_full_disk(self: ImagePredictor, *arguments: Any, **options: Any) -> Any:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        yield from whole(self, *arguments, **options)

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    command = ("predict", images, "--run", home / "run", "--out", "p.csv")
    assert call(*command) == 0
    mark = len(BYTE_ORDER_MARK.encode())
    lines = Path("p.csv").read_bytes()[mark:]
    Path("p.csv").unlink()
    monkeypatch.setattr(ImagePredictor, "predict", on_a_full_disk)
    for room in (50, len(lines)):  # the second has no room for the mark that Excel needs
        capsys.readouterr()
        try:
            assert call(*command) == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        said = capsys.readouterr().err
        assert "so far is in p.csv.part" in said
        assert f"error: {Path('p.csv').resolve()} cannot be written: File too large\n" in said
        assert Path("p.csv.part").read_bytes() == lines[:room]
        assert not Path("p.csv").exists()


def test_a_file_that_got_no_byte_is_not_left_or_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nothing in it to go on with."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        with pytest.raises(PromptclimbError, match="cannot be written"), opened(tmp_path / "p.csv") as stream:
            stream.write("file\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().err == ""


def test_json_is_one_output(home: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the model, the templates, the class names, and every file by its own name."""
    assert call("predict", images, "--run", home / "run", "--json") == 0
    output = json.loads(capsys.readouterr().out)
    assert output["model"]["name"] == "tiny-clip"
    assert output["classes"] == ["cat", "dog", "oak tree"]
    assert output["templates"] == json.loads((home / "run" / "result.json").read_text())["texts"]["templates"]
    assert (output["images"], output["unreadable"]) == (5, 1)
    assert output["predictions"][0]["file"] == "\x1b[31mtab\té.png"
    assert set(output["predictions"][0]) == {"file", "class", "probability"}
    assert "torn.jpg" in output["predictions"][4]["error"]


def test_templates_and_names_of_ones_own_need_no_run(
    home: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a model; a run reads other names, and returns its own. One image may stand for a folder."""
    Path("t.txt").write_text("a {}\nthe {}\n")
    Path("names.txt").write_text("Katze\nEiche\n")
    model = ("--model", "tiny-clip", "--pretrained", home / "clip.safetensors", "--device", "cpu")
    own = ("--templates", "t.txt", "--class-names", "names.txt", *model)
    assert call("predict", images / "b.png", *own) == 0
    (row,) = rows_of(capsys.readouterr().out)
    assert row["file"] == "b.png"
    assert row["class"] in ("Katze", "Eiche")
    details = read_details(home / "run")
    assert details is not None
    assert details.decisions is not None
    first, *others = details.decisions.classes
    Path("names.txt").write_text("".join(f"{name}=not {name}\n" for name in (*others, first)))
    assert call("predict", images / "b.png", "--run", home / "run", "--class-names", "names.txt") == 0
    assert rows_of(capsys.readouterr().out)[0]["class"] in (first, *others)
    # As an exported file without the line of a class: the model reads that one's own name.
    Path("names.txt").write_text(f"{first}={others[0]} or not\n")
    predicted = ("predict", home / "pictures" / "test", "--run", home / "run", "--class-names", "names.txt")
    assert call(*predicted, "--json") == 0
    out, err = capsys.readouterr()
    assert "note: --class-names makes a classifier of texts alone" in err
    renamed = json.loads(out)
    assert renamed["classes"] == [first, *others]
    assert call(*predicted[:-2], "--only", "texts", "--json") == 0
    out, err = capsys.readouterr()
    assert "note: --class-names" not in err
    assert renamed["predictions"] != json.loads(out)["predictions"]
    Path("names.txt").write_text("unicorn=Einhorn\n")
    assert call(*predicted) == 2
    assert "has no class 'unicorn'" in capsys.readouterr().err


def test_names_for_all_classes_read_the_run_once(
    home: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not once for each: a thousand classes took more than a minute."""
    reads: list[Path] = []

    def counted(run_dir: Path) -> Details | None:
        reads.append(run_dir)
        return read_details(run_dir)

    monkeypatch.setattr(exports, "read_details", counted)
    Path("names.txt").write_text("cat=Katze\ndog=Hund\noak tree=Eiche\n")
    command = ("predict", images / "b.png", "--run", home / "run", "--class-names", "names.txt", "--json")
    assert call(*command) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == ["cat", "dog", "oak tree"]
    assert len(reads) == 1


def test_what_cannot_be_predicted_is_said(
    home: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, as wrong input, and no file is left."""
    Path("t.txt").write_text("a {}\n")
    os.mkfifo("pipe")
    Path("linked.part").symlink_to("t.txt")
    for name in ("empty", "torn"):
        Path(name).mkdir()
    Path("empty/notes.txt").write_text("none")
    shutil.move(images / "torn.jpg", "torn")
    shutil.copytree(home / "run", "run")
    out = [f"predict new --run run --out {out}" for out in ("run/result.json", "new", "pipe", "linked")]
    wrong = [f"predict {name} --run run" for name in ("absent", "nw", "empty", "pipe", "torn")]
    own = (
        "",
        " --run run --templates t.txt",
        " --templates t.txt",
        " --templates t.txt --only texts",
        " --run new",
    )
    check_session("predict-wrong", capsys, *out, *wrong, *(f"predict new{options}" for options in own))
    assert Path("t.txt").read_text() == "a {}\n"


@pytest.mark.parametrize(("only", "form"), [(BEST, "template"), (TEXTS, "texts")])
def test_texts_of_a_run_are_exported_as_a_classifier(
    home: Path, tmp_path: Path, only: str, form: str
) -> None:
    """Without what the labelled images taught; the file says which texts they are."""
    file = export(home / "run", "safetensors", only=only, out=tmp_path / "texts.safetensors")
    result = read_result(home / "run")
    templates = (result.best if only == BEST else result.texts).templates
    about = Classifier.load(file).about
    assert (about.form, about.templates, about.images) == (form, templates, 0)


def test_code_that_a_run_names_is_not_run(tmp_path: Path, images: Path, home: Path) -> None:
    """A custom scorer predicts no classes: not from a received folder, and not one from Python."""
    (tmp_path / "scorer.py").write_text(
        "from pathlib import Path\n\n\nclass Own:\n"
        "    def __init__(self):\n        Path('ran').touch()\n\n"
        "    def score(self, templates):\n        return [0.5 for _ in templates]\n"
    )
    small: dict[str, Any] = {"method": "random", "restarts": 1, "rounds": 1, "initial": 4}
    config = SearchConfig(
        data="x", custom_scorer=f"{tmp_path}/scorer.py:Own", run_dir=tmp_path / "own", **small
    )
    search_sync(config)
    (tmp_path / "ran").unlink()
    with pytest.raises(UsageError, match="custom scorer"):
        promptclimb.predict(images, run_dir=tmp_path / "own")
    with pytest.raises(UsageError, match="custom scorer"):
        export(tmp_path / "own", "safetensors")
    assert not (tmp_path / "ran").exists()
    search_sync(SearchConfig(data="x", run_dir=tmp_path / "python", **small), custom_scorer=FakeEvaluator())
    with pytest.raises(UsageError, match="made in Python with its own scorer"):
        promptclimb.predict(images, run_dir=tmp_path / "python")


def test_the_function_yields_images_as_they_are_read(home: Path, images: Path) -> None:
    """Its errors come at the call, in the words of Python."""
    predicted = list(promptclimb.predict(images, run_dir=home / "run", top=2))
    assert [len(image.classes) for image in predicted] == [2, 2, 2, 2, 0, 2]
    assert [image.file for image in predicted if image.error] == ["torn.jpg"]
    mine = promptclimb.load(home / "run").save("mine.safetensors")
    assert list(promptclimb.predict(images, run_dir=mine, top=2)) == predicted
    with pytest.raises(UsageError, match=r"mine\.safetensors is one classifier: leave out only and class_"):
        promptclimb.predict(images, run_dir=mine, only=TEXTS)
    with pytest.raises(UsageError, match=r"result\.json holds no classifier of this program"):
        promptclimb.predict(images, run_dir=home / "run" / "result.json")
    with pytest.raises(UsageError, match="give run_dir, or templates"):
        promptclimb.predict(images)
    with pytest.raises(UsageError, match="`only = ensemble`: it takes best or texts"):
        promptclimb.predict(images, run_dir=home / "run", only="ensemble")


def test_class_names_are_checked_alike_in_a_file_and_in_python(
    home: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal ones and empty ones, with a run and with templates; Python takes no single text either."""
    model = {"model": "tiny-clip", "pretrained": str(home / "clip.safetensors")}
    options = [part for name, value in model.items() for part in (f"--{name}", value)]
    own = {"templates": ["a {}"], "spec": EvaluatorSpec(**model)}
    Path("t.txt").write_text("a {}\n")
    for names, says in (
        (["cat", "cat", "cat"], "the class name 'cat' stands for 3 classes (labels 0, 1, 2); a text cannot"),
        (["cat", "", "dog"], "the class name '' is empty"),
        (["cat"], "at least two different class names are needed"),
    ):
        Path("names.txt").write_text("\n".join(names))
        for arguments in (["--run", home / "run"], ["--templates", "t.txt", *options]):
            assert call("predict", images, *arguments, "--class-names", "names.txt") == 2
            assert says in capsys.readouterr().err
        for given in ({"run_dir": home / "run"}, own):
            with pytest.raises(UsageError, match=re.escape(says)):
                promptclimb.predict(images, class_names=names, **given)  # type: ignore[arg-type]
    wrong: Any
    for wrong in ("cat", ["cat", 3], {"cat": "dog"}, {"cat", "dog"}, 5):
        with pytest.raises(UsageError, match="class_names must be a list of texts"):
            promptclimb.predict(images, class_names=wrong, run_dir=home / "run")
    named, listed = (
        [*promptclimb.predict(images, class_names=names, **own)]  # type: ignore[arg-type]
        for names in ((name for name in ("cat", "dog")), ["cat", "dog"])
    )
    assert named == listed


@pytest.mark.parametrize("top", [0, -1, 1.5, "2", None, True])
def test_a_number_of_classes_is_checked_in_python_too(home: Path, images: Path, top: Any) -> None:
    """As by the command, and before anything is opened."""
    with pytest.raises(UsageError, match="top must be a whole number above 0, not "):
        promptclimb.predict(images, run_dir=home / "run", top=top)


def test_a_folder_that_cannot_be_read_is_passed_over(
    home: Path, images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, and the images elsewhere are classified."""
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "er":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    with monkeypatch.context() as refusing:
        refusing.setattr(os, "scandir", refuse)
        assert call("predict", images, "--run", home / "run") == 0
    out, err = capsys.readouterr()
    assert len(rows_of(out)) == 5
    assert "skipped: the folder" in err


def test_images_that_the_run_was_chosen_by_are_counted(
    home: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that the sample drew, wherever they lie in the folder; a folder of other images has none."""
    note = " among the labelled ones of the run: how well it classifies them says nothing about new images\n"
    for folder, count in (("pictures", 12 + 6), ("pictures/train", 12), ("pictures/test", 0)):
        assert call("predict", home / folder, "--run", home / "run") == 0
        err = capsys.readouterr().err
        assert f"note: {count} images are{note}" in err if count else "labelled ones" not in err
    assert call("predict", images, "--run", home / "run") == 0
    assert "labelled ones" not in capsys.readouterr().err
    promptclimb.load(home / "run").save("mine.safetensors")  # which does not know them
    assert call("predict", home / "pictures", "--run", "mine.safetensors") == 0
    assert "labelled ones" not in capsys.readouterr().err


def test_other_weights_than_the_runs_are_refused(
    home: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recommended vectors are for the run's own; texts are computed anew, which is noted."""
    import safetensors.torch

    other = safetensors.torch.load_file(home / "clip.safetensors")
    name = next(iter(other))
    safetensors.torch.save_file({**other, name: other[name] + 0.5}, "other.safetensors")
    predicted = ("predict", images, "--run", home / "run", "--pretrained", "other.safetensors")
    assert call(*predicted, "--out", "p.csv") == 2
    assert "has other weights than those that the classifier was made for" in capsys.readouterr().err
    assert call(*predicted) == 2
    assert capsys.readouterr().out == ""  # nor the names of the columns
    assert not list(Path().glob("p.csv*"))
    assert call(*predicted, "--only", "texts") == 0
    assert f"has other weights than those that {home / 'run'} used" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ("a", "b", "c")},
        {"form": "texts"},
        {"templates": ("a drawing of a {}",)},
        {"fingerprint": "of other shots"},
    ],
)
def test_the_classifier_of_another_run_is_not_used_for_this_one(
    home: Path, images: Path, change: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """It would name other classes without a word, and be exported with this run's figures."""
    shutil.copytree(home / "run", "run")
    own = Classifier.load(home / "run" / CLASSIFIER)
    assert change.items() - own.about.model_dump().items()
    replace(own, about=own.about.model_copy(update=change)).save(Path("run") / CLASSIFIER)
    for command in (("predict", images, "--run", "run"), ("export", "run", "--format", "safetensors")):
        assert call(*command) == 2
        assert f"{CLASSIFIER} is not the classifier of this run" in capsys.readouterr().err
    with pytest.raises(UsageError, match="is not the classifier of this run"):
        promptclimb.load("run")


def test_odd_images_are_classified_and_said_once(
    home: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a folder of classes: animations, by their first frame, and tiny images."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for name in ("1.gif", "2.gif"):
        frames[0].save(images / name, save_all=True, append_images=frames[1:])
    Image.new("RGB", (1, 1)).save(images / "a.png")
    assert call("predict", images, "--run", home / "run") == 0
    out, err = capsys.readouterr()
    assert {"1.gif", "2.gif", "a.png"} <= {row["file"] for row in rows_of(out) if row["class"]}
    assert err.count("note: 2 images have several frames, of which the first is read, such as ") == 1
    assert f"note: 1 image has a side of fewer than 4 pixels, such as {images}/a.png\n" in err


def test_a_classifiers_file_is_for_its_own_model(
    home: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is used without the run; another model is refused, and one that may run code is to be named."""
    shutil.copy(home / "run" / CLASSIFIER, "mine.st")
    assert call("predict", images, "--run", home / "run") == 0
    expected = capsys.readouterr().out
    assert call("predict", images, "--run", "mine.st", "--device", "cpu") == 0
    assert capsys.readouterr().out == expected
    for more in (["--model", "RN-pico"], ["--only", "best"], ["--class-names", "names.txt"]):
        assert call("predict", images, "--run", "mine.st", *more) == 2
        assert "mine.st is one classifier of one model: leave out --only, " in capsys.readouterr().err
    saved = Classifier.load(Path("mine.st"))
    about = saved.about.model_copy(update={"model": "hf-hub:someone/model"})
    replace(saved, about=about).save("code.st")
    assert call("predict", images, "--run", "code.st") == 2
    assert "use load(..., trust=True), or give --model too\n" in capsys.readouterr().err
    assert call("predict", images, "--run", home / "run" / "result.json") == 2
    assert "result.json holds no classifier" in capsys.readouterr().err


def test_only_a_window_of_images_is_read_ahead(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: memory stays flat."""
    taken = itertools.count()
    image = home / "pictures" / "test" / "cat" / "0.png"

    def without_end() -> Any:
        while True:
            next(taken)
            yield image

    seen: list[ImageEncoder] = []
    batches = ImageEncoder.batches

    def remembered(self: ImageEncoder, _paths: Any) -> Any:
        seen.append(self)
        return batches(self, without_end())

    monkeypatch.setattr(ImageEncoder, "batches", remembered)
    predicted = promptclimb.predict(image.parent, run_dir=home / "run")
    assert len(list(itertools.islice(predicted, 40))) == 40
    assert next(taken) <= 40 + 2 * max(2 * seen[0].workers, seen[0].batch)
