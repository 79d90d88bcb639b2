"""The study on photographs, and the workflow's part of it, on archives and weights of the published forms."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import open_clip
import pytest
import tomli_w

from promptclimb.agent.cli.main import main
from tests.fakes.photograph_archives import ArchiveServer, serving_archives
from tests.fakes.serving import serving_chat
from tests.fakes.tiny_clip import config, save_weights, tiny
from tests.paths import ROOT

FILE = ROOT / "suites" / "photographs.toml"
STUDY = tomllib.loads(FILE.read_text("utf-8"))
FAMILIES = {"ViT-B-32": "clip", "RN50": "quickgelu"}
"""Tiny models in place of the published ones; RN50's weights were trained with QuickGELU."""


@pytest.fixture(autouse=True)
def archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None
) -> Iterator[ArchiveServer]:
    """The data sets at their addresses, and a cache of the test's own, which is empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with serving_archives(tmp_path / "archives", monkeypatch) as server:
        server.publish()
        yield server


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny weights where the hub's client puts the published ones, under models of their names."""
    for family in FAMILIES.values():
        tiny(family)  # a model that becomes known clears the others
    for entry in STUDY["models"]:
        model, tag = entry["model"], open_clip.get_pretrained_cfg(entry["model"], entry["pretrained"])
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, model, config(FAMILIES[model]))
        repository = tag["hf_hub"].strip("/").replace("/", "--")
        folder = tmp_path / "hub" / f"models--{repository}"
        (folder / "snapshots" / "abc").mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("abc")
        save_weights(FAMILIES[model], folder / "snapshots" / "abc" / "open_clip_model.safetensors")


def test_a_dry_run_names_what_is_not_here_and_fetches_nothing(
    archives: ArchiveServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In JSON and in a line, beside the bounds within the study's limits."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    assert main(["suite", str(FILE), "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    names = ["torchvision:EuroSAT", "ViT-B-32 (laion2b_s34b_b79k)", *STUDY["data"][1:], "RN50 (openai)"]
    assert document["downloads"] == names
    assert 0 < document["cost_usd"] <= STUDY["budget"]["max_cost"]
    assert main(["suite", str(FILE), "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert f"not here yet, and downloaded by the run: {', '.join(names[:4])} and {names[4]}\n" in text
    assert "limits: --max-cost 10\n" in text
    assert archives.asked == []


def small_study(base_url: str) -> str:
    """The study on one set, with one image a class, one seed and another LLM."""
    data = "torchvision:DTD"
    document: dict[str, Any] = {
        **STUDY,
        "data": [data],
        "describe": {data: STUDY["describe"][data]},
        "shots": [1],
        "seeds": [1],
        "llms": [{"llm": "m", "base_url": base_url, "price": "0/0"}],
        "search": {**STUDY["search"], "initial": 5, "rounds": 1},
    }
    Path("small.toml").write_text(tomli_w.dumps(document))
    return "small.toml"


def test_without_weights_and_a_network_the_run_says_what_to_fetch(
    archives: ArchiveServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The data are there by then, and the next attempt does not fetch them again."""
    assert main(["suite", small_study("http://127.0.0.1:9/v1")]) == 2
    assert "laion/CLIP-ViT-B-32-laion2B-s34B-b79K is not in the hub's cache" in capsys.readouterr().err
    assert not Path("runs").exists()
    assert archives.asked
    archives.asked.clear()
    assert main(["suite", "small.toml"]) == 2
    assert archives.asked == []


def test_the_smallest_part_of_the_workflow(
    archives: ArchiveServer, weights: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """It fetches the data, takes the weights from the hub's cache, and leaves rows, tables and reports."""
    smallest = tomllib.loads((ROOT / ".github" / "photographs-smallest.toml").read_text("utf-8"))
    smallest["search"]["initial"] = 5
    Path("smallest.toml").write_text(tomli_w.dumps(smallest))
    command = ["suite", "smallest.toml", "--suite-dir", "runs/photographs"]
    assert main(command) == 0
    assert "4 of 4 runs finished and counted" in capsys.readouterr().out
    folder = Path("runs/photographs")
    with (folder / "runs.csv").open() as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["finished"] * 4
    assert {"tables.md", "suite.json"} <= {path.name for path in folder.iterdir()}
    assert len(list(folder.glob("*/report.html"))) == 2
    archives.asked.clear()
    assert main(command) == 0
    assert archives.asked == []


@pytest.mark.slow
def test_every_row_of_the_study_runs(weights: None, capsys: pytest.CaptureFixture[str]) -> None:
    """On one set, with one image a class and an LLM that answers at once."""
    with serving_chat() as server:
        assert main(["suite", small_study(server.base_url), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [run for run in document["runs"] if not run["counts"]] == []
    assert len(document["runs"]) == 2 * len(STUDY["methods"])
    rows = {row["label"] for row in document["tables"][0]["rows"]}
    assert {"default template", "OpenAI's 80 templates", "best hand-made", "best starting template"} <= rows
    assert len(document["differences"]) == 2 * len(STUDY["compare"])
