"""The lines of Python that use what a run found, to be copied."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from .result import SearchResult
from .run_view import RunView

MOST_NAMES = 40
LONGEST_LINE = 100
_BUNDLED = "pico"
_WORSE = ", as on test the ensemble is worse"

_PICTURES = (
    'open_rgb reads pictures as the search did; without it, Image.open("photo.jpg").convert("RGB") does the '
    "same for opaque ones of 8 bits that no EXIF tag turns."
)


class Use(NamedTuple):
    """How templates are used: a sentence, code to copy, and what more there is to say."""

    about: str
    code: str
    more: str


def use_of(view: RunView) -> Use | None:
    """Return how to use what a run found; None where it has no result."""
    result = view.result
    if result is None:
        return None
    alone = result.gain is not None and result.gain.ensemble_is_worse
    used = (result.best.template,) if alone else result.ensemble.templates
    templates = _listed("templates", [positional(one) for one in result.scored_as(*used)])
    names = _names(view)
    if names is None or (not result.model.pretrained and ":" not in result.model.name):
        what = f"The best template alone{_WORSE}" if alone else "The ensemble's templates, the best first"
        return Use(f"{what}; {{}} is the slot of the class name.", templates, "")
    code = "\n".join([*_model(result), "", *names, templates, *_CLASSIFIER])
    only = " --only best" if alone else ""
    return Use(
        f"With open_clip: {_which(used, alone=alone)}.",
        code,
        "For CLIP_benchmark, CuPL, CoOp, or the classifier itself: promptclimb export RUN_DIR --format FORM"
        f"{only}. {_PICTURES}",
    )


def _which(used: Sequence[str], *, alone: bool) -> str:
    """Return in words which templates the lines use."""
    if alone or len(used) == 1:
        return f"the best template alone{_WORSE}" if alone else "the best template"
    weighed = "; one that stands there twice weighs twice" if len(set(used)) < len(used) else ""
    return f"the templates of the ensemble, averaged as the search did{weighed}"


def positional(template: str) -> str:
    """Return a template for ``str.format``: a slot that stands twice takes the same name each time."""
    return template if template.count("{}") == 1 else template.replace("{}", "{0}")


_CLASSIFIER = (
    "weights = open_clip.build_zero_shot_classifier(model, tokenizer, names, templates)",
    "",
    'pixels = preprocess(open_rgb("photo.jpg"))[None]',
    "with torch.inference_mode():",
    "    decided = (model.encode_image(pixels, normalize=True) @ weights).argmax(dim=1)",
    "print(names[decided.item()])",
)


def _model(result: SearchResult) -> list[str]:
    name, pretrained = result.model.name, result.model.pretrained
    lines = ["import open_clip", "import torch"]
    reader = "from promptclimb import open_rgb"
    if pretrained == _BUNDLED:
        return [
            *lines,
            reader,
            "from promptclimb.evaluator.clip.models import load_model",
            "",
            f'loaded = load_model({_quoted(name)}, "{_BUNDLED}", torch.device("cpu"))',
            "model, tokenizer, preprocess = loaded.model, loaded.tokenizer, loaded.preprocess",
        ]
    weights = f", pretrained={_quoted(pretrained)}" if pretrained else ""
    return [
        *lines,
        reader,
        "",
        f"model, _, preprocess = open_clip.create_model_and_transforms({_quoted(name)}{weights})",
        f"tokenizer = open_clip.get_tokenizer({_quoted(name)})",
        "model.eval()",
    ]


def _names(view: RunView) -> list[str] | None:
    """Return the line with the class names; None where the black box is none that open_clip opens."""
    decisions = None if view.details is None else view.details.decisions
    if decisions is not None and decisions.image_set is None:
        return None
    look = view.result.inspection if view.result else None
    names = [one.name for one in look.classes] if look is not None else []
    if 0 < len(names) <= MOST_NAMES:
        return [_listed("names", names)]
    return ["names = [...]  # the class names, in the order of their labels"]


def _listed(name: str, texts: Sequence[str]) -> str:
    line = f"{name} = [{', '.join(map(_quoted, texts))}]"
    if len(line) <= LONGEST_LINE:
        return line
    return f"{name} = [\n" + "".join(f"    {_quoted(text)},\n" for text in texts) + "]"


def _quoted(text: str) -> str:
    """Return a text as a literal that Python reads, whatever is in it."""
    return json.dumps(text, ensure_ascii=False)
