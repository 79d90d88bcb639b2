"""A search with a local LLM from its beginning to its end: what it leaves, and what it does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from promptclimb import SearchConfig, resume, search
from promptclimb.agent.errors import FatalChatError, StoreMismatchError
from tests.fakes.evaluators import FakeEvaluator

pytestmark = [
    pytest.mark.usefixtures("llama"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for children in /proc"),
]
Model = Callable[..., Path]


def servers() -> list[int]:
    """Process ids of the servers that this process has as children."""
    command = ["pgrep", "-P", str(os.getpid()), "-f", "llama_child"]
    pgrep = subprocess.run(command, capture_output=True, text=True, check=False)
    return [int(pid) for pid in pgrep.stdout.split()]


def config(model: Path, run_dir: Path, **more: object) -> SearchConfig:
    small = {"method": "pn", "restarts": 1, "conversations": 1, "rounds": 2, "initial": 4, "concurrency": 2}
    return SearchConfig(**{"data": "words", "llm": f"local:{model}", "run_dir": run_dir, **small, **more})


async def test_it_restarts_and_leaves_no_server(model: Model, tmp_path: Path) -> None:
    """The server is there while it restarts; its key, which is nobody's, stands in no file of the run."""
    seen: list[list[int]] = []
    evaluator = FakeEvaluator(before_batch=lambda _: seen.append(servers()))
    result = await search(config(model(), tmp_path / "run"), custom_scorer=evaluator)
    assert (result.status, result.usage.calls, result.usage.cost_usd) == ("finished", 2, 0.0)
    assert result.llm.model == f"local:{model()}"
    assert result.llm.base_url is None
    assert len(seen[-1]) == 1
    assert servers() == []


async def test_one_that_is_stopped_leaves_no_server(model: Model, tmp_path: Path) -> None:
    """An error of the evaluator's ends the server with the search."""

    def broken(templates: Sequence[str]) -> None:
        assert len(servers()) == 1
        raise OSError("the images are gone")

    with pytest.raises(Exception, match="the images are gone"):
        await search(config(model(), tmp_path / "run"), custom_scorer=FakeEvaluator(before_batch=broken))
    assert servers() == []


async def test_one_whose_server_is_killed_is_resumed_to_the_same_result(model: Model, tmp_path: Path) -> None:
    """The run ends and says why; resumed, no round is lost."""
    batches: list[Sequence[str]] = []

    def kill(templates: Sequence[str]) -> None:
        batches.append(templates)
        if len(batches) == 3:  # the first that the LLM proposed
            os.kill(servers()[0], signal.SIGKILL)

    plain = await search(config(model(), tmp_path / "plain"), custom_scorer=FakeEvaluator())
    with pytest.raises(FatalChatError, match="has died"):
        await search(config(model(), tmp_path / "again"), custom_scorer=FakeEvaluator(before_batch=kill))
    again = await resume(tmp_path / "again", custom_scorer=FakeEvaluator())
    assert (again.best, again.skipped, again.leaderboard) == (plain.best, plain.skipped, plain.leaderboard)


async def test_a_model_of_ones_own_is_known_by_its_content(model: Model, tmp_path: Path) -> None:
    """A run goes on where the file was moved, and not with another one in its place."""
    first = config(model(), tmp_path / "run", max_calls=1)
    evaluator = FakeEvaluator()
    assert (await search(first, custom_scorer=evaluator)).status == "stopped"
    (tmp_path / "7b").mkdir()
    moved = model().rename(tmp_path / "7b" / "a-model.gguf")
    other = model(seed=1)
    assert other.read_bytes() != moved.read_bytes()
    with pytest.raises(StoreMismatchError, match="the content of the LLM's file"):
        await resume(tmp_path / "run", changes={"max_calls": 9}, custom_scorer=evaluator)
    changes = {"max_calls": 9, "llm": f"local:{moved}"}
    done = await resume(tmp_path / "run", changes=changes, custom_scorer=evaluator)
    assert (done.status, done.usage.calls) == ("finished", 2)
