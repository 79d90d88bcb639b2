"""A stand-in for llama.cpp, found by child processes and by this one, and "models" for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.paths import ROOT

FAKE = ROOT / "tests" / "fakes" / "llama"


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have classifiers learnt in few steps: what they are learnt for is tested here, not how well."""
    monkeypatch.setattr("promptclimb.evaluator.held_near.STEPS", 3)


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
