"""The ways into a search from Python: what is given wrongly is one clear line, and nothing is made."""

from __future__ import annotations

import asyncio
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import promptclimb
from promptclimb.agent.api import (
    datasets,
    evaluate,
    load_data,
    report,
    resume,
    resume_sync,
    search,
    search_sync,
)
from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.results.result import SearchResult
from promptclimb.agent.results.run_dir import runs_in
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.errors import ConfigError, UsageError
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.clock import run_virtual
from tests.fakes.evaluators import FakeEvaluator

SMALL: dict[str, Any] = {
    "data": "words", "method": "random", "restarts": 1, "conversations": 1, "rounds": 1, "initial": 4,
}  # fmt: skip


async def test_the_functions_for_programs_without_a_loop_say_so_where_there_is_one() -> None:
    """As in a notebook: what to write instead, and no warning of a coroutine that nobody awaited."""
    calls: dict[str, Callable[[], object]] = {
        "search": lambda: search_sync(SearchConfig(**SMALL)),
        "resume": lambda: resume_sync("x"),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, call in calls.items():
            with pytest.raises(UsageError, match=rf"`await {name}\(\.\.\.\)`"):
                call()


def test_a_wrong_change_is_reported_as_one(tmp_path: Path) -> None:
    """Changes are a mapping; what is unknown or wrong in them did not come from a command line."""
    run = tmp_path / "run"
    search_sync(SearchConfig(**SMALL, run_dir=run), custom_scorer=FakeEvaluator())
    with pytest.raises(UsageError, match="changes must be a mapping"):
        resume_sync(run, changes=["x"], custom_scorer=FakeEvaluator())
    with pytest.raises(UsageError, match="resume: each name in changes must be a text, not int"):
        resume_sync(run, changes={1: 2}, custom_scorer=FakeEvaluator())
    with pytest.raises(
        ConfigError, match=r"unknown setting 'max_minuts' \(from changes\); did you mean max_min"
    ):
        resume_sync(run, changes={"max_minuts": 3}, custom_scorer=FakeEvaluator())
    with pytest.raises(ConfigError, match=r"^max_minutes = inf \(from changes\): .*finite"):
        resume_sync(run, changes={"max_minutes": float("inf")}, custom_scorer=FakeEvaluator())


def test_a_stored_config_that_was_changed_from_outside_is_named(tmp_path: Path) -> None:
    """The run is where the wrong value comes from."""
    Store.create(tmp_path, {"identity": {}, "config": {"method": "random", "shots": "many"}}).close()
    with pytest.raises(ConfigError, match=f"^shots = 'many' .from the run {tmp_path}.: "):
        resume_sync(tmp_path)


def test_a_folder_in_place_of_a_runs_file_is_reported_before_the_run_goes_on(tmp_path: Path) -> None:
    """The end of a search is no time to find out that its result cannot be written."""
    config = SearchConfig(**{**SMALL, "max_minutes": 0}, run_dir=tmp_path / "run")
    evaluator = FakeEvaluator()
    search_sync(config, custom_scorer=evaluator)
    (tmp_path / "run" / "result.json").unlink()
    (tmp_path / "run" / "result.json").mkdir()
    with pytest.raises(UsageError, match=r"result\.json is a folder"):
        resume_sync(tmp_path / "run", changes={"max_minutes": 1}, custom_scorer=evaluator)


async def test_a_listener_that_is_async_is_refused() -> None:
    """Nobody would await it; a plain function, or an object that is called, is not one."""

    async def later(event: object) -> None:
        """Never called."""

    class Later:
        async def __call__(self, event: object) -> None:
            """Never called."""

    for listener in (later, Later()):
        with pytest.raises(UsageError, match="on_event is async"):
            await search(SearchConfig(data="x", method="random"), on_event=listener)  # type: ignore[arg-type]


def test_searches_that_begin_in_the_same_second_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that cannot begin leaves no folder behind."""
    monkeypatch.chdir(tmp_path)

    async def three() -> list[SearchResult | BaseException]:
        ready = (search(SearchConfig(**SMALL), custom_scorer=FakeEvaluator()) for _ in range(2))
        broken = search(SearchConfig(**SMALL), custom_scorer=object())
        return await asyncio.gather(*ready, broken, return_exceptions=True)

    first, second, refused = run_virtual(three())
    assert isinstance(first, SearchResult)
    assert isinstance(second, SearchResult)
    assert isinstance(refused, ConfigError)
    assert len(runs_in(tmp_path / "runs")) == len(list((tmp_path / "runs").iterdir())) == 2


def test_a_result_says_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An absolute path, also where the folder was named by the program itself; the document has none."""
    monkeypatch.chdir(tmp_path)
    first = search_sync(SearchConfig(**SMALL), custom_scorer=FakeEvaluator())
    assert first.run_dir is not None
    assert first.run_dir.parent == tmp_path / "runs"
    assert "run_dir" not in first.to_json()
    again = resume_sync(first.run_dir, custom_scorer=FakeEvaluator())
    assert (again, again.run_dir) == (first, first.run_dir)


def test_a_text_is_taken_for_a_path_and_a_path_for_a_text(tmp_path: Path) -> None:
    """Also in a config that was changed by a copy, which nobody checked."""
    config = SearchConfig(**SMALL, run_dir=str(tmp_path / "first"))
    changed = config.model_copy(update={"run_dir": str(tmp_path / "copied")})
    for given_config in (config, changed):
        result = search_sync(given_config, custom_scorer=FakeEvaluator())
        assert result.run_dir == Path(str(given_config.run_dir))
        assert (
            report(str(result.run_dir))
            == report(Path(str(given_config.run_dir)))
            == result.run_dir / "report.html"
        )
    assert EvaluatorSpec(data=Path("x"), pretrained=tmp_path / "w").pretrained == str(tmp_path / "w")
    with pytest.raises(ConfigError, match="restarts = 'many'`: "):
        search_sync(config.model_copy(update={"restarts": "many"}), custom_scorer=FakeEvaluator())


def test_a_run_that_is_there_is_resumed_by_a_call(tmp_path: Path) -> None:
    """The message gives the call to write, where the command line gives the command."""
    config = SearchConfig(**SMALL, run_dir=tmp_path)
    search_sync(config, custom_scorer=FakeEvaluator())
    with pytest.raises(UsageError, match=r"search longer: `promptclimb resume /.*` with `restarts = N`"):
        search_sync(config, custom_scorer=FakeEvaluator())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: search_sync(3), "search: config must be a SearchConfig, not int"),
        (lambda: search_sync(EvaluatorSpec()), "search: config must be a SearchConfig, not EvaluatorSpec"),
        (lambda: resume_sync(None), "resume: run_dir must be the path"),
        (lambda: resume_sync(b"x"), "resume: run_dir must be the path"),
        (lambda: evaluate(["a {}"], SearchConfig), "evaluate: spec must be an EvaluatorSpec, not "),
        (lambda: evaluate(["a {}"], EvaluatorSpec(), split="tset"), "'tset' is not a split; there are train"),
        (lambda: load_data("digits"), "load_data: spec must be an EvaluatorSpec, not str"),
        (lambda: report(None), "report: run_dir must be the path"),
    ],
)
def test_what_is_given_wrongly_is_reported(call: Callable[[], object], message: str) -> None:
    """In a line that names the argument."""
    with pytest.raises(UsageError, match=message):
        call()


