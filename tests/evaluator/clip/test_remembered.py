"""An opening is known to who asks the same again, without a model, for as long as all is as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from promptclimb.evaluator import files
from promptclimb.evaluator.clip import remembered
from promptclimb.evaluator.open import open_evaluator, opened_before
from promptclimb.evaluator.scoring import EvaluatorInfo
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.tiny_clip import save_weights
from tests.paths import ROOT

pytestmark = pytest.mark.skipif(os.name == "nt", reason="nothing is kept on Windows")

TEMPLATES = [f"a photo number {number} of a {{}}." for number in range(16)]


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EvaluatorSpec:
    """A small set and a small model, in files of their own that count as settled."""
    monkeypatch.setattr(files, "SETTLED_NS", 0)
    rng = np.random.default_rng(3)
    for split in ("train", "test"):
        for name in ("cat", "tree"):
            folder = tmp_path / "pictures" / split / name
            folder.mkdir(parents=True)
            for number in range(3):
                Image.fromarray(rng.integers(0, 255, (36, 36, 3), np.uint8)).save(folder / f"{number}.png")
    weights = save_weights("clip", tmp_path / "clip.safetensors")
    return EvaluatorSpec(
        data=str(tmp_path / "pictures"),
        model="tiny-clip",
        pretrained=str(weights),
        shots=2,
        views=2,
        device="cpu",
        cache_dir=tmp_path / "cache",
        image_batch=8,
    )


def opened(spec: EvaluatorSpec) -> EvaluatorInfo:
    """Open it, with its test images."""
    return open_evaluator(spec, look_ahead=True).info


def recalled(spec: EvaluatorSpec) -> EvaluatorInfo | None:
    """Return what is known of it."""
    found = opened_before(spec, report=lambda _line: None)
    return None if found is None else found.info


def test_what_an_opening_gave_is_known_without_torch(spec: EvaluatorSpec) -> None:
    """To another process, with the notes on the data; nothing is known before."""
    assert recalled(spec) is None
    info = opened(spec)
    asked = (
        "import sys; from promptclimb import EvaluatorSpec; from promptclimb.evaluator import files\n"
        "from promptclimb.evaluator.open import opened_before\n"
        f"files.SETTLED_NS = 0; spec = EvaluatorSpec.model_validate_json({spec.model_dump_json()!r})\n"
        "print(repr(found := opened_before(spec, report=print)))\n"
        "print(found is not None, sorted({'torch', 'open_clip', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    *notes, known, last = done.stdout.splitlines()
    assert last == "True []"
    assert repr(info) in known
    assert notes[0].startswith("there is no val split")
    assert notes[-1] == "data and model are unchanged since they were opened a moment ago"


def other_picture(spec: EvaluatorSpec) -> EvaluatorSpec:
    """A test image is another one."""
    Image.new("RGB", (36, 36), "red").save(Path(spec.data) / "test" / "cat" / "0.png")
    return spec


def other_label(spec: EvaluatorSpec) -> EvaluatorSpec:
    """A training image is of another class."""
    picture = Path(spec.data) / "train" / "cat" / "0.png"
    picture.rename(Path(spec.data) / "train" / "tree" / "9.png")
    return spec


def other_weights(spec: EvaluatorSpec) -> EvaluatorSpec:
    """The checkpoint was written anew."""
    weights = Path(str(spec.pretrained))
    weights.write_bytes(weights.read_bytes())
    return spec


def settings_beside(spec: EvaluatorSpec) -> EvaluatorSpec:
    """A file of settings has come to lie beside the checkpoint."""
    (Path(str(spec.pretrained)).parent / "open_clip_config.json").write_text("{}")
    return spec


def weights_beside(spec: EvaluatorSpec) -> EvaluatorSpec:
    """A checkpoint has come to lie beside the other, and may be preferred."""
    (Path(str(spec.pretrained)).parent / "open_clip_model.safetensors").write_bytes(b"")
    return spec


def other_seed(spec: EvaluatorSpec) -> EvaluatorSpec:
    """Another sample is asked for."""
    return spec.model_copy(update={"seed": 7})


def torn_file(spec: EvaluatorSpec) -> EvaluatorSpec:
    """What was kept is torn."""
    (kept,) = (spec.cache_dir or Path()).glob("openings/*.json")
    kept.write_text(kept.read_text()[:-9])
    return spec


def odd_file(spec: EvaluatorSpec) -> EvaluatorSpec:
    """What was kept is of another form."""
    (kept,) = (spec.cache_dir or Path()).glob("openings/*.json")
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "info": {"classes": "many"}}))
    return spec


def no_data(spec: EvaluatorSpec) -> EvaluatorSpec:
    """The data are gone."""
    Path(spec.data).rename(f"{spec.data}-moved")
    return spec


@pytest.mark.parametrize(
    "change",
    [
        other_picture,
        other_label,
        other_weights,
        settings_beside,
        weights_beside,
        other_seed,
        torn_file,
        odd_file,
        no_data,
    ],
)
def test_nothing_is_known_where_anything_has_changed(
    change: Callable[[EvaluatorSpec], EvaluatorSpec], spec: EvaluatorSpec
) -> None:
    """It is opened then, which says what is wrong."""
    info = opened(spec)
    assert recalled(spec) == info
    assert recalled(change(spec)) is None


@pytest.mark.parametrize("days", [-1, 8])
def test_an_opening_is_not_kept_for_ever(days: int, spec: EvaluatorSpec) -> None:
    """After some days it is looked at anew, and after a clock was put back."""
    opened(spec)
    now = time.time()
    assert remembered.recall(spec, lambda _line: None, now=lambda: now) is not None
    assert remembered.recall(spec, lambda _line: None, now=lambda: now + days * 86400) is None


def test_nothing_is_kept_of_what_is_not_known_for_sure(
    spec: EvaluatorSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Undecoded images say nothing; files just written may change within a tick."""
    open_evaluator(spec)
    assert recalled(spec) is None
    monkeypatch.setattr(files, "SETTLED_NS", 10**18)
    opened(spec)
    monkeypatch.setattr(files, "SETTLED_NS", 0)
    assert recalled(spec) is None
