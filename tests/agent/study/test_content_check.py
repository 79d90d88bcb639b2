"""What is finished is a suite's own only if it was made on what is there now: data, class names, weights."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from promptclimb.agent.cli.main import main
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.study import content_check
from promptclimb.agent.study.content_check import SHOTS, TEST, WEIGHTS, CurrentContent, RunContent
from promptclimb.evaluator.datasets.checks import content_of, file_digest
from promptclimb.evaluator.datasets.loading import load_data
from promptclimb.evaluator.errors import DataError
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.pico.models import bundled_models
from tests.agent.cli.test_suite_options import pictures

SMALL: dict[str, Any] = {"restarts": 1, "conversations": 1, "rounds": 1, "proposals": 2, "initial": 3}


def config(folder: Path, **more: Any) -> SearchConfig:
    """A search on a folder, with weights in a file."""
    given = {"data": str(folder), "method": "random", "shots": 1, "pretrained": str(folder.parent / "w.pt")}
    return SearchConfig(**(given | more))


def made_on(found: SearchConfig) -> RunContent:
    """What a search with those settings leaves."""
    now = content_of(load_data(found.bare()), file_digest)
    weights = CurrentContent()._file(Path(found.pretrained))
    assert weights is not None
    return RunContent(
        config=found.to_public(),
        hashes={SHOTS: now.shots, TEST: now.test, WEIGHTS: weights},
        identity={"fingerprint": "before"},
        labels=now.labels,
        classes=now.classes,
    )


pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """A data set and weights."""
    pictures(tmp_path / "a")
    (tmp_path / "w.pt").write_text("weights")
    return tmp_path / "a"


def renamed(folder: Path) -> None:
    (folder / "cat").rename(folder / "fox")


def swapped(folder: Path) -> None:
    for kept, taken in (("cat", "x"), ("dog", "cat"), ("x", "dog")):
        (folder / kept).rename(folder / taken)


def reweighed(folder: Path) -> None:
    (folder.parent / "w.pt").write_text("other weights")


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "class names": (renamed, "the class names of "),
    "images": (swapped, "the test images of "),
    "weights": (reweighed, "the weights "),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_edited_in_place_is_found(what: str, sets: Path) -> None:
    """Nothing is, before; then what differs is named with its place."""
    change, said = CHANGES[what]
    before = made_on(config(sets))
    assert CurrentContent().differences(config(sets), before) == []
    change(sets)
    (found, *_) = CurrentContent().differences(config(sets), before)
    assert found.startswith(said)
    assert str(sets.parent) in found


def test_few_shot_images_alone_are_looked_at_too(sets: Path) -> None:
    """Where the hash of them is known; the test images may be the same."""
    before = made_on(config(sets))
    other = replace(before, hashes={**before.hashes, SHOTS: "other"})
    (found,) = CurrentContent().differences(config(sets), other)
    assert found.startswith("the few-shot images")


@pytest.mark.parametrize("by", ["options", "file"])
def test_data_that_lie_no_more_where_they_were_contradict_nothing(
    by: str, sets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a relative path too, which is a name where nothing lies; what is new there is refused as ever."""
    monkeypatch.chdir(sets.parent)
    study = {"data": ["a"], "shots": [1], "seeds": [1], "methods": ["random"], "search": SMALL}
    Path("s.toml").write_text(tomli_w.dumps(study))
    flags = [f"--{name}={value}" for name, value in SMALL.items()]
    options = ["--data", "./a", "--shots", "1", "--seeds", "1", "--methods", "random", *flags]
    given = ["suite", *({"options": options, "file": ["s.toml"]}[by])]
    assert main(given) == 0
    sets.rename(sets.parent / "away")
    assert main(given) == 0
    capsys.readouterr()
    study["methods"] = ["random", "combine"]
    Path("s.toml").write_text(tomli_w.dumps(study))
    more = ["suite", *({"options": [*options, "--seeds", "1,2"], "file": ["s.toml"]}[by])]
    assert main(more) == 2
    assert f"no data set called '{sets}'" in capsys.readouterr().err