def test_a_function_has_the_name_that_it_is_called_by() -> None:
    """In Python's own messages, in help, and for pickle; ``dir`` shows what is public alone."""
    assert dir(promptclimb) == sorted(promptclimb.__all__)
    for name in promptclimb.__all__:
        public = getattr(promptclimb, name)
        assert getattr(public, "__name__", name) == name
    with pytest.raises(TypeError, match=r"^evaluate\(\) got an unexpected keyword argument 'splits'"):
        evaluate(["a {}"], EvaluatorSpec(), splits="test")
    assert pickle.loads(pickle.dumps(evaluate)) is evaluate


@pytest.mark.usefixtures("small_sets")
def test_data_are_looked_at_without_a_search() -> None:
    """Every known name; and one few-shot split, whose test images stay held out."""
    assert {"digits", "photos"} <= {data_set.name for data_set in datasets()}
    data = load_data(EvaluatorSpec(data="backgrounds", shots=2, seed=1))
    assert (data.name, len(data.train)) == ("backgrounds", 2 * len(data.classes))
    assert data.test.size > 0


async def test_a_chat_without_a_method_is_asked_for_templates(tmp_path: Path) -> None:
    """As a named LLM is; a limit on its cost needs a price then."""
    small = {"restarts": 1, "conversations": 1, "rounds": 1, "initial": 4}
    result = await search(
        SearchConfig(**small, run_dir=tmp_path / "run"), custom_scorer=FakeEvaluator(), chat=ChatByHash()
    )
    assert (result.method, result.usage.calls) == ("guided", 1)
    limited = SearchConfig(**small, max_cost=1, run_dir=tmp_path / "limited")
    with pytest.raises(ConfigError, match="`max_cost` needs the LLM's price"):
        await search(limited, custom_scorer=FakeEvaluator(), chat=ChatByHash())


async def test_a_chat_of_ones_own_needs_no_name(tmp_path: Path) -> None:
    """The result names its class. Without it the search needs an LLM; nothing is made."""
    config = SearchConfig(
        method="pn", restarts=1, conversations=1, rounds=1, initial=4, run_dir=tmp_path / "run"
    )
    with pytest.raises(ConfigError, match=r"needs an LLM: give `llm = MODEL`, or `method = \"combine\"`"):
        await search(config, custom_scorer=FakeEvaluator())
    assert not (tmp_path / "run").exists()
    result = await search(config, custom_scorer=FakeEvaluator(), chat=ChatByHash())
    assert result.llm is not None
    assert result.llm.model == "tests.fakes.chat_by_hash.ChatByHash"
    assert result.usage.calls == 1
    again = await resume(tmp_path / "run", custom_scorer=FakeEvaluator(), chat=ChatByHash())
    assert again.usage.calls == 1


def test_the_last_line_on_encoded_images_counts_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The labelled ones with their copies, and the test images by themselves."""
    monkeypatch.setattr("promptclimb.agent.llm.scorer.PROGRESS_EVERY_S", 0)
    lines: list[str] = []
    spec = EvaluatorSpec(shots=1, test_images=96, augmentations=1, cache_dir=tmp_path)
    evaluate(["a {}"], spec, report=lines.append)
    encoded = [line for line in lines if " encoded" in line]
    labelled = "48 images encoded, augmented copies included"
    assert encoded[encoded.index(labelled) + 1 :] == ["64 of 96 images encoded", "96 images encoded"]
