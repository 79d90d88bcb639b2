"""Longer proofs: every bundled set against open_clip alone, and the memory that a large data set takes."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from PIL import Image

from promptclimb.evaluator.datasets.readers.bundled import TITLES
from promptclimb.evaluator.datasets.values import Item
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.pico.models import bundled_models
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.data_sets import load
from tests.paths import ROOT

ENSEMBLE = ["a photo of a {}", "a {}", "a drawing of the {}"]
pytestmark = pytest.mark.slow


def open_clips_features(model: Any, preprocess: Any, items: tuple[Item, ...]) -> torch.Tensor:
    """Image features as a plain script on open_clip has them."""
    features = []
    for start in range(0, len(items), 100):
        pictures = [preprocess(Image.open(item.path).convert("RGB")) for item in items[start : start + 100]]
        with torch.no_grad():
            features.append(model.encode_image(torch.stack(pictures), normalize=True))
    return torch.cat(features)


TURNS = list(zip(itertools.cycle(bundled_models()[:2]), [*TITLES, "digits", "digits"], strict=False))
"""The sets, each under one of the two models: what could differ is the tower and the text."""


@pytest.mark.usefixtures("small_sets")
@pytest.mark.parametrize(
    ("bundled", "name"), TURNS, ids=lambda value: value if isinstance(value, str) else value["name"]
)
def test_accuracies_on_bundled_sets_are_open_clips_own(
    bundled: dict[str, str], name: str, tmp_path: Path
) -> None:
    """In turn, single templates and an ensemble get open_clip's accuracy to the last image."""
    if bundled["name"] not in open_clip.list_models():
        open_clip.add_model_config(bundled["config"])
    model, _, preprocess = open_clip.create_model_and_transforms(bundled["name"], pretrained=bundled["file"])
    model.eval()
    data = load(name)
    items = data.test.open()
    features = open_clips_features(model, preprocess, items)
    labels = torch.tensor([item.label for item in items])
    spec = EvaluatorSpec(
        data=name, model=bundled["name"], pretrained="pico", device="cpu", shots=1, augmentations=0,
        cache_dir=tmp_path,
    )  # fmt: skip
    ours = open_evaluator(spec)
    ensembles = [[template] for template in ENSEMBLE] + [ENSEMBLE]
    for ensemble, scores in zip(ensembles, ours.examine(ensembles), strict=True):
        weights = open_clip.build_zero_shot_classifier(
            model, open_clip.get_tokenizer(bundled["name"]), data.classes, ensemble
        )
        decisions = (100.0 * features @ weights).argmax(dim=1)
        assert scores.test == int((decisions == labels).sum()) / len(labels)


def test_a_large_data_set_stays_within_two_gibibytes() -> None:
    """50,000 images of 1,000 classes under several classifiers need less than 2 GiB altogether."""
    code = """
import json, resource, torch
from promptclimb.evaluator.clip.zero_shot import Labelled, correct, decide, grey_box
features = torch.nn.functional.normalize(torch.randn(50_000, 512), dim=-1)
split = Labelled(features, torch.arange(50_000) % 1000, 1000)
hits = []
for _ in range(3):
    weights = torch.nn.functional.normalize(torch.randn(1000, 512), dim=-1)
    hits.append(correct(decide(split, weights), split))
    grey_box(split, weights, 100.0)
print(json.dumps([hits, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    hits, gibibytes = json.loads(done.stdout)
    assert gibibytes < 2
    assert all(0 < count < 500 for count in hits)
