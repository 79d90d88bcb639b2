"""The study on photographs, and the workflow's part of it, on archives and weights of the published forms."""

from __future__ import annotations

import csv
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import open_clip
import pytest
import tomli_w

from promptclimb.agent.cli.main import main
from promptclimb.evaluator.white_box.speed import Speed
from tests.agent.cli.test_commands import Serving
from tests.fakes.photograph_archives import ArchiveServer, serving_archives
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


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that takes a second for each thing, and weights of half a gigabyte."""
    speed = Speed(image=1.0, text=1.0, coop=1.0, gigabytes=0.5, cores=2)
    monkeypatch.setattr("promptclimb.evaluator.white_box.speed.measure", lambda _model, _device: speed)


def test_a_dry_run_names_downloads_hours_and_dollars(
    archives: ArchiveServer,
    measured: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is fetched for it, and the numbers follow from the published sizes."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    assert main(["suite", str(FILE), "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert archives.asked == []
    sizes = {each["what"]: each["gigabytes"] for each in found["downloads"]}
    assert sizes == {
        "torchvision:EuroSAT": 0.09,
        "torchvision:DTD": 0.63,
        "torchvision:OxfordIIITPet": 0.81,
        "ViT-B-32 (laion2b_s34b_b79k)": 0.5,
        "RN50 (openai)": 0.5,
    }
    assert 0 < found["cost_usd"] <= STUDY["budget"]["max_cost"]
    (vit, resnet) = found["hours"]
    assert {name: vit[name] for name in ("images", "texts", "coop")} == {
        name: resnet[name] for name in ("images", "texts", "coop")
    }
    # Test images once; for each seed, 1 and 16 shots with 1 and 4 for validation, and 8 copies of each.
    assert vit["images"] * 3600 == pytest.approx(8100 + 1880 + 3669 + 3 * (1 + 1 + 16 + 4) * 9 * 94)
    # For each seed and number of shots, two searches of 220, two of 110, and each with published lists.
    of_sets = 10 * (660 + 4 * 85) + 47 * (660 + 4 * 90) + 37 * (660 + 4 * 83)
    assert vit["texts"] * 3600 == pytest.approx(6 * of_sets)
    at_16 = 200 * (160 // 32 * 10 + 752 // 32 * 47 + 592 // 32 * 37)
    assert vit["coop"] * 3600 == pytest.approx(3 * (50 * (10 + 47 + 37) + at_16))


def test_a_dry_run_says_it_in_lines(
    measured: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not here is named with its size."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    assert main(["suite", str(FILE), "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert err.count("timing ViT-B-32 with random weights") == err.count("timing RN50") == 1
    assert "not here yet, and downloaded by the run: about 2.5 GB (torchvision:EuroSAT 0.1, " in out
    total = re.search(
        r"about ([\d,.]+) hours of one core: ([\d,.]+) on 2 idle cores\n  ViT-B-32: images ", out
    )
    assert total is not None
    of_one, of_both = (float(hours.replace(",", "")) for hours in total.groups())
    assert of_both == pytest.approx(of_one / 2, abs=0.1)
    assert "took each model: processor time, which other programs hardly change\n" in out
    assert "hours for the LLM, if it takes 5 s for each answer\n" in out
    assert "limits: --max-cost 10\n" in out


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
    command = ["suite", "smallest.toml", "--on-bad-image", "skip", "--suite-dir", "runs/photographs"]
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


def test_every_row_of_the_study_runs(weights: None, capsys: pytest.CaptureFixture[str]) -> None:
    """On one set, with one image a class and an LLM that answers at once."""
    with Serving() as server:
        assert main(["suite", small_study(server.base_url), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run for run in found["runs"] if not run["counts"]] == []
    assert len(found["runs"]) == 2 * len(STUDY["methods"])
    rows = {row["label"] for row in found["tables"][0]["rows"]}
    assert {"default template", "openai-imagenet", "best hand-made", "best starting template"} <= rows
    assert len(found["differences"]) == 2 * len(STUDY["compare"])
