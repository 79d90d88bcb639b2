"""``suite FILE.toml``: a study by its file, resumed by the same command, and what it leaves."""

from __future__ import annotations

import asyncio
import csv
import json
import re
import statistics
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w

import promptclimb.agent.cli.dry_run
import promptclimb.agent.llm.local_server
import promptclimb.agent.search.inputs
import promptclimb.agent.study.preflight
from promptclimb.agent.cli import suite
from promptclimb.agent.cli.main import main
from promptclimb.agent.study.grid import Cell
from promptclimb.agent.study.runs import SearchEnd
from promptclimb.agent.study.study import Study
from promptclimb.evaluator.errors import StoreError
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.black_box import FACTORY, SEAM, stand_in_a_file
from tests.fakes.chat_server import ChatServer
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.few_shots import pictures as clip_pictures
from tests.fakes.serving import serving_chat
from tests.fakes.suite_files import SMALL, STUDY, pictures, write_suite
from tests.paths import ROOT
from tests.recorded import check_session

SUITES = sorted((ROOT / "suites").glob("*.toml"))


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[FakeEvaluator]:
    """A hill of its own for each seed; what was opened, in order."""
    evaluators: list[FakeEvaluator] = []

    def fake(spec: EvaluatorSpec) -> FakeEvaluator:
        evaluators.append(FakeEvaluator(seed=spec.seed))
        return evaluators[-1]

    stand_in_a_file(monkeypatch, tmp_path, fake)
    return evaluators


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """An endpoint that asks for no key."""
    with serving_chat() as serving:
        yield serving


