"""Suites in which a run fails, or which are interrupted: the others go on, and what is there is shown."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.cli.main import main
from promptclimb.agent.stop import Stop
from promptclimb.agent.store.lock import lock_folder
from promptclimb.agent.store.run import Store
from promptclimb.agent.study import document as study_document
from promptclimb.agent.study import outcomes
from promptclimb.agent.study.outcomes import fit_reference
from promptclimb.agent.study.transfer import Transferred
from promptclimb.evaluator.errors import ModelError
from promptclimb.evaluator.scoring import Verdict
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.black_box import SEAM, stand_in_a_file
from tests.fakes.chat_server import ChatServer
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.serving import serving_chat
from tests.fakes.study_outcomes import cells, study
from tests.fakes.suite_files import write_suite


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The data set of every evaluator that was opened, in order."""
    data_sets: list[str] = []

    def fake(spec: EvaluatorSpec) -> FakeEvaluator:
        data_sets.append(spec.data)
        return FakeEvaluator(seed=spec.seed)

    stand_in_a_file(monkeypatch, tmp_path, fake)
    return data_sets


@pytest.fixture
def servers() -> Iterator[tuple[ChatServer, ChatServer]]:
    """An endpoint that asks for no key, and one that asks for another than we have."""
    with serving_chat() as free, serving_chat(key="another") as closed:
        yield free, closed


def write(**tables: Any) -> str:
    """Write a suite file of one seed."""
    return write_suite(**{"seeds": [1], **tables})


def failing_on(data: str) -> Callable[[EvaluatorSpec], FakeEvaluator]:
    """Evaluators that raise whatever they are asked, on one data set."""

    def fails(_batch: Sequence[str]) -> None:
        raise RuntimeError("boom")

    def make(spec: EvaluatorSpec) -> FakeEvaluator:
        return FakeEvaluator(seed=spec.seed, before_batch=fails if spec.data == data else None)

    return make


def document(folder: str = "runs/small") -> dict[str, Any]:
    """The document of a suite."""
    written: dict[str, Any] = json.loads(Path(folder, "suite.json").read_text())
    return written


def test_an_interrupt_while_the_tables_are_written_leaves_all_of_them_and_the_way_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not new tables beside an old summary, and not in silence."""
    markdown = study_document.markdown

    def interrupted(_document: Any) -> str:
        monkeypatch.setattr(study_document, "markdown", markdown)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the signal has ended it")

    monkeypatch.setattr(study_document, "markdown", interrupted)
    assert main(["suite", write()]) == 130
    assert "Run the same command again to resume." in capsys.readouterr().err
    assert [row["counts"] for row in document()["runs"]] == [True] * 4
    assert Path("runs/small/tables.md").exists()


def test_an_evaluator_that_fails_stops_its_own_runs_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, every table, the reason beside each run, and how to resume; once fixed, all is well."""
    whole = SEAM.make
    monkeypatch.setattr(SEAM, "make", failing_on("one"))
    assert main(["suite", write()]) == 1
    out, err = capsys.readouterr()
    assert re.search(r"^seed1-.*-one-random +stopped +.*boom", out, re.MULTILINE)
    assert err.splitlines()[-1] == (
        "2 runs stopped with an error. Fix its cause, then run the same command again to resume."
    )
    written = document()
    assert [row["counts"] for row in written["runs"]] == [row["data"] == "two" for row in written["runs"]]
    assert {row["status"] for row in written["left_out"]} == {"stopped"}
    assert all("boom" in row["reason"] for row in written["left_out"])
    assert written["differences"][0]["sets"] == 1
    assert "boom" in Path("runs/small/tables.md").read_text()
    monkeypatch.setattr(SEAM, "make", whole)
    assert main(["suite", "small.toml"]) == 0
    assert document()["left_out"] == []


def test_a_refused_key_is_asked_once_and_the_others_go_on(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    servers: tuple[ChatServer, ChatServer],
    opened: list[str],
) -> None:
    """The later runs of that endpoint are not run, with the reason; no evaluator is opened for them."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-wrong-wrong")
    free, closed = servers
    llms = [{"llm": "m", "base_url": free.base_url}, {"llm": "n", "base_url": closed.base_url}]
    file = write(methods=["pn", "random"], llms=llms, compare=[])
    for _ in range(2):
        assert main(["suite", file]) == 1
        runs = document()["runs"]
        assert [row["counts"] for row in runs] == [row["llm"] != "n" for row in runs]
        refused = [row for row in runs if row["llm"] == "n"]
        assert [row["status"] for row in refused] == ["stopped", "not run"]
        assert all("401" in row["reason"] for row in refused)
        assert "sk-wrong" not in Path("runs/small/runs.csv").read_text()
        err = capsys.readouterr().err
        assert "1 run stopped with an error. Fix its cause, then run the same command again to resume." in err
    assert len(opened) <= 4 + 2
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    assert main(["suite", file]) == 0
    assert document()["left_out"] == []


def test_a_server_that_is_down_stops_its_own_runs_alone(servers: tuple[ChatServer, ChatServer]) -> None:
    """So does one by its options."""
    down = "http://127.0.0.1:9/v1"
    llms = [{"llm": "m", "base_url": servers[0].base_url}, {"llm": "n", "base_url": down}]
    assert main(["suite", write(methods=["pn"], llms=llms, compare=[])]) == 1
    assert [row["counts"] for row in document()["runs"]] == [True, False] * 2
    assert all("127.0.0.1:9" in row["reason"] for row in document()["left_out"])


def test_a_key_that_is_missing_is_reported_before_the_first_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    """It is wrong usage, and nothing is made."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main(["suite", write(methods=["random", "pn"], llms=["m"], compare=[])]) == 2
    assert "OPENAI_API_KEY" in capsys.readouterr().err
    assert opened == []
    assert not Path("runs").exists()


