"""The forms of the exported files: what each tool reads, made from what a run found.

The templates are those of the ensemble, best first, unless the best alone is asked for; tools that take a
single template get the best one. To add a form, write its function and name it in ``FORMS``: help, messages
and the command follow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....evaluator.datasets.loading import load_data
from ....evaluator.errors import UsageError
from ....prompts.template import SLOT, Template
from ...config.schema import SearchConfig
from ..details import BEST, ENSEMBLE
from ..leaderboard import leaderboard_csv
from ..result import SearchResult
from .classifier import classifier_file

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


@dataclass(frozen=True, slots=True)
class Found:
    """What a run found, and how it was made where a form asks for that.

    Attributes:
        run_dir: The run's folder.
        result: Its result.
        only: Which of its templates are written: ``ENSEMBLE``, or ``BEST`` for the best one.
    """

    run_dir: Path
    result: SearchResult
    only: str = ENSEMBLE

    @property
    def templates(self) -> tuple[str, ...]:
        """The templates to write, best first."""
        found = (self.result.best.template,) if self.only == BEST else self.result.ensemble.templates
        return self.result.scored_as(*found)

    @property
    def config(self) -> SearchConfig:
        """How the run was made.

        Raises:
            UsageError: The run's store cannot be read by this version.
        """
        # Imported here, because the command line lists the forms and then needs no store.
        from ..run_config import stored_config

        return stored_config(self.run_dir)


@dataclass(frozen=True, slots=True)
class Form:
    """One form.

    Attributes:
        file: The file's name in ``RUN_DIR/exports``.
        content: Makes what is in it.
        choices: Which templates it can hold, by default the first; none where there is nothing to choose.
    """

    file: str
    content: Callable[[Found], str | bytes]
    choices: tuple[str, ...] = (ENSEMBLE, BEST)


def open_clip(found: Found) -> str:
    """Return a JSON list for ``build_zero_shot_classifier``; it fills each by ``str.format(class_name)``."""
    return _json([_positional(template) for template in found.templates])


def clip_benchmark(found: Found) -> str:
    """Return a JSON list as CLIP_benchmark's ``zero_shot_classifier`` takes it, each with ``{c}``."""
    return _json(_named_slots(found))


def clip_benchmark_custom(found: Found) -> str:
    """Return CLIP_benchmark's ``--custom_template_file``: the list by data set, and for all that it lacks."""
    templates = _named_slots(found)
    return _json({found.result.dataset.name: templates, FALLBACK: templates})


def cupl(found: Found) -> str:
    """Return CuPL's file of prompts: for each class name the texts that stand for it.

    Raises:
        UsageError: The run's evaluator was an object from Python, and there is no data set of that name.
        DataError: The data set, which knows the class names, cannot be read any more.
    """
    try:
        classes = load_data(found.config).classes
    except UsageError:
        _check_named(found, "class names")
        raise
    templates = [Template.parse(text, max_words=None) for text in found.templates]
    return _json({name: [template.fill(name) for template in templates] for name in classes})


def safetensors(found: Found) -> bytes:
    """Return the zero-shot classifier itself; see ``classifier_file``.

    Raises:
        UsageError: The run's evaluator was an object from Python, which the config does not name.
    """
    _check_named(found, "classifier vectors")
    return classifier_file(found.config, found.templates)


def leaderboard(found: Found) -> str:
    """Return the leaderboard as CSV; no cell is taken for a formula."""
    return leaderboard_csv(found.result.leaderboard)


def coop(found: Found) -> str:
    """Return, for CoOp, the entry of ``CUSTOM_TEMPLATES`` (zero-shot), and where it can be one, ``CTX_INIT``.

    CoOp puts its context before the class name and a full stop after it; only a template that ends with its
    one slot can be such a context.
    """
    name, (best,) = found.result.dataset.name, found.result.scored_as(found.result.best.template)
    document: dict[str, Any] = {"CUSTOM_TEMPLATES": {COOP_NAMES.get(name, name): _positional(best)}}
    if context := re.fullmatch(r"([^{}]*[^{}\s])\s*\{\}\s*\.?", best):
        words = context.group(1)
        document["opts"] = ["TRAINER.COOP.CTX_INIT", words, "TRAINER.COOP.N_CTX", len(words.split())]
    return _json(document)


def _check_named(found: Found, what: str) -> None:
    from ..run_config import stored_given

    if (evaluator := stored_given(found.run_dir).get("evaluator")) is not None:
        raise UsageError(
            f"{found.run_dir} was made in Python with its own evaluator ({evaluator}), so there are no "
            f"{what} to export"
        )


def _named_slots(found: Found) -> list[str]:
    return [template.replace(SLOT, "{c}") for template in found.templates]


def _positional(template: str) -> str:
    # ``{}`` twice would ask ``str.format`` for two arguments; ``{0}`` takes the same one each time.
    return template if template.count(SLOT) == 1 else template.replace(SLOT, "{0}")


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


FORMS: Mapping[str, Form] = {
    "open-clip": Form("open-clip-templates.json", open_clip),
    "clip-benchmark": Form("clip-benchmark-templates.json", clip_benchmark),
    "clip-benchmark-custom": Form("clip-benchmark-custom-templates.json", clip_benchmark_custom),
    "cupl": Form("cupl-prompts.json", cupl),
    "csv": Form("leaderboard.csv", leaderboard, choices=()),
    "coop": Form("coop-templates.json", coop, choices=(BEST,)),
    "safetensors": Form("classifier.safetensors", safetensors),
}
"""Every form by the name that ``export --format`` takes: there is no other list of them."""
