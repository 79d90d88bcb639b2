"""An evaluator of a test's own behind the command line, named by an environment variable as a user would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.spec import EvaluatorSpec

FACTORY = "tests.fakes.black_box:opened"


@dataclass
class Seam:
    """What is opened now."""

    make: Callable[[EvaluatorSpec], object]


SEAM = Seam(lambda _spec: FakeEvaluator())


def opened(spec: EvaluatorSpec) -> object:
    """What the command line opens."""
    return SEAM.make(spec)


def stand_in(monkeypatch: pytest.MonkeyPatch, make: Callable[[EvaluatorSpec], object]) -> None:
    """Let every command of this test open what a function makes."""
    monkeypatch.setenv("PROMPTCLIMB_EVALUATOR", FACTORY)
    monkeypatch.setattr(SEAM, "make", make)