def test_content_decides_and_not_where_it_lies(sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy elsewhere will do; of a model in a folder the fingerprint says, opened once."""
    before = made_on(config(sets))
    shutil.copytree(sets, sets.parent / "b")
    moved = config(sets.parent / "b")
    assert CurrentContent().differences(moved, before) == []
    folder = config(sets.parent / "b", model="local-dir:/new", pretrained="x")
    older = replace(before, config={**before.config, "model": "local-dir:/old"})
    opened: list[FakeEvaluator] = []

    def fake(_spec: Any) -> FakeEvaluator:
        opened.append(FakeEvaluator())
        return opened[-1]

    monkeypatch.setattr(content_check, "open_evaluator", fake)
    current = CurrentContent()
    for _ in range(2):
        (found,) = current.differences(folder, older)
        assert found == "the content of data and model"
    same = replace(older, identity={"fingerprint": opened[0].info.fingerprint})
    assert current.differences(folder, same) == []
    assert len(opened) == 1


def test_what_is_gone_contradicts_nothing_where_it_was(sets: Path) -> None:
    """A finished suite can be summed up without its data; another place must be there."""
    before = made_on(config(sets))
    shutil.rmtree(sets)
    (sets.parent / "w.pt").unlink()
    assert CurrentContent().differences(config(sets), before) == []
    with pytest.raises(DataError):
        CurrentContent().differences(config(sets.parent / "b"), before)


def test_templates_of_ones_own_are_compared_by_their_text(sets: Path) -> None:
    """A file of them that was edited makes another search."""
    file = sets.parent / "initial.txt"
    file.write_text("a {}\nb {}\n")
    given = config(sets, initial=file)
    pool = content_check.pool_hash(content_check.read_pool(given))
    before = replace(made_on(given), identity={"pool": pool})
    assert CurrentContent().differences(given, before) == []
    file.write_text("a {}\nc {}\n")
    assert CurrentContent().differences(given, before) == [f"the texts of {file}"]


def test_an_evaluator_in_another_file_is_another(sets: Path) -> None:
    """Unless the file is the same, byte by byte."""
    one, other = sets.parent / "one.py", sets.parent / "other.py"
    for file in (one, other):
        file.write_text("make = 1")
    before = RunContent(
        config=config(sets, custom_scorer=f"{one}:make").to_public(), identity={"fingerprint": "x"}
    )
    given = config(sets, custom_scorer=f"{other}:make")
    assert CurrentContent().differences(given, before) == []
    other.write_text("make = 2")
    assert CurrentContent().differences(given, before) == [f"the scorer {other} (it was {one})"]


def test_a_finished_suite_is_refused_on_other_data_or_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Searches and references, each by itself: one line that names the run and what differs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run_agent.py"])
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "cache"))
    pictures(tmp_path / "a" / "pets")
    pictures(tmp_path / "b" / "pets", count=8)
    (row,) = (one for one in bundled_models() if one["name"] == "RN-pico")
    weights = tmp_path / "w.safetensors"
    shutil.copyfile(row["file"], weights)

    def run(data: str) -> tuple[int, str]:
        model = {"model": "RN-pico", "pretrained": str(weights), "name": "m"}
        study = {"data": [data], "shots": [1], "seeds": [1], "models": [model], "search": SMALL}
        Path("s.toml").write_text(tomli_w.dumps({**study, "methods": ["random", "tip-adapter"]}))
        code = main(["suite", "s.toml"])
        return code, capsys.readouterr().err

    assert run("a/pets")[0] == 0
    assert run("a/pets")[0] == 0
    code, said = run("b/pets")
    assert code == 2
    assert "seed1-1shot-m-pets-random in it is finished, and was made on other content (the test" in said
    folder = tmp_path / "runs" / "s"
    shutil.rmtree(folder / "seed1-1shot-m-pets-random")
    code, said = run("b/pets")
    assert code == 2
    assert "seed1-1shot-m-pets-tip-adapter in it is finished, and was made on other content" in said
    weights.write_bytes(weights.read_bytes()[:-4] + bytes(4))
    code, said = run("a/pets")
    assert code == 2
    assert f"tip-adapter in it is finished, and was made on other content (the weights {weights})" in said
