"""Hand-made templates to compare with: per data set, and open_clip's own lists.

For the eleven data sets of the paper they are the ones that OpenAI published with CLIP. Some are built from
their parts here, since OpenAI's were made the same way; the word order and the missing "an" are theirs.
For the bundled sets they are what somebody who looked at the pictures would write.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..open_clip_lists import imagenet_templates, simple_imagenet_templates

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

    Args:
        name: What the data set is called; any name is allowed.

    Returns:
        ``plain`` ("a photo of a {}"), ``hand-made`` where there are templates for this very data set, and
        open_clip's two lists as ``openai-imagenet`` (80) and ``simple-imagenet`` (7).

    Raises:
        UsageError: open_clip is not installed.
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
