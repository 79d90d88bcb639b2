"""From what the user asked for to an evaluator that is ready to score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .scoring import Evaluator, Objective

if TYPE_CHECKING:
    from .datasets import FewShotData

Report = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorSpec:
    """Everything that decides what an evaluator is.

    Attributes:
        data: Name of a known data set, or a folder of class folders.
        data_root: Where data sets lie (CoOp's ``$DATA``); None for the environment's.
        model: A name that open_clip knows, or a bundled one.
        pretrained: A tag that open_clip knows, ``pico``, or a checkpoint file.
        shots: Training images a class.
        seed: Seed of the few-shot sample.
        few_shot_file: Published indices to use instead of sampling.
        class_names: ``openai``, ``split``, or a file with one name a line; None for the data set's own.
        allow_leak: Go on although an image lies in train and in test.
        on_bad_image: ``fail`` at an image that cannot be read, or ``skip`` it.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``cuda:0,1`` (a replica each) or ``mps``.
        precision: ``fp32``, or ``best`` for what the hardware does fastest.
        objective: What a search will climb; the grey-box ones make scores carry values read from logits.
        cache_dir: Where features are kept; None for the user's cache.
        workers: Threads that decode images.
        image_batch: Images encoded at once.
        ray: ``auto`` or the address of a Ray cluster whose nodes score; None to score in this process.
        text_rows: Tokens that go through the text tower at once; None to fit the device.
    """

    data: str
    data_root: Path | None = None
    model: str = "RN-pico"
    pretrained: str = "pico"
    shots: int = 16
    seed: int = 1
    few_shot_file: Path | None = None
    class_names: str | None = None
    allow_leak: bool = False
    on_bad_image: Literal["fail", "skip"] = "fail"
    device: str = "auto"
    precision: Literal["fp32", "best"] = "fp32"
    objective: Objective = "accuracy"
    cache_dir: Path | None = None
    workers: int = 4
    image_batch: int = 64
    text_rows: int | None = None
    ray: str | None = None


def load_data(spec: EvaluatorSpec) -> FewShotData:
    """The data of a specification, its few shots drawn; torch-free.

    Raises:
        DataError: The data set cannot be used.
    """
    from .datasets import load

    return load(
        spec.data,
        data_root=spec.data_root,
        shots=spec.shots,
        seed=spec.seed,
        few_shot_file=spec.few_shot_file,
        class_names=spec.class_names,
        allow_leak=spec.allow_leak,
    )


def open_evaluator(
    spec: EvaluatorSpec, *, report: Report | None = None, progress: Progress | None = None
) -> Evaluator:
    """Loads data and model, encodes the images that are not in the cache, and returns the evaluator.

    Blocks for as long as that takes: call it in a thread. torch is imported here, not before.

    Args:
        spec: What to open.
        report: Told each fact worth knowing, a line of text each (preprocessing, corrections, what is left
            out).
        progress: Told how many images of how many are encoded, batch after batch; the test images too, when
            ``examine`` opens them.

    Raises:
        DataError: The data set cannot be used.
        ModelError: The model, its checkpoint or the device cannot be used.
    """
    from .clip.local import open_from

    return open_from(spec, report or (lambda _line: None), progress or (lambda _done, _of: None))
