"""The exported files in the hands of the tools that they are for: open_clip and CLIP_benchmark."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torchvision.datasets import ImageFolder

from promptclimb.agent.api import search_sync
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.results.exports import export
from promptclimb.agent.results.result import SearchResult
from promptclimb.agent.results.run_dir import CLASSIFIER, read_result, write_result
from tests.agent.results.test_exports import with_templates
from tests.fakes.tiny_clip import local_dir
from tests.paths import ROOT

pytestmark = pytest.mark.slow

TEMPLATES = ("a photo of a {}.", "{} from above, {} all over", "{}")
CLASSES = {"coarse_noise": 4, "fine noise": 16, "{flat} 100%": 1}


def draw(folder: Path) -> None:
    """Noise of three grains, 12 train, 4 val and 40 test images a class."""
    rng = np.random.default_rng(7)
    for name, grains in CLASSES.items():
        for part, count in (("train", 12), ("val", 4), ("test", 40)):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (grains, grains, 3), dtype=np.uint8)
                image = Image.fromarray(pixels).resize((48, 40), Image.Resampling.NEAREST)
                image.save(folder / part / name / f"{number:02d}.png")


class Home:
    """A finished run, its data and its model as open_clip alone loads it."""

    def __init__(self, folder: Path) -> None:
        draw(folder / "photos")
        local_dir(folder / "my-clip")
        self.data, self.run, self.name = folder / "photos", folder / "run", f"local-dir:{folder / 'my-clip'}"
        config = SearchConfig(
            data=str(self.data), model=self.name, pretrained="own", method="random", shots=4, restarts=1,
            rounds=2, initial=4, run_dir=self.run, device="cpu",
        )  # fmt: skip
        search_sync(config)
        self.model, _, self.preprocess = open_clip.create_model_and_transforms(self.name)
        self.model.eval()
        self.tokenizer = open_clip.get_tokenizer(self.name)
        self.images = ImageFolder(str(self.data / "test"), self.preprocess)
        self.result = self._with_slots()

    def _with_slots(self) -> SearchResult:
        """The run's result with templates of one and of two slots, scored as the run would have."""
        from promptclimb.agent.results.run_dir import stored_config
        from promptclimb.evaluator.open import open_evaluator

        result = with_templates(read_result(self.run), *TEMPLATES)
        evaluator = open_evaluator(stored_config(self.run))
        (scores,) = evaluator.examine([TEMPLATES])
        together = {"train": scores.train, "val": scores.val, "test": scores.test}
        document = result.to_json()
        document["texts"].update(together)
        document["recommended"]["test"] = scores.test
        changed = SearchResult.from_json(document)
        write_result(self.run, changed)
        (self.run / CLASSIFIER).unlink()  # it is that of the texts before
        return changed

    def loader(self) -> torch.utils.data.DataLoader[Any]:
        """The test images in batches."""
        return torch.utils.data.DataLoader(self.images, batch_size=16)

    def accuracy(self, weights: torch.Tensor) -> float:
        """Accuracy on the test images by [dimensions, classes]."""
        hits = 0
        with torch.inference_mode():
            for images, labels in self.loader():
                features = self.model.encode_image(images, normalize=True)
                hits += int(((features @ weights).argmax(dim=1) == labels).sum())
        return hits / len(self.images)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """One run for all formats."""
    return Home(tmp_path_factory.mktemp("home"))


def names(home: Home) -> list[str]:
    return [name.replace("_", " ") for name in home.images.classes]


