"""A run made from Python: what it was given, and who can go on with it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from promptclimb import SearchConfig, resume_sync, search_sync
from promptclimb.agent.cli.main import main
from promptclimb.agent.errors import StoreMismatchError
from promptclimb.agent.search.given import check_given, name_of, names_of
from promptclimb.agent.search.inputs import known_identity
from promptclimb.agent.store import Store
from promptclimb.evaluator.errors import ConfigError, UsageError
from promptclimb.evaluator.fakes import FakeEvaluator
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.clock import run_virtual

SMALL: dict[str, Any] = {
    "data": "words",
    "llm": "mine",
    "method": "pn",
    "restarts": 1,
    "conversations": 1,
    "rounds": 2,
    "initial": 5,
}


class Lengths:
    """A black box that likes short templates."""

    def score(self, templates: Sequence[str]) -> list[float]:
        """One number a template."""
        return [1 / len(template) for template in templates]


def test_objects_are_called_by_their_classes() -> None:
    """Those that are there, by what they stand for."""
    assert name_of(FakeEvaluator()) == "promptclimb.evaluator.fakes.FakeEvaluator"
    assert names_of(evaluator=None, chat=None) == {}
    assert names_of(evaluator=Lengths(), chat=None) == {"evaluator": f"{__name__}.Lengths"}


def test_what_is_missing_is_named_with_what_to_do(tmp_path: Path) -> None:
    """In one line; a run that has all that it had goes on, whatever their classes are called by now."""
    before = {"evaluator": "mine.Box", "chat": "mine.Chat"}
    with pytest.raises(UsageError, match=r"mine\.Box.*mine\.Chat.*evaluator=\.\.\., chat=\.\.\.") as caught:
        check_given(tmp_path, before, {})
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"chat"):
        check_given(tmp_path, before, {"evaluator": "mine.Box"})
    check_given(tmp_path, before, {"evaluator": "other.Box", "chat": "mine.Chat"})
    check_given(tmp_path, {}, {})


def test_the_command_line_says_that_it_lacks_what_only_python_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that was stopped gets one line and exit code 2; finished from Python, it is shown."""
    monkeypatch.setattr(sys, "argv", ["run_agent.py"])
    run_dir = tmp_path / "r"
    config = SearchConfig(**SMALL, max_calls=1, run_dir=run_dir)
    stopped = search_sync(config, evaluator=FakeEvaluator(), chat=ChatByHash())
    assert stopped.status == "stopped"
    assert main(["resume", str(run_dir), "--max-calls", "9"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "evaluator (promptclimb.evaluator.fakes.FakeEvaluator)" in err
    assert "chat (tests.fakes.chat_by_hash.ChatByHash)" in err
    assert len(err.strip().splitlines()) == 1
    done = resume_sync(run_dir, changes={"max_calls": 9}, evaluator=FakeEvaluator(), chat=ChatByHash())
    assert done.status == "finished"
    assert main(["resume", str(run_dir), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == done.to_json()


def test_a_chat_of_ones_own_is_no_vendors(tmp_path: Path) -> None:
    """Neither in the result, nor where answers are shared: an endpoint's run never gets its answers."""
    shared = {"shared_cache": tmp_path / "shared", "cache_answers": True}
    first = SearchConfig(**SMALL, **shared, run_dir=tmp_path / "a")
    result = run_virtual(_searched(first, ChatByHash()))
    assert (result["llm"]["model"], result["llm"]["base_url"]) == ("mine", None)
    document = json.loads((tmp_path / "a" / "result.json").read_text())
    assert document["llm"] == {"model": "mine", "base_url": None}

    class Other(ChatByHash):
        """Another chat, whose answers are its own."""

    asked = Other()
    run_virtual(_searched(first.model_copy(update={"run_dir": tmp_path / "b"}), asked))
    assert len(asked.asked) == 2


async def _searched(config: SearchConfig, chat: ChatByHash) -> dict[str, Any]:
    from promptclimb import search

    return (await search(config, evaluator=FakeEvaluator(), chat=chat)).to_json()


def test_a_run_made_from_python_can_be_gone_on_with_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths that were given as relative ones are stored as absolute ones; what is only a name stays one."""
    (tmp_path / "words").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "pool.txt").write_text("a {}\nthe {}\none {}\n")
    monkeypatch.chdir(tmp_path)
    config = SearchConfig(
        data="words", method="random", initial=Path("pool.txt"), restarts=1, rounds=2, max_minutes=0,
        shared_cache=Path("shared"), run_dir=Path("r"),
    )  # fmt: skip
    stopped = search_sync(config, evaluator=FakeEvaluator())
    with Store.open(tmp_path / "r") as store:
        stored = store.manifest["config"]
    assert stored["initial"] == str(tmp_path / "pool.txt")
    assert stored["run_dir"] == str(tmp_path / "r")
    assert stored["shared_cache"] == str(tmp_path / "shared")
    assert stored["data"] == "words"
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "words").mkdir()
    done = resume_sync(tmp_path / "r", changes={"max_minutes": 9}, evaluator=FakeEvaluator())
    assert (stopped.status, done.status) == ("stopped", "finished")


def test_a_module_at_hand_is_found_again_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with ``MODULE:FACTORY`` from the folder that one stood in goes on from anywhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "at_hand_of_a_test.py").write_text(
        "class Lengths:\n"
        "    def score(self, templates):\n"
        "        return [1 / len(template) for template in templates]\n"
    )
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.chdir(tmp_path)
    config = SearchConfig(
        data="words", method="random", evaluator="at_hand_of_a_test:Lengths", restarts=1, rounds=2,
        max_minutes=0, run_dir=tmp_path / "r",
    )  # fmt: skip
    stopped = search_sync(config)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(tmp_path)])
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = resume_sync(tmp_path / "r", changes={"max_minutes": 9})
    assert (stopped.status, done.status) == ("stopped", "finished")


def test_an_ensemble_on_a_scorer_of_ones_own_has_no_figures(tmp_path: Path) -> None:
    """It cannot average, so nothing was measured; single templates have what they were scored."""
    config = SearchConfig(
        data="mine", method="random", restarts=1, rounds=2, initial=5, run_dir=tmp_path / "r"
    )
    result = search_sync(config, evaluator=Lengths())
    assert (result.status, result.test_opened) == ("finished", 0)
    assert len(result.ensemble.templates) == 3
    assert (result.ensemble.train, result.ensemble.val, result.ensemble.test) == (None, None, None)
    assert result.best.train == result.leaderboard[0].train
    assert result.baselines["best starting template"].train is not None
    page = (tmp_path / "r" / "report.html").read_text()
    assert "There are no test images." in page


def test_a_run_with_wordings_of_its_own_goes_on_with_the_same_ones(tmp_path: Path) -> None:
    """Wherever their file lies by now; other ones, or none, are refused. A finished run gives its result."""
    file, moved, run_dir = tmp_path / "w.toml", tmp_path / "moved.toml", tmp_path / "r"
    file.write_text("[rich]\nclasses = 'My classes: $names.'\n")
    config = SearchConfig(**{**SMALL, "method": "guided"}, wordings=file, max_calls=1, run_dir=run_dir)
    again: dict[str, Any] = {"evaluator": FakeEvaluator(), "chat": ChatByHash()}
    assert search_sync(config, **again).status == "stopped"
    with Store.open(run_dir) as store:  # as a suite asks, which opens nothing before the first search
        store.check_identity(known_identity(config, store.manifest["identity"]))
    file.rename(moved)
    with pytest.raises(ConfigError, match="wordings=PLACE"):
        resume_sync(run_dir, changes={"max_calls": 9}, **again)
    with pytest.raises(StoreMismatchError, match="wordings"):
        resume_sync(run_dir, changes={"max_calls": 9, "wordings": None}, **again)
    file.write_text("[rich]\nclasses = 'Other classes: $names.'\n")
    with pytest.raises(StoreMismatchError, match="texts of wordings"):
        resume_sync(run_dir, changes={"max_calls": 9}, **again)
    for _ in range(2):
        done = resume_sync(run_dir, changes={"max_calls": 9, "wordings": moved}, **again)
        assert done.status == "finished"
