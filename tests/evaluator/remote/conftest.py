"""A folder of coloured images, and evaluators of it behind the fake API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.remote.evaluator import RemoteEvaluator
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.visual_api import COLOURS, VisualApi

Opened = Callable[..., RemoteEvaluator]
EACH = 10


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of ten small images, each of about one colour."""
    folder = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir()
        for number in range(EACH):
            pixels = np.clip(np.array(colour) + rng.integers(-25, 25, (16, 16, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def opened(colours: Path) -> Opened:
    """Opens an evaluator on the coloured images."""

    def open_it(scorer: str, api: VisualApi, labels: Path | None = None, **more: Any) -> RemoteEvaluator:
        settings = {"data": str(colours), "model": "m", "scorer_url": "http://127.0.0.1:1/v1"} | more
        evaluator = open_evaluator(EvaluatorSpec(scorer=scorer, **settings), ask=api, labels=labels)
        assert isinstance(evaluator, RemoteEvaluator)
        asyncio.run(evaluator.prepare())
        return blocking(evaluator)

    return open_it


def blocking(evaluator: RemoteEvaluator) -> RemoteEvaluator:
    """Let each call of an evaluator run to its end, in an event loop of its own."""

    def to_the_end(method: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments, **options: asyncio.run(method(*arguments, **options))

    for name in ("score", "examine", "predict", "predict_some", "predict_named"):
        if (method := getattr(evaluator, name, None)) is not None:
            setattr(evaluator, name, to_the_end(method))
    return evaluator