def test_an_interrupted_study_shows_what_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables of what is finished, where they are, and the way on; the same command makes the rest."""
    whole, calls = SEAM.make, list[str]()

    def struck(spec: EvaluatorSpec) -> object:
        calls.append(spec.data)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return whole(spec)

    monkeypatch.setattr(SEAM, "make", struck)
    assert main(["suite", write()]) == 130
    assert len(calls) == 3
    *_, tables, way_on = capsys.readouterr().err.splitlines()
    assert tables == "tables of 2 finished of 4 runs: runs/small/tables.md"
    assert way_on == "What is in runs/small is kept. Run the same command again to resume."
    assert [row["counts"] for row in document()["runs"]] == [True] * 2 + [False] * 2
    assert {row["reason"] for row in document()["left_out"]} == {"interrupted"}
    with Path("runs/small/runs.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
    monkeypatch.setattr(SEAM, "make", whole)
    assert main(["suite", "small.toml"]) == 0
    assert document()["left_out"] == []


def test_what_was_finished_before_is_shown_and_nothing_is_fitted(
    monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    """Runs that come after the one that was interrupted are read, searches and references."""
    assert main(["suite", write(seeds=[2])]) == 0
    before, whole = len(opened), SEAM.make

    def struck(spec: EvaluatorSpec) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return whole(spec)

    monkeypatch.setattr(SEAM, "make", struck)
    assert main(["suite", write(seeds=[1, 2])]) == 130
    assert [row["seed"] for row in document()["runs"] if row["counts"]] == [2] * 4
    assert len(opened) == before + 1


def test_what_ends_transfer_costs_no_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All searches are in them, after exit code 1 and a reason as after a signal."""
    release = threading.Event()

    def fails(*_: object) -> None:
        raise ModelError("the model is gone")

    def struck(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        release.wait(60)

    file = write(models=["RN-pico", "ViT-pico"], transfer=True)
    try:
        for complete, code in ((fails, 1), (struck, 143)):
            monkeypatch.setattr(Transferred, "complete", complete)
            assert main(["suite", file]) == code
            assert all(row["counts"] for row in document()["runs"])
            Path("runs/small/suite.json").unlink()
    finally:
        release.set()
    assert "not everything was scored on other models: the model is gone" in capsys.readouterr().err


async def test_a_reference_that_cannot_be_fitted_stops_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What torch raises is a reason like any other."""

    def run_all(*_: object, **__: object) -> None:
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(outcomes, "run_all", run_all)
    (cell,) = cells(study(data=["backgrounds"], seeds=[1], methods=["tip-adapter"]), tmp_path)
    outcome = await fit_reference(cell, Stop())
    assert (outcome.status, outcome.counts, outcome.reason) == ("stopped", False, "out of memory")


@pytest.mark.parametrize("name", ["runs.csv", "tables.md", "transfer.json"])
def test_a_file_that_is_a_folder_is_reported_before_the_first_run(
    name: str, capsys: pytest.CaptureFixture[str], opened: list[str]
) -> None:
    """It could not be written in the end."""
    Path("runs/small", name).mkdir(parents=True)
    assert main(["suite", write()]) == 2
    assert f"{name} in it is a folder; choose another folder" in capsys.readouterr().err
    assert opened == []


class WithoutTest:
    """A black box that knows nothing of test images."""

    def score(self, templates: Sequence[str]) -> list[Verdict]:
        """Longer is better."""
        return [min(len(template), 99) / 100 for template in templates]  # type: ignore[misc]


def test_a_black_box_without_test_figures_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its runs are finished, nothing resumes them, and no higher limit is proposed."""
    monkeypatch.setattr(SEAM, "make", lambda _spec: WithoutTest())
    assert main(["suite", write()]) == 0
    reasons = {(row["status"], row["reason"]) for row in document()["left_out"]}
    assert reasons == {("finished", "finished, but its scorer reported no test accuracy")}
    assert "to resume" not in capsys.readouterr().err


@pytest.mark.parametrize("limits", [(), ("--max-minutes", "100")])
def test_a_run_that_somebody_works_on_by_itself_stops_alone(
    limits: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The suite makes the others, also within a limit, and the same command later makes that one."""
    assert main(["suite", write(data=["two"], methods=["random"], compare=[])]) == 0
    (run,) = Path("runs/small").resolve().glob("seed1-*-two-random")
    (run / "result.json").unlink()
    whole = SEAM.make
    with ExitStack() as busy:

        def make(spec: EvaluatorSpec) -> Any:
            monkeypatch.setattr(SEAM, "make", whole)
            busy.enter_context(Store.open(run))
            return whole(spec)

        monkeypatch.setattr(SEAM, "make", make)
        assert main(["suite", write(), *limits]) == 1
    assert "is in use by a live process" in capsys.readouterr().err
    assert [row["counts"] for row in document()["runs"]].count(False) == 1
    assert main(["suite", write(), *limits]) == 0
    assert all(row["counts"] for row in document()["runs"])


def test_a_second_suite_in_the_same_folder_is_refused(
    opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """And its dry run: it names the other process, and opens nothing."""
    command = ["suite", write(), "--suite-dir", "s"]
    Path("s").mkdir()
    first = lock_folder(Path("s").resolve())
    for refused in (command, [*command, "--dry-run"]):
        assert main(refused) == 2
        assert not opened
        assert f"is in use by a live process (process {os.getpid()})" in capsys.readouterr().err
        assert not list(Path("s").glob("[!.]*"))
    Path("s/.pid").unlink()
    assert main([*command, "--dry-run"]) == 2  # the lock decides, not who wrote that file
    first.release()
    assert main(command) == 0
