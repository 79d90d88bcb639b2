"""A classifier in one file: what it holds, what it refuses, and that it decides as it was evaluated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import promptclimb
from promptclimb import Classifier
from promptclimb.agent.errors import UntrustedRunError
from promptclimb.evaluator.classifier import CHECK, KEYS, TENSOR, VALUES, About
from promptclimb.evaluator.errors import DataError, ModelError, UsageError
from promptclimb.evaluator.head import Head, Likeness
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.scoring import FeatureEvaluator
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.few_shots import pictures

ABOUT = About(
    classes=("cat", "dog"), names_in_texts=("cat", "a loyal animal"), templates=("a {}",), form="texts",
    model="ViT-B-32", pretrained="openai", weights="abc", scale=100.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> EvaluatorSpec:
    return pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def learned(spec: EvaluatorSpec) -> tuple[Classifier, FeatureEvaluator]:
    """A classifier that learned from the images of a tiny CLIP, and its evaluator."""
    evaluator = open_evaluator(spec)
    assert isinstance(evaluator, FeatureEvaluator)
    vectors = evaluator.classifier(["a {}"])
    assert isinstance(vectors, np.ndarray)
    from_images = evaluator.learn(vectors)
    classifier = Classifier.of(
        evaluator,
        from_images.head,  # type: ignore[union-attr]
        scale=evaluator.logit_scale,
        form="with_images",
        templates=("a {}",),
        names_in_texts=evaluator.class_names,
    )
    return classifier, evaluator


def test_it_decides_as_it_was_evaluated_and_so_does_the_file(
    learned: tuple[Classifier, FeatureEvaluator], spec: EvaluatorSpec, tmp_path: Path
) -> None:
    """Image by image on the test images, from the file alone."""
    classifier, evaluator = learned
    evaluated = evaluator.decide([classifier.head], split="test")
    data = promptclimb.load_data(spec)
    paths = [item.path for item in data.test.open()]
    loaded = promptclimb.load(classifier.save(tmp_path / "mine.safetensors"))
    names = loaded.predict(paths)
    assert names == [classifier.class_names[label] for label in evaluated.predicted[0]]  # type: ignore[union-attr]
    shares = loaded.predict_proba(map(str, paths))
    assert shares.shape == (len(paths), len(classifier.class_names))
    assert shares.sum(axis=1) == pytest.approx(1)
    assert [loaded.class_names[label] for label in shares.argmax(axis=1)] == names
    assert loaded.about == classifier.about
    assert loaded.to_bytes() == classifier.to_bytes()


def test_likeness_to_images_decides_as_it_was_evaluated_and_so_does_the_file(
    learned: tuple[Classifier, FeatureEvaluator], spec: EvaluatorSpec, tmp_path: Path
) -> None:
    """Image by image; the class vectors alone decide otherwise."""
    classifier, evaluator = learned
    generator, (classes, dimensions) = np.random.default_rng(1), classifier.head.vectors.shape
    keys = generator.standard_normal((5, dimensions)).astype(np.float32)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    likeness = Likeness(keys, generator.standard_normal((5, classes)).astype(np.float32), 2.0)
    about = classifier.about.model_copy(update={"sharpness": 2.0})
    head = Head(classifier.head.vectors, likeness)
    loaded = promptclimb.load(Classifier(head, about).save(tmp_path / "mine.safetensors"))
    evaluated = evaluator.decide([head, classifier.head], split="test")
    paths = [item.path for item in promptclimb.load_data(spec).test.open()]
    decided = [loaded.class_names.index(name) for name in loaded.predict(paths)]
    assert (*decided,) == evaluated.predicted[0]  # type: ignore[union-attr]
    assert evaluated.predicted[0] != evaluated.predicted[1]  # type: ignore[union-attr]


def test_open_images_and_arrays_are_classified_as_their_files(
    learned: tuple[Classifier, FeatureEvaluator], spec: EvaluatorSpec
) -> None:
    """Mixed, and each as often as it comes; anything else is refused."""
    classifier, _ = learned
    paths = [item.path for item in promptclimb.load_data(spec).test.open()][::6]
    images: list[Any] = [*map(Image.open, paths), *(np.asarray(Image.open(path)) for path in paths), *paths]
    images += images[:1]
    rows = classifier.predict_proba(images)
    count = len(paths)
    # Where an image stands in a batch changes the last digits on some processors.
    alike = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    alike(rows[:count], rows[2 * count : 3 * count])
    alike(rows[count : 2 * count], rows[:count])
    alike(rows[-1], rows[0])
    for wrong in (np.zeros((3, 8, 8), np.uint8), np.zeros((8, 8, 3))):
        with pytest.raises(UsageError, match=r"an array of uint8 \[height, width, 3\], not \w+ \[\d, 8, "):
            classifier.predict([wrong])
    with pytest.raises(UsageError, match="without pixels"):
        classifier.predict([Image.new("RGB", (0, 5))])


def test_no_image_no_prediction(learned: tuple[Classifier, FeatureEvaluator]) -> None:
    """An empty list is no error."""
    classifier, _ = learned
    assert classifier.predict([]) == []
    assert classifier.predict_proba([]).shape == (0, len(classifier.class_names))


def test_an_image_that_cannot_be_read_is_named(
    learned: tuple[Classifier, FeatureEvaluator], tmp_path: Path
) -> None:
    """Torn and missing files; a single path is a slip."""
    classifier, _ = learned
    (tmp_path / "torn.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(DataError, match=r"torn\.png"):
        classifier.predict([tmp_path / "torn.png"])
    with pytest.raises(DataError, match=r"missing\.png"):
        classifier.predict([tmp_path / "missing.png"])
    with pytest.raises(UsageError, match="give a list"):
        classifier.predict("torn.png")
    fine, nan = np.zeros((8, 8, 3), np.uint8), Image.fromarray(np.full((8, 8), np.nan, np.float32))
    with pytest.raises(DataError, match=r"^images\[1\]: .* \(64 of 64 values are NaN or infinite\)"):
        classifier.predict([fine, nan])
    with pytest.raises(UsageError, match=r"^images\[2\]: .* not float64 \[8, 8, 3\]"):
        classifier.predict([fine, fine, np.full((8, 8, 3), np.nan)])
    wrong: Any
    for wrong, says in ((None, "give a list"), ([3], "not int")):
        with pytest.raises(UsageError, match=says):
            classifier.predict(wrong)
    assert len(repr(classifier)) < 200


def edited(tmp_path: Path, tensor: Any, others: Mapping[str, Any] | None = None, **changes: Any) -> Path:
    """Writes a file by other means than the program's."""
    about = {**ABOUT.model_dump(mode="json"), **changes}
    metadata = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in about.items()
        if value is not None
    }
    save_file({TENSOR: tensor, **(others or {})}, tmp_path / "edited.safetensors", metadata=metadata)
    return tmp_path / "edited.safetensors"


