"""Lists that open_clip carries: read from its own file, so that torch need not be imported for them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType, ModuleType

from ..errors import UsageError


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


PLAIN = "a photo of a {}"

_ARTICLES = ("a", "the")
_RENDERINGS = (
    "a photo of {} {{}}.",
    "a painting of {} {{}}.",
    "{} plastic {{}}.",
    "a sculpture of {} {{}}.",
    "a sketch of {} {{}}.",
    "a tattoo of {} {{}}.",
    "{} toy {{}}.",
    "a rendition of {} {{}}.",
    "{} embroidered {{}}.",
    "{} cartoon {{}}.",
    "{} {{}} in a video game.",
    "{} plushie {{}}.",
    "{} origami {{}}.",
    "art of {} {{}}.",
    "graffiti of {} {{}}.",
    "a drawing of {} {{}}.",
    "a doodle of {} {{}}.",
)
_ACTIONS = ("", "using ", "doing ", "during ", "performing ", "practicing ")
_SHOWN_AS = ("photo", "video", "example", "demonstration")

OPENAI: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "caltech101": tuple(shape.format(article) for article in _ARTICLES for shape in _RENDERINGS),
        "oxford_pets": ("a photo of a {}, a type of pet.",),
        "stanford_cars": (
            "a photo of a {}.",
            "a photo of the {}.",
            "a photo of my {}.",
            "i love my {}!",
            "a photo of my dirty {}.",
            "a photo of my clean {}.",
            "a photo of my new {}.",
            "a photo of my old {}.",
        ),
        "oxford_flowers": ("a photo of a {}, a type of flower.",),
        "food101": ("a photo of {}, a type of food.",),
        "fgvc_aircraft": ("a photo of a {}, a type of aircraft.", "a photo of the {}, a type of aircraft."),
        "sun397": ("a photo of a {}.", "a photo of the {}."),
        "dtd": tuple(
            f"a photo of {article} {{}} {noun}."
            for article in _ARTICLES
            for noun in ("texture", "pattern", "thing", "object")
        ),
        "eurosat": (
            "a centered satellite photo of {}.",
            "a centered satellite photo of a {}.",
            "a centered satellite photo of the {}.",
        ),
        "ucf101": tuple(
            f"a {kind} of {article} person {verb}{{}}."
            for verb in _ACTIONS
            for article in _ARTICLES
            for kind in _SHOWN_AS
        ),
    }
)
DIGITS = ("a handwritten {}", "a scan of the handwritten digit {}")


def for_dataset(name: str) -> dict[str, tuple[str, ...]]:
    """Return templates that a found one is compared with.

    Returns:
        ``plain`` ("a photo of a {}"), ``hand-made`` where there are templates for this very data set, and
        open_clip's two lists as ``openai-imagenet`` (80) and ``simple-imagenet`` (7).
    """
    found: dict[str, tuple[str, ...]] = {"default template": (PLAIN,)}
    if own := hand_made(name):
        found["hand-made"] = own
    return found | {
        "openai-imagenet": imagenet_templates(),
        "simple-imagenet": simple_imagenet_templates(),
    }


def hand_made(name: str) -> tuple[str, ...]:
    """Return the templates made for one data set; empty if there are none."""
    if name == "imagenet":
        return simple_imagenet_templates()
    if name == "digits":
        return DIGITS
    return OPENAI.get(name) or _bundled(name)


def _bundled(name: str) -> tuple[str, ...]:
    # Imported here: it brings the code that draws the bundled sets.
    from ..pico import sets

    return tuple(sets.spec(name).matching) if name in sets.names() else ()