def test_a_study_is_summed_up_and_goes_on(
    capsys: pytest.CaptureFixture[str], opened: list[FakeEvaluator], tmp_path: Path
) -> None:
    """Every run in its folder, one document, four files; the second call reads what the first has made."""
    assert main(["suite", write_suite(), "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    folder = tmp_path / "runs" / "small"
    assert document == json.loads((folder / "suite.json").read_text())
    assert {"runs.csv", "tables.md"} <= {path.name for path in folder.iterdir()}
    assert "8 of 8 runs finished and counted" in err
    (table,) = document["tables"]
    by_run = {
        (row["method"], row["data"], row["seed"]): row["test"]["recommended"] for row in document["runs"]
    }
    random = next(row for row in table["rows"] if row["label"] == "random")
    by_seed = [(by_run["random", "one", seed] + by_run["random", "two", seed]) / 2 for seed in (1, 2)]
    means = (by_run["random", "one", 1] + by_run["random", "one", 2]) / 2, sum(by_seed) / 2
    assert (random["test"]["one"], random["mean"]) == pytest.approx(means, abs=1e-6)
    assert random["std"] == pytest.approx(statistics.stdev(by_seed), abs=1e-6)
    assert [evaluator.opened for evaluator in opened] == [1] * 8
    with (folder / "runs.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 8
    assert main(["suite", "small.toml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == document
    assert len(opened) == 8


def test_a_study_goes_on_whose_starting_templates_the_data_decide(
    capsys: pytest.CaptureFixture[str], opened: list[FakeEvaluator]
) -> None:
    """The run has their number, the file none; a list of templates in the file is another study."""
    search = {"restarts": 1, "conversations": 1, "rounds": 1, "custom_scorer": FACTORY}
    first = {"seeds": [1], "data": ["one"], "methods": ["random"], "compare": None}
    assert main(["suite", write_suite(**first, search=search)]) == 0
    assert main(["suite", write_suite(**first | {"seeds": [1, 2]}, search=search)]) == 0
    assert "2 of 2 runs finished and counted" in capsys.readouterr().out
    assert len(opened) == 2
    Path("mine.txt").write_text("a {}\nthe {}\n")
    assert main(["suite", write_suite(**first, search={**search, "initial": "mine.txt"})]) == 2
    assert "was started with other settings (initial" in capsys.readouterr().err


def test_what_the_budget_does_not_reach_is_named_and_made_later(
    capsys: pytest.CaptureFixture[str], server: ChatServer
) -> None:
    """It is in no mean; a higher limit goes on, and pays for nothing twice."""
    llms = [{"llm": "m", "base_url": server.base_url}]
    methods = ["pn", "random"]
    suite = {"methods": methods, "llms": llms, "compare": [{"first": "pn", "second": "random"}]}
    file = write_suite(**suite, budget={"max_calls": 5})
    assert main(["suite", file, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(row["method"], row["seed"], row["status"]) for row in document["left_out"]] == [
        ("pn", 2, "stopped"),
        ("pn", 2, "not run"),
    ]
    (difference,) = document["differences"]
    assert (difference["runs"], difference["sets"]) == (2, 2)
    assert server.statistics.requests == 5
    assert main(["suite", file, "--max-calls", "8", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["left_out"] == []
    assert server.statistics.requests == 8
    assert again["runs"][0] == document["runs"][0]


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"shotz": [1]}, ""),
    ({"methods": ["pn"], "llms": ["m"], "budget": {"max_calls": 3}, "compare": []}, ""),
    ({"data": ["pets"], "shots": [64], "search": SMALL}, ""),
    ({"data": ["dcie"], "search": SMALL}, ""),
    ({"models": ["RN-pica"], "data": ["pets"], "shots": [1], "search": SMALL}, ""),
    ({"search": {"restarts": True}}, ""),
    ({"search": {"restarts": 0}}, ""),
    ({"budget": {"max_minutes": 0}}, ""),
    ({"methods": ["random", "coopp"]}, ""),
    ({"data": ["pets", "torn"], "shots": [2], "search": SMALL}, ""),
    ({"data": ["pets"], "search": {**SMALL, "initial": "nope.txt"}}, ""),
    ({"data": ["two", "one"]}, "--suite-dir taken"),
    ({}, "--restarts 1"),
)
"""Studies, and options beside them."""


@pytest.mark.parametrize("dry", ["", "--dry-run"])
def test_bad_input_is_reported_before_anything_is_made(
    dry: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One line, exit code 2, and no folder; by a dry run too."""
    for name in ("pets", "torn"):
        pictures(tmp_path / name)
    for path in (tmp_path / "torn" / "cat").iterdir():
        path.write_bytes(path.read_bytes()[:50])
    taken = tmp_path / "taken" / "seed2-16shot-RN-pico-one-random"
    taken.mkdir(parents=True)
    (taken / "notes.txt").write_text("mine")
    for number, (more, _flags) in enumerate(REFUSED):
        Path(write_suite(**more)).rename(f"{number}.toml")
    before = sorted(tmp_path.rglob("*"))
    commands = (f"suite {number}.toml {flags} {dry}" for number, (_more, flags) in enumerate(REFUSED))
    check_session(f"suite-refused{dry}", capsys, *commands)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_variable_that_does_not_decide_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting there that a study does not heed is named."""
    monkeypatch.setenv("PROMPTCLIMB_RESTARTS", "7")
    assert main(["suite", write_suite(), "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert "PROMPTCLIMB_RESTARTS decides the result, and is not used beside a suite file" in err
    assert "at most, within the limits:\n  8 searches\n" in out


def test_other_settings_want_another_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder is one study's, also where a run of its own could be resumed with them."""
    less = {"data": ["one"], "seeds": [1]}
    assert main(["suite", write_suite(**less)]) == 0
    for name, value in {"rounds": 3, "blind": True}.items():
        assert main(["suite", write_suite(**less, search={**STUDY["search"], name: value})]) == 2
        err = capsys.readouterr().err
        assert "was started with other settings" in err
        assert name in err


def test_searches_at_once_give_the_same_tables(
    capsys: pytest.CaptureFixture[str], opened: list[FakeEvaluator]
) -> None:
    """All but how long they took; each says that it begins and that it has ended."""
    documents = []
    for jobs in ("1", "3"):
        command = ["suite", write_suite(methods=["random"], compare=[]), "--json", "--jobs", jobs]
        assert main([*command, "--suite-dir", f"s{jobs}"]) == 0
        out, err = capsys.readouterr()
        documents.append(json.loads(out))
        for run in documents[-1]["runs"]:
            del run["wall_s"]
    assert documents[0] == documents[1]
    assert len(opened) == 8
    assert sum(line.endswith(": finished") for line in err.splitlines()) == 4
    assert err.index("[3/4]") < err.index(": finished")


def test_an_error_that_ends_a_suite_ends_the_searches_beside_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are asked to stop, none begins any more, and that error is shown."""
    began: list[int] = []
    both = asyncio.Event()

    async def broken(cell: Cell, _shared: object, request_of: Any) -> SearchEnd:
        began.append(cell.seed)
        if cell.seed == 2:
            await both.wait()
            raise StoreError("the disk is broken")
        with request_of(cell.config).stop.watching():
            both.set()
            await asyncio.Event().wait()
        raise AssertionError("it was stopped")

    monkeypatch.setattr(suite, "run_search", broken)
    file = write_suite(data=["one"], methods=["random"], seeds=[1, 2, 3, 4], compare=[])
    assert main(["suite", file, "--jobs", "2"]) == 1
    assert "the disk is broken" in capsys.readouterr().err
    assert began == [1, 2]


def test_a_note_that_several_searches_have_is_shown_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """About the model, for example; what differs is shown for each."""
    spec = clip_pictures(tmp_path)
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "cache"))
    model = {"model": spec.model, "pretrained": str(spec.pretrained)}
    file = write_suite(
        data=[spec.data], models=[model], methods=["combine"], shots=[2], seeds=[1, 2], compare=[],
        search=SMALL,
    )  # fmt: skip
    assert main(["suite", file, "--device", "cpu"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("model: ") for line in lines) == 1
    (tip,) = (line for line in lines if line.startswith("Tip: "))
    assert tip.startswith("Tip: [describe] in the file says what kind of images these are")
    assert sum(line.startswith("searching ") for line in lines) == 2


def test_a_method_that_does_not_use_the_description_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """An LLM that no method asks is named too."""
    own = ["search", "--data", "one", "--custom-scorer", FACTORY, "--dry-run"]
    own += ["--llm", "m", "--base-url", "http://127.0.0.1:9/v1"]
    assert main([*own, "--describe", "numbers in binary", "--method", "opro"]) == 0
    assert "note: --describe is not used by method opro\n" in capsys.readouterr().err
    assert main([*own, "--describe", "numbers in binary"]) == 0
    assert "not used" not in capsys.readouterr().err
    assert main([*own, "--method", "combine"]) == 0
    assert "note: method combine asks no LLM for templates: --llm is not used\n" in capsys.readouterr().err


def test_a_white_box_needs_a_clip(capsys: pytest.CaptureFixture[str]) -> None:
    """It looks into one."""
    assert main(["suite", write_suite(methods=["random", "tip-adapter"], compare=[])]) == 2
    assert "tip-adapter needs a CLIP, not a custom scorer\n" in capsys.readouterr().err


def test_the_dry_run_says_what_the_whole_suite_does_at_most(
    capsys: pytest.CaptureFixture[str], opened: list[FakeEvaluator], tmp_path: Path
) -> None:
    """The sum of all its searches, within the limits over all of them; what is opened scores nothing."""
    llms = [{"llm": "m", "base_url": "http://127.0.0.1:9/v1", "price": "1/2"}]
    tables = {"data": ["one"], "seeds": [1, 2, 3], "methods": ["pn", "random"], "llms": llms, "compare": []}
    limits = {"max_calls": 4, "max_tokens": 100_000, "max_cost": 0.002, "max_minutes": 2.0}
    bounds = []
    for budget in ({}, limits):
        assert main(["suite", write_suite(**tables, budget=budget), "--rpm", "2", "--dry-run", "--json"]) == 0
        bounds.append(json.loads(capsys.readouterr().out))
    whole, limited = bounds
    assert (whole["searches"], whole["calls"], whole["evaluations"]) == (6, 6, 6 * (5 + 5 * 2))
    assert [(group["method"], group["runs"]) for group in limited["groups"]] == [("pn", 3), ("random", 3)]
    assert {name.replace("cost_usd", "cost"): limited[name] for name in ("calls", "cost_usd")} == {
        "calls": 4, "cost": 0.002,
    }  # fmt: skip
    assert limited["tokens"] <= 100_000
    assert not any(evaluator.batches or evaluator.opened for evaluator in opened)
    assert [path.name for path in tmp_path.iterdir()] == ["small.toml"]


def test_a_data_set_that_has_changed_is_named_in_the_suites_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its content shows only when it is opened."""
    file = write_suite(data=["one"], methods=["random"], seeds=[1], compare=[])
    assert main(["suite", file, "--max-minutes", "0.000001"]) == 0
    monkeypatch.setattr(SEAM, "make", lambda _spec: FakeEvaluator(seed=99))
    capsys.readouterr()
    assert main(["suite", file]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert "fingerprint" in line
    assert "--suite-dir" in line


def test_a_finished_run_on_data_at_another_path_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Both sets have the name of the folder in the tables, and may have other images."""
    first, other = (tmp_path / parent / "pets" for parent in ("a", "b"))
    for folder, code in ((first, 0), (other, 2), (first, 0)):
        pictures(folder)
        file = write_suite(data=[str(folder)], methods=["random"], seeds=[1], compare=[])
        assert main(["suite", file]) == code
        assert (f"data: it was '{first}', now '{other}'" in capsys.readouterr().err) == bool(code)


@pytest.mark.parametrize("folder", ["", "~nobody-here/x", "file", "full"])
def test_a_suites_folder_that_cannot_be_one_is_refused(
    folder: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Before the first search: no path, a file, one whose summary could not be written."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "full" / "suite.json").mkdir(parents=True)
    assert main(["suite", write_suite(), "--suite-dir", folder]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: --suite-dir")
    assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full", "small.toml"]


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A hill in place of each data set with each model, of which nothing is read; what was opened."""
    splits: list[str] = []

    def opened(spec: EvaluatorSpec, *_: Any, **__: Any) -> FakeEvaluator:
        splits.append(f"{spec.data} with {spec.model}, {spec.shots} shots")
        return FakeEvaluator()

    monkeypatch.setattr(promptclimb.agent.search.inputs, "open_evaluator", opened)
    monkeypatch.setattr(promptclimb.agent.study.preflight, "check_openable", lambda _specs: [])
    monkeypatch.setattr(promptclimb.agent.llm.local_server, "is_installed", lambda: True)
    monkeypatch.setattr(promptclimb.agent.cli.dry_run, "missing_files", lambda _config: ())
    return splits


@pytest.mark.parametrize("file", SUITES, ids=lambda path: path.name)
def test_what_ships_says_what_it_would_cost(
    file: Path, unread: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """By group, and over all; each data set is opened once with each model, as its largest sample."""
    suite = tomllib.loads(file.read_text())
    Path(file.name).write_text(tomli_w.dumps(suite | {"seeds": suite["seeds"][:1]}))
    # The data of the paper are not here: its bounds are printed, and it would be refused.
    assert main(["suite", file.name, "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    groups = document["groups"]
    assert sum(group["runs"] for group in groups) == document["runs"]
    for name in ("calls", "tokens", "evaluations"):
        assert sum(group[name] for group in groups) == document[name] > 0
    assert sum(group["cost_usd"] for group in groups) == pytest.approx(document["cost_usd"], abs=1e-3)
    most = max(suite.get("shots", [16]))
    names = [model if isinstance(model, str) else model["model"] for model in suite["models"]]
    assert sorted(unread) == sorted(
        f"{data} with {name}, {most} shots" for data in suite["data"] for name in names
    )


def test_a_dry_run_prints_splits_and_bounds(
    unread: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """In a table and lines, within the budget; nothing is asked, and nothing is left."""
    llms = [{"llm": "m", "base_url": "http://127.0.0.1:9/v1", "price": "1/2"}]
    file = write_suite(methods=["pn", "random"], llms=llms, compare=[], search=SMALL, budget={"max_calls": 5})
    check_session("dry-run-suite", capsys, f"suite {file} --dry-run")
    assert [path.name for path in tmp_path.iterdir()] == ["small.toml"]


def test_a_dry_run_says_what_the_suite_itself_would_be_refused_for(
    unread: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a search does, in the end; what is printed holds without a key, so the exit code is 0."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    file = write_suite(methods=["random", "pn"], llms=["m"], compare=[], search=SMALL)
    assert main(["suite", file, "--dry-run"]) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("note: the suite would be refused: ")
    assert "OPENAI_API_KEY" in last


def test_limits_that_bound_nothing_are_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody is asked; by a suite file, the options of a search, and a variable, as each calls them."""
    note = "limit LLM usage, and no LLM is asked\n"
    suite_file = write_suite(budget={"max_cost": 1.0, "max_calls": 3})
    assert main(["suite", suite_file, "--dry-run"]) == 0
    assert capsys.readouterr().err.count(f"note: max_calls and max_cost {note}") == 1
    assert main(["suite", suite_file, "--dry-run", "--max-calls", "4"]) == 0
    assert capsys.readouterr().err.count(f"note: --max-calls and max_cost {note}") == 1
    options = ["--max-cost=1", "--custom-scorer", FACTORY, "--dry-run"]
    monkeypatch.setenv("PROMPTCLIMB_MAX_CALLS", "3")
    assert main(["search", "--method", "random", *options]) == 0
    in_variable = f"max_calls (from PROMPTCLIMB_MAX_CALLS) and --max-cost {note}"
    assert capsys.readouterr().err.count(f"note: {in_variable}") == 1
    assert main(["search", "--method", "random", "--max-calls=3", *options]) == 0
    assert capsys.readouterr().err.count(f"note: --max-calls and --max-cost {note}") == 1
    monkeypatch.delenv("PROMPTCLIMB_MAX_CALLS")
    suite = {"methods": ["random", "pn"], "llms": [{"llm": "m", "base_url": "http://127.0.0.1:9/v1"}]}
    assert main(["suite", write_suite(**suite, compare=[], budget={"max_calls": 30}), "--dry-run"]) == 0
    assert "limit LLM usage" not in capsys.readouterr().err


def test_a_suite_whose_data_are_missing_says_only_that(capsys: pytest.CaptureFixture[str]) -> None:
    """No table of costs comes first: nothing can be bought with it."""
    assert main(["suite", str(ROOT / "suites" / "paper.toml"), "--dry-run", "--data-root", "nowhere"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "nowhere" in err.splitlines()[-1]


def test_the_examples_on_the_page_are_studies(unread: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What docs/studies.md shows are files that the program takes, and each key is explained there."""
    page = (ROOT / "docs" / "studies.md").read_text("utf-8")
    smallest, full = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    for example, methods in ((smallest, {"combine", "random"}), (full, {"guided", "random"})):
        Path("example.toml").write_text(example)
        assert main(["suite", "example.toml", "--dry-run", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert methods <= {group["method"].partition(",")[0] for group in document["groups"]}
    table = page.partition("|key|")[2].partition("\n\n")[0]
    keys = {name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert keys == set(Study.model_fields)


def test_the_bundled_benchmark_is_not_of_the_sets_that_methods_were_made_on() -> None:
    """Twelve bundled sets at least, each with its sentence; none on which methods were tried out."""
    suite = tomllib.loads((ROOT / "suites" / "bundled.toml").read_text())
    eight = "roman-numerals dice tallies binary-numbers coloured-things ink-colours clock-minutes"
    made_on = {*eight.split(), "handwritten-letters"}
    assert len(suite["data"]) >= 12
    assert set(suite["describe"]) == set(suite["data"])
    assert not set(suite["data"]) & made_on


@pytest.mark.slow
def test_two_bundled_sets_are_studied(capsys: pytest.CaptureFixture[str]) -> None:
    """The real evaluator: paired intervals rest on its decisions, and transfer on its other model."""
    methods = ["random", {"name": "probe", "method": "linear-probe", "models": ["RN-pico"]}]
    compare = [{"first": "probe", "second": "random"}]
    more = {"data": ["backgrounds", "digits"], "seeds": [1], "shots": [2], "search": SMALL, "transfer": True}
    file = write_suite(**more, methods=methods, compare=compare, models=["RN-pico", "ViT-pico"])
    assert main(["suite", file, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (difference,) = document["differences"]
    assert difference["resampled"] == ["images"]
    assert difference["first"] == "probe (white box)"
    low, high = difference["interval"]
    assert low <= difference["points"] <= high
    assert [(row["from"], row["to"], row["sets"]) for row in document["transfer"]] == [
        ("RN-pico", "ViT-pico", 2),
        ("ViT-pico", "RN-pico", 2),
    ]
    assert all(row["brought"] is not None for row in document["transfer"])