VECTORS = np.eye(2, 8, dtype=np.float32)


@pytest.mark.parametrize(
    ("tensor", "changes", "says"),
    [
        (VECTORS, {"classes": ["cat"]}, "classes"),
        (VECTORS, {"classes": ["cat", "cat"]}, "all its classes are called 'cat'"),
        (VECTORS, {"templates": []}, "templates"),
        (VECTORS, {"classes": ["cat", "dog", "cow"]}, "2 vectors and 3 class names"),
        (VECTORS, {"scale": -1.0}, "scale"),
        (VECTORS, {"scale": 1e300}, "scale"),
        (VECTORS, {"scale": "much"}, "program: scale: Expecting value"),
        (VECTORS, {"sharpness": "soft"}, "program: sharpness: Expecting value"),
        (VECTORS, {"images": ""}, "program: images: Expecting value"),
        (VECTORS, {"images": "NaN"}, "program: images: "),
        (VECTORS, {"form": "foo"}, "program: form: Input should be 'template', 'texts' or 'with_images'"),
        (VECTORS[:, :0], {}, "no number but 0"),
        (VECTORS.astype(np.float16), {}, "no numbers"),
        (VECTORS, {"model": None}, "model"),
        (VECTORS, {"model": "m" * 5000}, "model: String should have at most 4000 characters"),
        (VECTORS, {"pretrained": "p" * 5000}, "pretrained: String should have at most 4000 characters"),
        (VECTORS, {"model": "RN-pico\x1b[31m"}, "control character"),
        (VECTORS, {"pretrained": "pico\x1b]0;owned\x07"}, "control character"),
        (VECTORS, {"classes": ["cat", "\x1b[31mdog"]}, "control character"),
        (VECTORS, {"names_in_texts": ["cat", "dog\n"]}, "control character"),
        (VECTORS, {"scorer_dialect": "smoke"}, "no form of embeddings 'smoke'"),
        (VECTORS * np.float32(1e38), {}, "beyond 1,000,000"),
        (VECTORS * np.float32([[1], [0]]), {}, "no number but 0"),
        (VECTORS * np.float32("nan"), {}, "no numbers"),
        (VECTORS.astype(np.float64), {}, "no numbers"),
        (VECTORS[0], {}, "no numbers"),
    ],
)
def test_an_edited_file_is_refused(
    tmp_path: Path, tensor: Any, changes: Mapping[str, Any], says: str
) -> None:
    """What is wrong is said."""
    with pytest.raises(UsageError, match=says):
        promptclimb.load(edited(tmp_path, tensor, **changes))


