"""Code, addresses and key variables of a run count only where their user started it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptclimb.agent.api import resume, search
from promptclimb.agent.cli.main import main
from promptclimb.agent.config.schema import OPTIONS, SearchConfig
from promptclimb.agent.errors import UntrustedRunError
from promptclimb.agent.results.run_dir import stored_config
from promptclimb.agent.store.records import canonical
from promptclimb.agent.store.run import Store
from promptclimb.agent.store.trust import risks
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.clock import run_virtual
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.suite_files import STUDY, pictures, write_suite

EVIL = "https://evil.example/v1"
RISKY: dict[str, Any] = {
    "custom_scorer": "their.module:make", "ray": "ray://evil.example:10001",
    "model": "local-dir:/received/model", "pretrained": "w.safetensors",
    "llm": "local:/received/model.gguf", "base_url": EVIL, "scorer_url": EVIL,
    "track": ["mlflow:https://evil.example"], "shared_cache": "/received/cache",
    "cache_dir": "/received/features",
}  # fmt: skip
HARMLESS = """
    data data_root shots seed class_names columns allow_leak on_bad_image
    precision device objective augmentations workers price temperature
    answer_tokens reasoning_effort
    extra_body method search_for describe blind restarts
    conversations rounds proposals starting_pool initial
    concurrency rpm tpm request_timeout retry_attempts max_calls max_tokens
    max_cost max_minutes give_up_after run_dir name_rounds test_images scorer scorer_dialect
    scorer_image_size scorer_answer_tokens scorer_concurrency
    scorer_rpm scorer_price max_scorer_calls racing
"""
"""Numbers, names, texts, and files that are read as data and identify the run by their content."""
SMALL = ("--method", "random", "--restarts", "1", "--initial", "5")
SCORER = """
from pathlib import Path
from tests.fakes.evaluators import FakeEvaluator

def make():
    Path(__file__).with_suffix(".ran").touch()
    return FakeEvaluator()
"""


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The secret of each test's user is its own."""
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def begun(run_dir: Path, **settings: Any) -> Path:
    """A run that was begun with these settings and has done nothing yet."""
    config = SearchConfig(**{"data": "fake", "llm": "fake", **settings})
    identity = config.identity()
    Store.create(run_dir, {"config": config.to_public(), "identity": identity}).close()
    return run_dir


def edit(run_dir: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a run's manifest from outside."""
    with sqlite3.connect(run_dir / "store" / "cache.db") as database:
        (text,) = database.execute("SELECT value FROM Cache WHERE key = 'manifest'").fetchone()
        manifest = json.loads(text)
        change(manifest)
        database.execute("UPDATE Cache SET value = ? WHERE key = 'manifest'", (canonical(manifest),))
    database.close()


def test_every_setting_is_judged() -> None:
    """A new setting either needs trust, or is named here as one that only reads data or counts."""
    assert {*HARMLESS.split()} | {*RISKY} == {*OPTIONS}
    assert not risks({"pretrained": RISKY["pretrained"]})
    for name in ("w.safetensors", "open_clip_config.json"):
        Path(name).touch()
    assert {name for name, value in RISKY.items() if name in risks({name: value})} == {*RISKY}
    assert not risks(SearchConfig(llm="gpt-4o-mini", base_url="https://api.openai.com/v1").to_public())
    assert not risks(SearchConfig(llm="local", base_url=EVIL).to_public())


def test_a_run_of_ones_own_needs_no_trust_until_it_moves_or_is_edited(tmp_path: Path) -> None:
    """What is signed is the value together with the folder."""
    run_dir = begun(tmp_path / "r", base_url="https://mine.example/v1")
    assert stored_config(run_dir).base_url == "https://mine.example/v1"
    shutil.copytree(run_dir, tmp_path / "copy")
    with pytest.raises(UntrustedRunError, match=r"OPENAI_API_KEY, to https://mine\.example/v1\. If"):
        stored_config(tmp_path / "copy")
    edit(run_dir, lambda manifest: manifest["config"].update(base_url=EVIL))
    with pytest.raises(UntrustedRunError, match=r"evil\.example.*give `base_url` again"):
        stored_config(run_dir)


def test_another_users_run_and_an_unsigned_one_need_trust(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So does a run whose user's secret is gone, or can be read by others."""
    run_dir = begun(tmp_path / "r", base_url=EVIL)
    (secret,) = (tmp_path / "cache").iterdir()
    assert secret.stat().st_mode & 0o777 == 0o600
    secret.chmod(0o644)
    with pytest.raises(UntrustedRunError):
        stored_config(run_dir)
    secret.chmod(0o600)
    stored_config(run_dir)
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "another"))
    with pytest.raises(UntrustedRunError):
        stored_config(run_dir)
    monkeypatch.setenv("PROMPTCLIMB_CACHE", "/dev/null/no-folder")
    with pytest.raises(UntrustedRunError):
        stored_config(begun(tmp_path / "s", base_url=EVIL))


