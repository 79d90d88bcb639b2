"""An evaluator of a test's own behind the command line, named by an environment variable as a user would."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.evaluators import FakeEvaluator

FACTORY = "tests.fakes.black_box:opened"


@dataclass
class Seam:
    make: Callable[[EvaluatorSpec], object]


SEAM = Seam(lambda _spec: FakeEvaluator())


def opened(spec: EvaluatorSpec) -> object:
    return SEAM.make(spec)


def stand_in_a_file(
    monkeypatch: pytest.MonkeyPatch, folder: Path, make: Callable[[EvaluatorSpec], object]
) -> None:
    """Let every study of this test open what a function makes: its file names ``FACTORY``, in this folder."""
    monkeypatch.delenv("PROMPTCLIMB_CUSTOM_SCORER", raising=False)
    monkeypatch.setattr(SEAM, "make", make)
    monkeypatch.setattr(sys, "argv", ["run_agent.py"])
    monkeypatch.chdir(folder)


def stand_in(monkeypatch: pytest.MonkeyPatch, make: Callable[[EvaluatorSpec], object]) -> None:
    """Let every command of this test open what a function makes."""
    monkeypatch.setenv("PROMPTCLIMB_CUSTOM_SCORER", FACTORY)
    monkeypatch.setattr(SEAM, "make", make)
