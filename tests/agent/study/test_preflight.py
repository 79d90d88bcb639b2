"""What is known before the first run of a study: validation images, room for vectors, checkpoints."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.results.run_dir import write_result
from promptclimb.agent.store.run import Store
from promptclimb.agent.study import preflight
from promptclimb.agent.study.preflight import check_cells
from promptclimb.evaluator.errors import DataError, ModelError, UsageError
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.evaluator.white_box.running import Planned, check_model
from tests.fakes.small_result import small_result
from tests.fakes.study_outcomes import cells, study
from tests.fakes.suite_files import pictures

LONG = " ".join(["a photo of a"] * 30)
EMPTY = {"model": "RN-pico", "pretrained": "no.pt", "name": "b"}
REFUSED: dict[str, tuple[dict[str, Any], type[UsageError], str]] = {
    "no validation images": (
        {"methods": ["random", "linear-probe"]},
        DataError,
        "study.toml: linear-probe chooses on validation images, and halves has none",
    ),
    "too many vectors": (
        {"methods": ["random", {"method": "coop", "context": 100}]},
        ModelError,
        "study.toml: model RN-pico: 100 learned vectors make a class text of",
    ),
    "too many words": (
        {"methods": [{"method": "coop", "init": LONG}]},
        ModelError,
        "study.toml: model RN-pico: the context cannot begin as",
    ),
    "empty checkpoint": (
        {"methods": ["random"], "models": ["RN-pico", EMPTY]},
        ModelError,
        "study.toml: model b: the checkpoint",
    ),
}


@pytest.fixture(autouse=True)
def halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set of training and test images alone, and a checkpoint with nothing in it."""
    monkeypatch.chdir(tmp_path)
    for split in ("train", "test"):
        pictures(tmp_path / "halves" / split)
    Path("no.pt").touch()


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_fitted_or_loaded_is_reported(what: str, tmp_path: Path) -> None:
    """In one line with the file, before a folder is made."""
    more, kind, problem = REFUSED[what]
    tables = {"data": ["halves"], "shots": [2], "seeds": [1], **more}
    runs = cells(study(**tables), tmp_path / "r", allow_leak=True)
    with pytest.raises(kind) as caught:
        check_cells(runs, Path("study.toml"))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "r").exists()


def test_what_fits_passes_and_each_model_is_loaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """References that choose on nothing, whatever their number; what is waiting is given back."""
    looked: list[tuple[str, list[str]]] = []

    def check(spec: EvaluatorSpec, planned: list[Planned], **more: Any) -> None:
        looked.append((spec.model, [fit.name for fit in planned]))
        check_model(spec, planned, **more)

    monkeypatch.setattr(preflight, "check_model", check)
    methods = ["random", "coop", "tip-adapter", {"method": "linear-probe", "c": 1.0}]
    tables = {"data": ["halves"], "shots": [1, 2], "seeds": [1], "methods": methods}
    runs = cells(study(**tables), tmp_path / "r", allow_leak=True)
    assert check_cells(runs, Path("study.toml")) == runs
    assert looked == [("RN-pico", ["coop", "tip-adapter", "linear-probe"] * 2)]


def test_what_is_finished_is_not_checked_again(tmp_path: Path) -> None:
    """A data set may be gone by the time its figures are asked for."""
    tables = {"data": ["halves"], "shots": [2], "seeds": [1], "methods": ["random"]}
    (cell,) = cells(study(**tables), tmp_path / "r", allow_leak=True)
    config = cell.config
    with Store.create(cell.run_dir, {"identity": config.identity(), "config": config.to_public()}):
        write_result(cell.run_dir, small_result(status="finished"))
    shutil.rmtree(tmp_path / "halves")
    assert check_cells([cell]) == []
    with pytest.raises(DataError):
        check_cells([replace(cell, run_dir=tmp_path / "new")])