def test_what_the_user_gives_again_or_does_not_use_needs_no_trust(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As a change, in the environment, as an object in Python, or with a method that asks no LLM."""
    run_dir = begun(tmp_path / "r", base_url=EVIL, custom_scorer="their.module:make")
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(UntrustedRunError, match=r"their\.module:make; .*evil"):
        stored_config(run_dir)
    with pytest.raises(UntrustedRunError, match=r"would run the code their\.module:make\. If"):
        stored_config(run_dir, {"base_url": EVIL})
    stored_config(run_dir, {"base_url": EVIL, "custom_scorer": "their.module:make"})
    monkeypatch.setenv("OPENAI_BASE_URL", "https://me:pw@evil.example/v1/")
    stored_config(run_dir, {"custom_scorer": "their.module:make"})
    monkeypatch.delenv("OPENAI_BASE_URL")
    stored_config(begun(tmp_path / "s", base_url=EVIL, method="random"))
    shutil.rmtree(tmp_path / "cache")
    stored_config(tmp_path / "s")


def test_a_session_with_objects_of_its_own_signs_nothing_for_the_next(tmp_path: Path) -> None:
    """Nobody looked at the code and the address that it did not use."""
    small: dict[str, Any] = {"restarts": 1, "conversations": 1, "rounds": 2, "initial": 5}
    config = SearchConfig(
        llm="fake", method="pn", base_url=EVIL, run_dir=tmp_path / "r", max_calls=1, **small
    )
    run_virtual(search(config, custom_scorer=FakeEvaluator(), chat=ChatByHash()))
    stored_config(tmp_path / "r")
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(UntrustedRunError):
        run_virtual(resume(tmp_path / "r", custom_scorer=FakeEvaluator()))
    more = {"max_calls": 2}
    run_virtual(resume(tmp_path / "r", changes=more, custom_scorer=FakeEvaluator(), chat=ChatByHash()))
    with pytest.raises(UntrustedRunError):
        stored_config(tmp_path / "r")


def test_a_received_run_runs_no_code_until_it_is_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line says what would run, exits with 2, and takes --trust once or the option each time."""
    (tmp_path / "x.py").write_text(SCORER)
    search = ["search", "--custom-scorer", "x.py:make", *SMALL]
    assert main([*search, "--run-dir", "made"]) == 0
    (tmp_path / "x.ran").unlink()
    (tmp_path / "made").rename("received")
    capsys.readouterr()
    assert main(["resume", "received", "--restarts", "2"]) == 2
    message = capsys.readouterr().err
    assert f"run the code {tmp_path / 'x.py'}:make. If" in message
    assert message.endswith("resume received --trust\n")
    assert main(["export", "received", "--format", "safetensors"]) == 2
    for command in ("status", "report", "transcript"):
        assert main([command, "received"]) == 0
    assert main(["export", "received", "--format", "csv"]) == 0
    assert not (tmp_path / "x.ran").exists()
    assert main(["resume", "received", "--restarts", "2", "--trust"]) == 0
    assert (tmp_path / "x.ran").exists()
    assert main(["resume", "received", "--restarts", "3"]) == 0
    Path("received").rename("again")
    assert main(["resume", "again", "--restarts", "4"]) == 2
    assert main(["resume", "again", "--restarts", "4", "--custom-scorer", "x.py:make"]) == 0
    assert main(["resume", "again", "--restarts", "5"]) == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_secret_that_is_a_pipe_or_a_link_is_not_used(tmp_path: Path) -> None:
    """Nothing waits for it, and nothing is signed with what somebody else put there."""
    run_dir = begun(tmp_path / "r", base_url=EVIL)
    (secret,) = (tmp_path / "cache").iterdir()
    secret.rename(tmp_path / "kept")
    secret.symlink_to(tmp_path / "kept")
    with pytest.raises(UntrustedRunError):
        stored_config(run_dir)
    secret.unlink()
    os.mkfifo(secret)
    with pytest.raises(UntrustedRunError):
        stored_config(run_dir)


def searched_pictures(folder: Path) -> None:
    """A finished run ``r`` of a bundled model on a few pictures."""
    pictures(folder / "pictures")
    few = ("--rounds", "1", "--conversations", "1", "--augmentations", "0", "--run-dir", "r")
    assert main(["search", "--data", "pictures", *SMALL, *few]) == 0


def test_weights_beside_settings_of_a_model_need_trust(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown model is made from these settings, which may name a tokenizer's code."""
    searched_pictures(tmp_path)
    for name in ("w.safetensors", "open_clip_config.json"):
        (tmp_path / "r" / name).touch()
    weights = str(tmp_path / "r" / "w.safetensors")
    edit(tmp_path / "r", lambda manifest: manifest["config"].update(model="Unknown", pretrained=weights))
    commands = (
        "predict pictures --run r",
        "export r --format safetensors --only texts",
        "resume r --restarts 2",
    )
    for command in commands:
        capsys.readouterr()
        assert main(command.split()) == 2
        assert f"load the model of {weights}, whose files may name code" in capsys.readouterr().err
    stored_config(tmp_path / "r", trust=True)
    stored_config(tmp_path / "r")


def test_a_suite_resumes_the_runs_that_its_file_names(tmp_path: Path) -> None:
    """What it runs comes from its file, whatever their stores name."""
    (tmp_path / "x.py").write_text(SCORER)
    search = {**STUDY["search"], "custom_scorer": "x.py:make"}
    file = write_suite(data=["words"], methods=["random"], seeds=[1], search=search, compare=[])
    suite = ("suite", file, "--suite-dir", "s")
    assert main(suite) == 0
    shutil.rmtree(tmp_path / "cache")
    (result,) = (tmp_path / "s").glob("*/result.json")
    result.unlink()
    edit(result.parent, lambda manifest: manifest["config"].update(custom_scorer="their.module:make"))
    assert main(suite) == 0
    assert result.exists()
