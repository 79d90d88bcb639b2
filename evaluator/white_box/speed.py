"""Measure how fast this machine runs a CLIP: its weights need not be here, and their size is measured too."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from PIL import Image

from ..clip.models import parse_devices, untrained_model
from ..clip.text_encoder import TextEncoder
from ..errors import ModelError
from .coop import BATCH, SoftPrompt, epochs_for, grid
from .references import CoopOptions

IMAGES, TEMPLATES = 2, 4
NAMES = ("cat", "polka-dotted", "american bulldog", "a kind of tree")
PHOTOGRAPH = (500, 400)
BYTES = 4
"""Of a number in a file of weights."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds for an image, a template with one class name, and a step of CoOp with one class name."""

    image: float
    text: float
    coop: float  # 0 if CoOp cannot learn through the text tower
    gigabytes: float  # of the model's weights, at most


@cache
def measure(model: str, device: str) -> Speed:
    """Run a model on a few images and texts; take seconds.

    Raises:
        ModelError: open_clip has no such model, or the device is missing.
    """
    loaded = untrained_model(model, parse_devices(device)[0])
    network: Any = loaded.model
    pictures = [Image.new("RGB", PHOTOGRAPH)] * IMAGES
    encoder = TextEncoder(network, loaded.tokenizer, NAMES, loaded.context_length)
    templates = [f"{number} photos of a {{}}." for number in range(TEMPLATES)]

    def encode_images() -> object:
        inputs = torch.stack([loaded.preprocess(picture) for picture in pictures])
        with torch.inference_mode():
            return network.encode_image(inputs.to(loaded.device)).cpu()

    def learn() -> object:
        prompt = SoftPrompt(encoder, CoopOptions().context)
        context = torch.zeros(*prompt.shape, prompt.width, device=prompt.device, requires_grad=True)
        prompt.features(context).sum().backward()  # type: ignore[no-untyped-call]
        assert context.grad is not None
        return context.grad.cpu()

    try:
        coop = _seconds(learn) / len(NAMES)
    except ModelError:
        coop = 0.0
    return Speed(
        image=_seconds(encode_images) / IMAGES,
        text=_seconds(lambda: encoder.vectors(templates).cpu()) / (TEMPLATES * len(NAMES)),
        coop=coop,
        gigabytes=BYTES * sum(weights.numel() for weights in network.parameters()) / 1e9,
    )


def coop_steps(options: CoopOptions, shots: int, images: int) -> int:
    """Return the steps of CoOp on so many images, over all trainings of its grid."""
    trials = grid(options, shots) if options.tuned else [options]
    epochs = sum(trial.epochs or epochs_for(shots) for trial in trials)
    return epochs * max(1, images // BATCH)


def _seconds(work: Callable[[], object]) -> float:
    """Return the time of the faster of two runs: the first also prepares things."""
    times = []
    for _ in range(2):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)
