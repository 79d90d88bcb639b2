"""Lists that open_clip carries: read from its own file, so that torch need not be imported for them."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from .errors import UsageError


@cache
def _metadata() -> ModuleType:
    # open_clip/__init__ imports torch; the lists live in a module that imports nothing.
    package = importlib.util.find_spec("open_clip")
    folders = list(package.submodule_search_locations or ()) if package else []
    for folder in folders:
        spec = importlib.util.spec_from_file_location(
            "_open_clip_lists", Path(folder) / "zero_shot_metadata.py"
        )
        if spec and spec.loader:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise UsageError("open_clip_torch is not installed; `pip install open_clip_torch` brings its lists")


@cache
def imagenet_templates() -> tuple[str, ...]:
    """Return ``OPENAI_IMAGENET_TEMPLATES``: the 80 that OpenAI published, with ``{}`` for the class name."""
    return tuple(template("{}") for template in _metadata().OPENAI_IMAGENET_TEMPLATES)


@cache
def simple_imagenet_templates() -> tuple[str, ...]:
    """Return ``SIMPLE_IMAGENET_TEMPLATES``: the seven that OpenAI found to do best together."""
    return tuple(template("{}") for template in _metadata().SIMPLE_IMAGENET_TEMPLATES)


@cache
def imagenet_class_names() -> tuple[str, ...]:
    """Return ``IMAGENET_CLASSNAMES``: 1,000 names in the order of the WordNet ids."""
    return tuple(_metadata().IMAGENET_CLASSNAMES)
