"""The exported files that are text: what each tool reads, made from a result.

The templates are those of the ensemble, best first; tools that take a single template get the best one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from ....prompts.template import SLOT, Template
from ..result import SearchResult
from ..run_dir import leaderboard_csv

# What CoOp calls the eleven data sets in its configurations and in CUSTOM_TEMPLATES.
COOP_NAMES = {
    "imagenet": "ImageNet",
    "caltech101": "Caltech101",
    "oxford_pets": "OxfordPets",
    "stanford_cars": "StanfordCars",
    "oxford_flowers": "OxfordFlowers",
    "food101": "Food101",
    "fgvc_aircraft": "FGVCAircraft",
    "sun397": "SUN397",
    "dtd": "DescribableTextures",
    "eurosat": "EuroSAT",
    "ucf101": "UCF101",
}
# The key that CLIP_benchmark falls back to for a data set that a file of templates does not name.
FALLBACK = "imagenet1k"


def open_clip(result: SearchResult) -> str:
    """A JSON list for ``build_zero_shot_classifier``, which fills each by ``str.format(class_name)``."""
    return _json([_positional(template) for template in result.ensemble.templates])


def clip_benchmark(result: SearchResult) -> str:
    """A JSON list as CLIP_benchmark's ``zero_shot_classifier`` takes it, each with ``{c}``."""
    return _json(_named_slots(result))


def clip_benchmark_custom(result: SearchResult) -> str:
    """CLIP_benchmark's ``--custom_template_file``: the same list by data set, and for all that it lacks."""
    templates = _named_slots(result)
    return _json({result.dataset["name"]: templates, FALLBACK: templates})


def cupl(result: SearchResult, classes: Sequence[str]) -> str:
    """CuPL's file of prompts: for each class name the texts that stand for it."""
    templates = [Template.parse(text, max_words=None) for text in result.ensemble.templates]
    return _json({name: [template.fill(name) for template in templates] for name in classes})


def leaderboard(result: SearchResult) -> str:
    """The leaderboard as CSV; no cell is taken for a formula."""
    return leaderboard_csv(result.leaderboard)


def coop(result: SearchResult) -> str:
    """For CoOp: the entry of ``CUSTOM_TEMPLATES`` (zero-shot), and where it can be one, ``CTX_INIT``.

    CoOp puts its context before the class name and a full stop after it; only a template that ends with its
    one slot can be such a context.
    """
    name = str(result.dataset["name"])
    document: dict[str, Any] = {
        "CUSTOM_TEMPLATES": {COOP_NAMES.get(name, name): _positional(result.best.template)}
    }
    if context := re.fullmatch(r"([^{}]*[^{}\s])\s*\{\}\s*\.?", result.best.template):
        words = context.group(1)
        document["opts"] = ["TRAINER.COOP.CTX_INIT", words, "TRAINER.COOP.N_CTX", len(words.split())]
    return _json(document)


def _named_slots(result: SearchResult) -> list[str]:
    return [template.replace(SLOT, "{c}") for template in result.ensemble.templates]


def _positional(template: str) -> str:
    """``{}`` twice would ask ``str.format`` for two arguments; ``{0}`` takes the same one each time."""
    return template if template.count(SLOT) == 1 else template.replace(SLOT, "{0}")


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
