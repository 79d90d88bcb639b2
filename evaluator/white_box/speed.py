"""Measure how fast this machine runs a CLIP: its weights need not be here, and their size is measured too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from PIL import Image

from ..clip.models import LoadedModel, parse_devices, untrained_model
from ..clip.text_encoder import TextEncoder
from ..errors import ModelError
from .coop import BATCH, SoftPrompt, epochs_for, grid
from .references import CoopOptions

TEMPLATES = 4
NAMES = tuple(
    f"{kind}{thing}"
    for kind in ("", "polka-dotted ", "american ", "a kind of ")
    for thing in ("cat", "bulldog", "tree", "river", "meadow", "chair", "orchid", "highway")
)
"""As many as a data set may have: what texts share is computed once for all of them."""
REPETITIONS = 3
PHOTOGRAPH = (500, 400)
BYTES = 4
"""Of a number in a file of weights."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds for an image, a template with one class name, and a step of CoOp with one class name.

    On a CPU, they are processor time of one core, which other programs hardly change. On another device,
    they are by the clock, and ``cores`` is None.
    """

    image: float
    text: float
    coop: float  # 0 if CoOp cannot learn through the text tower
    gigabytes: float  # of the model's weights, at most
    cores: int | None  # that torch uses here


@cache
def measure(model: str, device: str) -> Speed:
    """Run a model on a few images and texts; take seconds.

    Raises:
        ModelError: open_clip has no such model, or the device is missing.
    """
    loaded = untrained_model(model, parse_devices(device)[0])
    if loaded.device.type != "cpu":
        return _measured(loaded, time.perf_counter, images=64, cores=None)
    with _one_core() as cores:
        return _measured(loaded, time.process_time, images=2, cores=cores)


@contextmanager
def _one_core() -> Iterator[int]:
    """Let torch use one core: several wait for each other, which is counted as processor time too."""
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield cores
    finally:
        torch.set_num_threads(cores)


def _measured(loaded: LoadedModel, clock: Callable[[], float], *, images: int, cores: int | None) -> Speed:
    network: Any = loaded.model
    pictures = [Image.new("RGB", PHOTOGRAPH)] * images
    encoder = TextEncoder(network, loaded.tokenizer, NAMES, loaded.context_length)
    templates = [f"{number} photos of a {{}}." for number in range(TEMPLATES)]

    def encode_images() -> object:
        inputs = torch.stack([loaded.preprocess(picture) for picture in pictures])
        with torch.inference_mode():
            return network.encode_image(inputs.to(loaded.device)).cpu()

    def learn() -> object:
        prompt = SoftPrompt(encoder, CoopOptions().context)
        context = torch.zeros(CoopOptions().context, prompt.width, device=prompt.device, requires_grad=True)
        prompt.features(context).sum().backward()  # type: ignore[no-untyped-call]
        assert context.grad is not None
        return context.grad.cpu()

    try:
        coop = _seconds(learn, clock) / len(NAMES)
    except ModelError:
        coop = 0.0
    return Speed(
        image=_seconds(encode_images, clock) / images,
        text=_seconds(lambda: encoder.vectors(templates).cpu(), clock) / (TEMPLATES * len(NAMES)),
        coop=coop,
        gigabytes=BYTES * sum(weights.numel() for weights in network.parameters()) / 1e9,
        cores=cores,
    )


def coop_steps(options: CoopOptions, shots: int, images: int) -> int:
    """Return the steps of CoOp on so many images, over all trainings of its grid."""
    trials = grid(shots) if options.tuned else [options]
    epochs = sum(trial.epochs or epochs_for(shots) for trial in trials)
    return epochs * max(1, images // BATCH)


def _seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """Return the least time of several runs: the first also prepares things."""
    times = []
    for _ in range(REPETITIONS):
        started = clock()
        work()
        times.append(clock() - started)
    return min(times)
