"""List hand-made templates and class names to compare with: per data set, and open_clip's own lists."""

from __future__ import annotations

import importlib.util
import runpy
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..scoring import BARE_NAME, BASELINE_DEFAULT, DEFAULT_TEMPLATE, HAND_MADE, OPENAI_80

_TORCHVISION = {
    "Caltech101": "caltech101",
    "DTD": "dtd",
    "EuroSAT": "eurosat",
    "FGVCAircraft": "fgvc_aircraft",
    "Flowers102": "oxford_flowers",
    "Food101": "food101",
    "OxfordIIITPet": "oxford_pets",
    "SUN397": "sun397",
}
"""Torchvision's names of data sets, with those of hand_made.toml."""


@cache
def _metadata() -> Mapping[str, Any]:
    # open_clip/__init__ imports torch; the module with the lists imports nothing.
    package = importlib.util.find_spec("open_clip")
    if package is None or package.origin is None:
        raise UsageError("open_clip_torch is not installed; `pip install open_clip_torch` brings its lists")
    return runpy.run_path(str(Path(package.origin).with_name("zero_shot_metadata.py")))


@cache
def imagenet_templates() -> tuple[str, ...]:
    """Return ``OPENAI_IMAGENET_TEMPLATES``: the 80 that OpenAI published."""
    return tuple(template("{}") for template in _metadata()["OPENAI_IMAGENET_TEMPLATES"])


@cache
def simple_imagenet_templates() -> tuple[str, ...]:
    """Return ``SIMPLE_IMAGENET_TEMPLATES``: the seven that OpenAI found to do best together."""
    return tuple(template("{}") for template in _metadata()["SIMPLE_IMAGENET_TEMPLATES"])


@cache
def imagenet_class_names() -> tuple[str, ...]:
    """Return ``IMAGENET_CLASSNAMES``: 1,000 names in the order of the WordNet ids."""
    return tuple(_metadata()["IMAGENET_CLASSNAMES"])


def for_dataset(name: str) -> dict[str, tuple[str, ...]]:
    """Return the templates to compare with, by list; ``hand-made`` only if the data set has some."""
    lists: dict[str, tuple[str, ...]] = {BASELINE_DEFAULT: (DEFAULT_TEMPLATE,), BARE_NAME: ("{}",)}
    if of_dataset := hand_made(name):
        lists[HAND_MADE] = of_dataset
    lists[OPENAI_80] = imagenet_templates()
    return lists


@cache
def published() -> dict[str, tuple[str, ...]]:
    """Return the templates of hand_made.toml, by data set."""
    tables = tomllib.loads((Path(__file__).parent / "hand_made.toml").read_text("utf-8"))
    return {name: tuple(templates) for name, templates in tables.items()}


def hand_made(name: str) -> tuple[str, ...]:
    """Return the templates made for one data set, if any."""
    name = _TORCHVISION.get(name, name)
    if name == "imagenet":
        return simple_imagenet_templates()
    return published().get(name, ())
