"""A stand-in for llama.cpp, found by child processes and by this one, and "models" for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
import tenacity

from tests.paths import ROOT

CHECKPOINTS = ROOT / "evaluator" / "pico" / "checkpoints"
FAKE = ROOT / "tests" / "fakes" / "llama"


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have classifiers learned in few steps: what they are learned for is tested here, not how well."""
    monkeypatch.setattr("promptclimb.evaluator.held_near.STEPS", 3)
    monkeypatch.setattr("promptclimb.evaluator.held_near.STRENGTHS", (1.0, 0.1))


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait shortly before a request is sent again, where real servers leave no virtual time."""
    monkeypatch.setattr("promptclimb.agent.llm.ask.WaitAsAsked.of_our_own", tenacity.wait_fixed(0.01))


@pytest.fixture(scope="session", autouse=True)
def bundled_models_opened_once() -> None:
    """Have the weights of a bundled model read, and the fast path checked with them, once: 0.2 s each."""
    from promptclimb.evaluator.clip import model_files, models, text_encoder  # after torch's environment

    create, opened, file_hash = models._create, dict[str, Any](), model_files.file_hash
    hash_of_bundled = cache(file_hash)

    def created(source: Any, overrides: dict[str, Any]) -> Any:
        if CHECKPOINTS not in source.weights.parents:
            return create(source, overrides)
        if source.name not in opened:
            opened[source.name] = create(source, overrides)
        return opened[source.name]

    checks, differences = (
        text_encoder.TextEncoder._self_check,
        WeakKeyDictionary[object, dict[object, float]](),
    )

    def checked(encoder: Any, tower: Any) -> float:
        of_model = differences.setdefault(encoder._model, {})
        if text_encoder.encode not in of_model:  # a test replaces it
            of_model[text_encoder.encode] = checks(encoder, tower)
        return of_model[text_encoder.encode]

    models._create = created
    model_files.file_hash = lambda path: (hash_of_bundled if CHECKPOINTS in path.parents else file_hash)(path)
    text_encoder.TextEncoder._self_check = checked  # type: ignore[method-assign]


@pytest.fixture
def llama(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the stand-in imported wherever the library would be."""
    monkeypatch.syspath_prepend(FAKE)
    paths = [str(FAKE), str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Path]:
    """Make a file that says what the stand-in is to do."""

    def made(**options: object) -> Path:
        path = tmp_path / "a-model.gguf"
        path.write_bytes(b"GGUF" + json.dumps(options).encode())
        return path

    return made
