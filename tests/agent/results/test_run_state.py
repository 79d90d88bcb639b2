"""How a run stands is read from its log, whatever became of the process that wrote it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig, search
from promptclimb.agent.cli.main import main
from promptclimb.agent.results.history import state_of
from promptclimb.agent.results.result import Dataset, Sizes
from promptclimb.agent.results.run_dir import is_run, runs_in
from promptclimb.agent.store.run import Store
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.clock import run_virtual
from tests.fakes.evaluators import FakeEvaluator

MANY = Dataset(name="d", classes=2, shots=1, seed=1, sizes=Sizes(train=2, test=100))
"""Enough test images to be above the chance level."""


def run(run_dir: Path, **more: Any) -> Path:
    """A small search."""
    config = SearchConfig(
        data="fake", llm="fake", method="pn", restarts=2, conversations=1, rounds=3, initial=6,
        run_dir=run_dir, **more,
    )  # fmt: skip
    run_virtual(search(config, custom_scorer=FakeEvaluator(), chat=ChatByHash()))
    return run_dir


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    return run(tmp_path_factory.mktemp("runs") / "a")


def test_a_finished_run_shows_what_it_chose(finished: Path) -> None:
    """Its best is the one that was selected."""
    state = state_of(finished)
    chosen = json.loads((finished / "result.json").read_text())["best"]
    assert (state.state, state.best, state.train) == ("finished", chosen["template"], chosen["train"])
    started, usage = state.progress.started, state.progress.usage
    assert started is not None
    assert usage is not None
    assert (state.progress.rounds, started.rounds, usage.calls) == (6, 6, 6)


def test_a_stopped_run_says_by_what_and_what_is_left(tmp_path: Path) -> None:
    """The reason is the result's, the limits the log's."""
    state = state_of(run(tmp_path / "r", max_calls=2))
    assert state.state == "stopped"
    assert "2 calls" in (state.stop_reason or "")
    assert state.progress.usage is not None
    assert state.progress.usage.left == {"calls": 0}
    assert state.limits == ("calls",)
    (tmp_path / "r" / "result.json").unlink()
    assert state_of(tmp_path / "r").limits == ("calls",)


@pytest.mark.parametrize(
    ("prompts", "last", "left"),
    [
        ("class-names", (), "new class names, then the evaluation on test images"),
        ("class-names", ("names.chosen",), "the evaluation on test images"),
        ("template", (), "the evaluation on test images"),
    ],
)
def test_a_run_whose_restarts_are_done_says_what_is_left(
    prompts: str, last: tuple[str, ...], left: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All rounds are done; what is left has none."""
    place = {"restart": 1, "conversation": 1, "round": 1}
    started = {
        "run_dir": "r", "dataset": "d", "classes": 2, "model": "m", "llm": "l", "method": "guided",
        "restarts": 1, "rounds": 1, "resumed": False, "prompts": prompts,
    }  # fmt: skip
    best = {**place, "best": "a {}", "train": 0.5}
    events = [
        {"event": "search.started", **started},
        {"event": "round.finished", **best},
        {"event": "restart.finished", **best},
        *({"event": name, "renamed": 1, "right": 3, "images": 4} for name in last),
    ]
    write_log(tmp_path / "r", events)
    assert main(["status", str(tmp_path / "r")]) == 0
    assert f"\nstill to come: {left}\n" in capsys.readouterr().out
    write_log(tmp_path / "r", events[:2])
    assert main(["status", str(tmp_path / "r")]) == 0
    assert "still to come" not in capsys.readouterr().out