@pytest.mark.parametrize(
    ("others", "sharpness", "says"),
    [
        ({}, 1.0, "keys"),
        ({KEYS: VECTORS}, 1.0, "values"),
        ({KEYS: VECTORS, VALUES: VECTORS}, 1.0, "of another classifier"),
        ({KEYS: VECTORS[:, :3], VALUES: VECTORS[:, :2]}, 1.0, "of another classifier"),
        ({KEYS: VECTORS, VALUES: VECTORS[:, :2] + np.float32("inf")}, 1.0, "no numbers"),
        ({KEYS: VECTORS, VALUES: VECTORS[:, :2] * np.float32(1e9)}, 1.0, "beyond 1,000,000"),
        ({KEYS: VECTORS[:0], VALUES: VECTORS[:0, :2]}, 1.0, "it has no labelled images"),
        ({KEYS: VECTORS, VALUES: np.eye(2, dtype=np.float32)}, 0.0, "how sharp"),
        ({KEYS: VECTORS, VALUES: np.eye(2, dtype=np.float32)}, None, "how sharp"),
    ],
)
def test_an_edited_likeness_is_refused(
    tmp_path: Path, others: Mapping[str, Any], sharpness: float | None, says: str
) -> None:
    """Labelled images without features, of another size, or without bounds."""
    with pytest.raises(UsageError, match=says):
        promptclimb.load(edited(tmp_path, VECTORS, others, sharpness=sharpness))


@pytest.mark.parametrize(
    "check", [VECTORS, VECTORS[0, :3], VECTORS[0] * 2, VECTORS[0] * np.float32("nan"), np.eye(8)[0]]
)
def test_an_edited_check_of_the_model_is_refused(tmp_path: Path, check: Any) -> None:
    """One of another size, length or kind; a right one comes back, and a file without one has none."""
    with pytest.raises(UsageError, match="by which its model is recognised"):
        promptclimb.load(edited(tmp_path, VECTORS, {CHECK: check}))
    made = Classifier(Head(VECTORS), ABOUT, check=VECTORS[1])
    assert np.array_equal(promptclimb.load(made.save(tmp_path / "a")).check, VECTORS[1])  # type: ignore[arg-type]
    assert promptclimb.load(edited(tmp_path, VECTORS)).check is None


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    """Another file, none, a folder without a run."""
    (tmp_path / "text.safetensors").write_text("hello")
    for path in (tmp_path / "text.safetensors", tmp_path / "missing", tmp_path):
        with pytest.raises(UsageError):
            promptclimb.load(path)


