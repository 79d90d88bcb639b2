"""A whole search on every form of data, from the command line to the exported file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from promptclimb.agent.cli.main import main
from tests.evaluator.datasets.readers.test_foreign_forms import hugging_face_splits, write_idx
from tests.fakes.tiny_clip import local_dir

pytestmark = pytest.mark.slow

Arguments = list[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP with random weights."""
    return local_dir(tmp_path_factory.mktemp("model"))


def pictures(folder: Path, classes: tuple[str, ...] = ("snow leopard", "cat"), count: int = 10) -> list[Path]:
    """Class folders of different pictures."""
    found = []
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            rng = np.random.default_rng([label, number, len(str(folder))])
            path = folder / name / f"{folder.name}{number}.png"
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
            found.append(path)
    return found


def flat(folder: Path) -> Arguments:
    """DIR/CLASS/*.png."""
    pictures(folder / "pets")
    return ["--data", str(folder / "pets")]


def three_splits(folder: Path) -> Arguments:
    """DIR/{train,val,test}/CLASS/*.png."""
    for part in ("train", "val", "testing"):
        pictures(folder / "pets" / part)
    (folder / "pets" / "testing").rename(folder / "pets" / "test")
    return ["--data", str(folder / "pets")]


def table(folder: Path, suffix: str) -> Arguments:
    """A table without splits."""
    rows = [(str(path.relative_to(folder)), path.parent.name) for path in pictures(folder / "pets")]
    if suffix == "csv":
        lines = ["path,label", *(",".join(row) for row in rows)]
    else:
        lines = [json.dumps({"path": path, "label": label}) for path, label in rows]
    (folder / f"pets.{suffix}").write_text("\n".join(lines), "utf-8")
    return ["--data", str(folder / f"pets.{suffix}")]


def coop(folder: Path) -> Arguments:
    """One of the eleven under a data root."""
    images = folder / "DATA" / "eurosat" / "2750"
    paths = pictures(images, ("Forest", "SeaLake"), 12)
    split: dict[str, list[list[object]]] = {"train": [], "val": [], "test": []}
    for number, path in enumerate(paths):
        label = ("Forest", "SeaLake").index(path.parent.name)
        entry: list[object] = [str(path.relative_to(images)), label, ("Forest", "Sea or Lake")[label]]
        split[("train", "val", "test")[number % 3]].append(entry)
    (images.parent / "split_zhou_EuroSAT.json").write_text(json.dumps(split), "utf-8")
    return ["--data", "eurosat", "--data-root", str(folder / "DATA")]


def hugging_face(folder: Path) -> Arguments:
    """What save_to_disk writes."""
    hugging_face_splits().save_to_disk(str(folder / "planes"))
    return ["--data", f"hf:{folder / 'planes'}"]


def torchvision(folder: Path) -> Arguments:
    """MNIST's files."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 40), ("t10k", 20)):
        raw = folder / "MNIST" / "raw"
        write_idx(raw, f"{part}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        write_idx(raw, f"{part}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10)
    return ["--data", "torchvision:MNIST", "--data-root", str(folder)]


FORMS: dict[str, Callable[[Path], Arguments]] = {
    "flat folder": flat,
    "three splits": three_splits,
    "csv": lambda folder: table(folder, "csv"),
    "jsonl": lambda folder: table(folder, "jsonl"),
    "coop": coop,
    "hugging face": hugging_face,
    "torchvision": torchvision,
    "digits": lambda _folder: ["--data", "digits"],
}


@pytest.mark.parametrize("form", list(FORMS))
def test_a_search_runs_through(
    form: str,
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 0, a result with test accuracy, class names as documented, and prompts to export."""
    monkeypatch.setattr(sys, "argv", ["run_agent.py"])
    monkeypatch.chdir(tmp_path)
    arguments = [
        *FORMS[form](tmp_path),
        *("--model", f"local-dir:{model}", "--method", "random", "--shots", "2", "--device", "cpu"),
        *("--initial", "4", "--restarts", "1", "--run-dir", str(tmp_path / "run"), "--json"),
    ]
    assert main(["search", *arguments]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["status"] == "finished"
    assert 0 <= result["best"]["test"] <= 1
    assert (result["best"]["val"] is None) == (result["dataset"]["sizes"]["val"] == 0)
    assert main(["export", str(tmp_path / "run"), "--format", "cupl"]) == 0
    prompts = json.loads(Path(capsys.readouterr().out.strip()).read_text("utf-8"))
    assert len(prompts) == result["dataset"]["classes"]
    assert not any("_" in name for name in prompts)