def test_open_clip_builds_the_same_classifier(home: Home) -> None:
    """From the exported templates: the exported matrix, and the accuracy of the result to the last image."""
    templates = json.loads(export(home.run, "open-clip").read_text("utf-8"))
    weights = open_clip.build_zero_shot_classifier(home.model, home.tokenizer, names(home), templates)
    assert home.accuracy(weights) == home.result.texts.test
    with safe_open(export(home.run, "safetensors"), framework="pt") as file:
        rows, metadata = file.get_tensor("classifier"), file.metadata()
    torch.testing.assert_close(rows, weights.T, atol=1e-5, rtol=0)
    assert json.loads(metadata["classes"]) == json.loads(metadata["names_in_texts"]) == names(home)
    assert json.loads(metadata["templates"]) == list(TEMPLATES)
    assert metadata["model"] == home.name
    assert metadata["fingerprint"]
    assert home.accuracy(rows.T) == home.result.texts.test


def benchmark(home: Home, loader: Any, templates: Any) -> float:
    """The accuracy of CLIP_benchmark's decisions; its own sum of them does not run under numpy 2.4."""
    zero_shot = pytest.importorskip("clip_benchmark.metrics.zeroshot_classification")
    weights = zero_shot.zero_shot_classifier(
        home.model, home.tokenizer, names(home), templates, "cpu", amp=False
    )
    logits, labels = zero_shot.run_classification(home.model, weights, loader, "cpu", amp=False)
    assert len(labels) == len(home.images)
    return int((logits.argmax(dim=1) == labels).sum()) / len(labels)


@pytest.mark.parametrize("form", ["clip-benchmark", "cupl"])
def test_clip_benchmark_gets_our_accuracy(home: Home, form: str) -> None:
    """To the last image, from its list of templates and from prompts by class."""
    templates = json.loads(export(home.run, form).read_text("utf-8"))
    assert benchmark(home, home.loader(), templates) == home.result.texts.test


PIECES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "exports.md").read_text("utf-8"), re.DOTALL)
HERE = {
    '"ViT-B-32", "laion2b_s34b_b79k"': '"local-dir:my-clip", None',
    "path/to/test": "photos/test",
    "runs/mine": "run",
}
"""What the page calls the model, images and run, and what they are here."""


def run_pieces(pieces: Sequence[str], classes: Sequence[str]) -> list[float]:
    """Run code of docs/exports.md piece by piece; its predictions have the user's own class names."""
    accuracies = []
    values: dict[str, Any] = {}
    for piece in pieces:
        values.pop("accuracy", None)
        values.pop("predictions", None)
        for shown, here in HERE.items():
            piece = piece.replace(shown, here)
        exec(compile(piece, "docs/exports.md", "exec"), values)
        assert {*values["predictions"]} <= {*classes}
        truth = [classes[label] for label in values["images"].targets]
        right = sum(map(str.__eq__, values["predictions"], truth))
        assert values["accuracy"] == pytest.approx(right / len(truth), abs=1e-12)
        accuracies.append(values["accuracy"])
    return accuracies


def test_the_code_of_the_documentation_runs(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every piece of docs/exports.md, one after the other, gets the accuracy of the run."""
    monkeypatch.chdir(home.data.parent)
    assert run_pieces(PIECES, names(home)) == pytest.approx([home.result.texts.test] * 2, abs=1e-12)


def test_the_code_of_the_documentation_predicts_own_classes_by_new_names(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The texts have the new names, which decide otherwise here; predictions are the folder's names."""
    monkeypatch.chdir(home.data.parent)
    new = {"coarse noise": "large squares", "{flat} 100%": "one colour"}
    best = replace(home.result.best, template=TEMPLATES[0], class_names=new)
    try:
        (template,) = best.templates
        texts = replace(home.result.texts, templates=(template,))
        write_result(home.run, replace(home.result, best=best, texts=texts))
        renames = [new.get(name, name) for name in names(home)]
        weights = open_clip.build_zero_shot_classifier(home.model, home.tokenizer, renames, [template])
        renamed = home.accuracy(weights)
        classifier_piece, open_clip_piece = run_pieces(PIECES, names(home))
        assert classifier_piece == pytest.approx(renamed, abs=1e-12)
        assert open_clip_piece != renamed
    finally:
        write_result(home.run, home.result)