def test_what_would_fill_memory_is_refused(tmp_path: Path) -> None:
    """A file that promises more numbers than memory holds, and names that lie too deep in one another."""
    about = {"classifier": {"dtype": "F32", "shape": [2, 2**34], "data_offsets": [0, 2**37]}}
    header = json.dumps(about).encode()
    with (tmp_path / "vast.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(file.tell() + 2**37)  # sparse: it takes no room
    with pytest.raises(UsageError, match="more than 536,870,912 bytes"):
        promptclimb.load(tmp_path / "vast.safetensors")
    save_file({TENSOR: VECTORS}, tmp_path / "deep.safetensors", metadata={"classes": "[" * 100_000})
    with pytest.raises(UsageError, match="maximum recursion depth"):
        promptclimb.load(tmp_path / "deep.safetensors")


def test_a_file_whose_model_may_run_code_needs_trust(tmp_path: Path) -> None:
    """Somebody else may have written the file."""
    file = edited(tmp_path, VECTORS, model="hf-hub:someone/model")
    with pytest.raises(UntrustedRunError, match="may name code"):
        promptclimb.load(file)
    assert promptclimb.load(file, trust=True).about.model == "hf-hub:someone/model"


@pytest.mark.parametrize(
    ("pretrained", "says"),
    [
        ("../nowhere/weights", "there is no checkpoint file ../nowhere/weights"),
        ("p" * 3000, "longer than a path can be"),
    ],
)
def test_weights_that_a_received_file_names_are_said_to_be_its_own(
    tmp_path: Path, pretrained: str, says: str
) -> None:
    """The user gave no such path; a long one is shortened."""
    file = edited(tmp_path, VECTORS, pretrained=pretrained)
    with pytest.raises(ModelError) as error:
        promptclimb.load(file).predict([np.zeros((8, 8, 3), np.uint8)])
    assert error.value.message.startswith(f"{file} names the model 'ViT-B-32' with the weights ")
    assert says in error.value.message
    assert len(error.value.message) < 1000


def test_equal_classifiers_are_equal_files(tmp_path: Path) -> None:
    """However often one is written; a published list may give two classes one name."""
    names, vectors = ("crane", "crane", "cat"), np.eye(3, 8, dtype=np.float32)
    classifier = Classifier(Head(vectors), replace_about(classes=names, names_in_texts=names))
    loaded = promptclimb.load(classifier.save(tmp_path / "a"))
    assert len({each.to_bytes() for each in (classifier, loaded, *[classifier] * 9)}) == 1
    assert loaded.class_names == names


def test_a_model_with_other_weights_is_refused(
    learned: tuple[Classifier, FeatureEvaluator], spec: EvaluatorSpec
) -> None:
    """Its features are others, so every class could be wrong; weights that are not known are only noted."""
    classifier, _ = learned
    (image, *_) = [item.path for item in promptclimb.load_data(spec).train]
    other = replace(classifier, about=classifier.about.model_copy(update={"weights": "abc"}))
    with pytest.raises(ModelError, match="has other weights than those that the classifier was made for"):
        other.predict([image])
    lines: list[str] = []
    unknown = classifier.about.model_copy(update={"weights": ""})
    named = replace(classifier, about=unknown, report=lines.append).predict([image])
    assert named == classifier.predict([image])
    assert any("does not say which weights" in line for line in lines)


def replace_about(**changes: Any) -> About:
    return ABOUT.model_copy(update=changes)


def test_saving_replaces_no_folder(tmp_path: Path) -> None:
    """The path must be that of a file."""
    with pytest.raises(UsageError, match="a folder"):
        replace(Classifier(VECTORS, ABOUT)).save(tmp_path)


def test_a_name_with_the_ending_of_another_format_is_refused(tmp_path: Path) -> None:
    """Other programs would read the file as that; a name without an ending, or with a dot in it, is kept."""
    classifier = Classifier(Head(np.eye(2, dtype=np.float32)), ABOUT)
    with pytest.raises(UsageError, match=r"mine\.pt: \.pt is the ending of another format; .* \.safetensors"):
        classifier.save(tmp_path / "mine.pt")
    assert not [*tmp_path.iterdir()]
    (tmp_path / "mine.pt").write_bytes(b"PK what torch.save writes")
    with pytest.raises(UsageError, match=r"`evaluate` write one, as FILE\.safetensors"):
        Classifier.load(tmp_path / "mine.pt")
    for name in ("mine", "mine.v2", "mine.SAFETENSORS"):
        assert Classifier.load(classifier.save(tmp_path / name)).about == ABOUT
        assert (tmp_path / name).is_file()