@pytest.mark.parametrize("much", [10**300, 1e300, -1])
def test_impossible_numbers_of_a_log_are_left_out(
    much: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line that has them is invalid, as one that is torn; the last possible one counts."""
    used = {"calls": 7, "failed_calls": 0, "retries": 0, "prompt_tokens": 1, "completion_tokens": 1}
    used |= {"cost_usd": 0.5, "left": {"calls": 3}}
    wrong = [{"calls": much}, {"cost_usd": much}, {"left": {"calls": much}}]
    write_log(tmp_path / "r", [{"event": "search.usage_changed", **used, **more} for more in ({}, *wrong)])
    assert main(["status", str(tmp_path / "r")]) == 0
    assert "\nLLM: 7 calls, 2 tokens, $0.5000\n" in capsys.readouterr().out


def write_log(run_dir: Path, events: list[dict[str, Any]]) -> None:
    """A run's folder with a log alone."""
    (run_dir / "store").mkdir(parents=True, exist_ok=True)
    (run_dir / "events.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))


def test_a_run_that_died_shows_what_the_log_has(finished: Path, tmp_path: Path) -> None:
    """No result, a torn last line, bytes that are no text: what can be read counts."""
    copy = tmp_path / "r"
    shutil.copytree(finished, copy)
    (copy / "result.json").unlink()
    log = copy / "events.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    cut = next(at for at, line in enumerate(lines) if b"round.finished" in line)
    log.write_bytes(b"".join(lines[: cut + 1]) + b"\xff\xfe\n[1]\n" + lines[cut + 1][:20])
    state = state_of(copy)
    assert (state.state, state.progress.rounds, state.last_event[0]) == ("unfinished", 1, "round.finished")
    assert state.best is not None


def test_a_live_run_is_distinguished_from_a_dead_one(finished: Path, tmp_path: Path) -> None:
    """By the lock, which a dead process does not hold, though its number may be another's by now."""
    copy = tmp_path / "r"
    shutil.copytree(finished, copy)
    with Store.open(copy):
        assert state_of(copy).state == "live"
    assert state_of(copy).state == "finished"
    (copy / "store" / "run.pid").write_text(f"{os.getppid()}")
    assert state_of(copy).state == "finished"
    assert (copy / "store" / "run.pid").read_text() == f"{os.getppid()}"


def test_another_users_live_run_is_live(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that may not be signalled is there; a lock that may only be read is seen to be held."""
    copy = tmp_path / "r"
    shutil.copytree(finished, copy)

    def forbidden(_process: int, _signal: int) -> None:
        raise PermissionError

    with Store.open(copy):
        monkeypatch.setattr(os, "kill", forbidden)
        for path in (copy / "store").iterdir():
            path.chmod(0o444)
        assert state_of(copy).state == "live"
        (copy / "store" / "run.pid").unlink()
        assert state_of(copy).state == "finished"


def test_runs_are_listed_the_latest_first(finished: Path, tmp_path: Path) -> None:
    """Other folders and files are no runs."""
    (tmp_path / "no-run").mkdir()
    (tmp_path / "file").touch()
    for name in ("b", "a"):
        shutil.copytree(finished, tmp_path / name)
    assert [path.name for path in runs_in(tmp_path)] == ["a", "b"]
    assert runs_in(tmp_path / "missing") == []
    assert not is_run(tmp_path / "no-run")


@pytest.mark.parametrize(
    "line",
    [
        *({"event": event} for event in (None, 1, [], {})),
        *({"event": "round.finished", "restart": restart} for restart in ([], {}, "1", None)),
        {"event": "round.finished", "best": [], "train": 10**400},
        {"event": "round.finished", "best": "a {}", "train": "1"},
        {"event": "round.finished", "restart": 1, "conversation": -1, "round": 1, "best": "a", "train": 0.5},
        *(
            {"event": "restart.template_scored", "restart": 1, "conversation": 0, "round": 0, "val": None,
             "improved": False, "source": "llm", "template": template, "train": train}
            for template, train in ((3, 0.5), ("a {}", float("nan")))
        ),
        *({"event": "search.started", "rounds": rounds} for rounds in ("x", [], 1e300)),
        {"event": "search.started", "dataset": [], "model": {}, "llm": {}, "method": None},
        *({"event": "search.usage_changed", "calls": calls} for calls in ("1", None, [], {})),
        {"event": "search.usage_changed", "calls": 1, "prompt_tokens": "x"},
        {"event": "search.usage_changed", "calls": 1, "cost_usd": []},
        *({"event": "search.usage_changed", "calls": 1, "left": left} for left in ([], 1, {"calls": "x"})),
        *({"event": "search.stopped", "reason": {}, "limits": limits} for limits in (1, {}, [1, {}])),
        *({"event": "search.default_template_scored", "train": train} for train in ("x", None, [], 10**400)),
        {"event": "x", "time": []},
    ],
)  # fmt: skip
def test_a_line_of_another_shape_is_no_obstacle(
    line: dict[str, Any], finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``status`` shows the run, alone and in the list, as text and as JSON."""
    copy = tmp_path / "runs" / "r"
    shutil.copytree(finished, copy)
    (copy / "result.json").unlink()
    with (copy / "events.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        for more in ([], ["runs/r"]):
            for form in ([], ["--json"]):
                assert main(["status", *more, *form]) == 0
    assert "runs/r: unfinished" in capsys.readouterr().out
