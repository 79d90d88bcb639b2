"""Whether the local model can be used: found out before a search begins, and remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from promptclimb.agent.config.schema import SearchConfig
from promptclimb.agent.errors import EndpointError
from promptclimb.agent.events.types import Event, ModelFetched, Noted
from promptclimb.agent.llm import local_server
from promptclimb.agent.llm.local_models import model_name
from promptclimb.agent.llm.local_server import is_available, make_ready
from promptclimb.agent.results.result import LLM_FALLBACK
from promptclimb.agent.search.api import resume, search
from promptclimb.agent.search.inputs import fallen_back, try_local_llm
from promptclimb.evaluator.errors import PromptclimbError, UsageError
from promptclimb.evaluator.fakes import FakeEvaluator

Model = Callable[..., Path]


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """Each test begins knowing nothing."""
    local_server._unusable.clear()
    local_server._loaded.clear()
    yield
    local_server._unusable.clear()
    local_server._loaded.clear()


@pytest.fixture
def fetching(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Have a fetch say how far it is and fail; each is noted."""
    asked: list[str] = []

    def fetch(llm: str, progress: Callable[[str, int], None]) -> Path:
        asked.append(llm)
        for done in (0, 10, 10, 491_400_064):
            progress("a hub", done)
        raise EndpointError("the index is offline")

    monkeypatch.setattr(local_server, "model_file", fetch)
    return asked


def config(**more: object) -> SearchConfig:
    return SearchConfig(**{"data": "words", "llm": "local", "llm_fallback": "random", **more})


@pytest.mark.usefixtures("llama")
async def test_a_file_of_the_users_is_ready_at_once(model: Model) -> None:
    """Its name is what the server calls it."""
    file = model()
    assert await make_ready(f"local:{file}", pytest.fail) == file
    assert model_name(f"local:{file}") == "a-model"
    assert is_available(f"local:{file}") is None


async def test_a_library_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched for it."""
    monkeypatch.setattr(local_server, "PACKAGE", "not_there")
    assert is_available() == "not_there is not installed"
    with pytest.raises(EndpointError, match="not_there is not installed"):
        await make_ready("local", pytest.fail)


@pytest.mark.usefixtures("llama")
async def test_a_library_that_does_not_run_here_is_found_out(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was built for other processors takes a process with it, but not the search."""
    (tmp_path / "broken_llama.py").write_text("import os; os.abort()")
    monkeypatch.setattr(local_server, "PACKAGE", "broken_llama")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(EndpointError, match="broken_llama does not run here: exit code -6"):
        await make_ready(f"local:{model()}", pytest.fail)


@pytest.mark.usefixtures("llama")
async def test_how_far_a_download_is_is_reported(fetching: list[str]) -> None:
    """In bytes of bytes, seldom enough for a log, and at its end."""
    events: list[Event] = []
    with pytest.raises(EndpointError, match="offline"):
        await make_ready("local", events.append)
    first, last = [event for event in events if isinstance(event, ModelFetched)]
    assert (first.done, last.done, last.of, last.source) == (0, 491_400_064, 491_400_064, "a hub")


@pytest.mark.usefixtures("llama")
async def test_what_could_not_be_had_is_not_tried_again_where_a_method_stands_in(
    fetching: list[str],
) -> None:
    """The searches of a suite continue alike: a second one does not wait for the same failure."""
    events: list[Event] = []
    assert fallen_back(config()) == config()
    for _ in range(2):
        found, notes = await try_local_llm(config(), events.append, {})
        assert (found.method, found.llm) == ("random", None)
        assert "the index is offline" in notes[LLM_FALLBACK]["reason"]
    assert fetching == ["local"]
    assert fallen_back(config()) == found
    assert sum(isinstance(event, Noted) for event in events) == 2


@pytest.mark.usefixtures("llama")
@pytest.mark.parametrize("more", [{"llm_fallback": None}, {"method": "random"}, {"llm": "gpt-4o-mini"}])
async def test_where_nothing_stands_in_nothing_is_tried(more: dict[str, object], fetching: list[str]) -> None:
    """The search itself finds out, after all that is cheaper to look at."""
    assert await try_local_llm(config(**more), pytest.fail, {}) == (config(**more), {})
    assert fetching == []


@pytest.mark.usefixtures("llama")
async def test_a_run_that_began_without_an_llm_continues_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that is available by then does not make another run of it."""
    one = config(data="digits", run_dir=tmp_path / "run", restarts=1, rounds=1, initial=4)
    broken = FakeEvaluator(before_batch=lambda _: 1 / 0)
    with monkeypatch.context() as patched:
        patched.setattr(local_server, "PACKAGE", "not_there")
        with pytest.raises(PromptclimbError):
            await search(one, evaluator=broken)
    assert is_available() is None
    result = await resume(tmp_path / "run", evaluator=FakeEvaluator())
    assert (result.status, result.method) == ("finished", "random")
    assert "not_there is not installed" in result.notes[LLM_FALLBACK]


@pytest.mark.usefixtures("llama")
async def test_a_method_stands_in_for_a_model_that_cannot_be_loaded(tmp_path: Path, model: Model) -> None:
    """A file may be a GGUF and broken all the same; one line says so, and the other searches know."""
    events: list[Event] = []
    small = {"restarts": 1, "rounds": 1, "initial": 4, "run_dir": tmp_path / "run"}
    one = config(llm=f"local:{model(fails='tensor data is not within the file bounds')}", **small)
    result = await search(one, evaluator=FakeEvaluator(), on_event=events.append)
    assert (result.status, result.method, result.llm.model) == ("finished", "random", None)
    (said,) = [event.text for event in events if isinstance(event, Noted) and "file bounds" in event.text]
    assert said == result.notes[LLM_FALLBACK]
    assert "\n" not in said
    assert fallen_back(one).llm is None


@pytest.mark.usefixtures("llama")
async def test_a_model_is_tried_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The searches of a suite load it for themselves, not twice each."""
    one = config(llm=f"local:{model()}")
    assert await try_local_llm(one, pytest.fail, None) == (one, {})
    monkeypatch.setattr(local_server, "LlamaServer", None)
    assert await try_local_llm(one, pytest.fail, None) == (one, {})


def test_an_error_of_it_is_wrong_usage() -> None:
    """Exit code 2, and no traceback."""
    assert issubclass(EndpointError, UsageError)


@pytest.mark.usefixtures("llama")
@pytest.mark.parametrize("fallback", [None, "combine"])
async def test_a_folder_that_is_not_there_is_reported_before_the_model_is_loaded(
    model: Model, tmp_path: Path, fallback: str | None
) -> None:
    """Loading takes half a minute on a busy machine, and looking for images does not."""
    events: list[Event] = []
    llm, nowhere = f"local:{model()}", str(tmp_path / "nix")
    wrong = config(llm=llm, llm_fallback=fallback, data=nowhere, run_dir=tmp_path / "run")
    with pytest.raises(UsageError, match="no data set called"):
        await search(wrong, on_event=events.append)
    assert not [event for event in events if isinstance(event, Noted) and "loading" in event.text]
    assert not local_server._loaded
