"""Suggest next steps after a run, and Python code that uses its templates."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ...evaluator.counts import counted, enumerated
from ...evaluator.pico.models import REAL_MODEL, TOY_MODEL
from ...evaluator.scoring import BASELINE_DEFAULT
from ...prompts.kinds import INSTRUCTION, kind_named
from ...prompts.template import positional
from ..results.gain import BEST_HAND_MADE, BEST_STARTING, may_be_chance, surely_better
from ..results.result import EMPTY, NOTHING_USABLE, UNNAMED, UNOPENED, SearchResult
from .run_view import RunView
from .sections import renamed_classes

WIDE = 6.0
"""Width of an interval, in points, from which on it is inconclusive."""
MOST_NAMES = 40
MOST_HURT = 5
"""Most classes that are named because their new names make them worse."""
LONGEST_LINE = 100
_BUNDLED = "pico"
_WORSE = ", as on test the ensemble is worse"
_PICTURES = (
    'open_rgb reads pictures as the search did; without it, Image.open("photo.jpg").convert("RGB") does the '
    "same for opaque ones of 8 bits that no EXIF tag turns."
)
_CLASSIFIER = (
    "weights = open_clip.build_zero_shot_classifier(model, tokenizer, names, templates)",
    "",
    'pixels = preprocess(open_rgb("photo.jpg"))[None]',
    "with torch.inference_mode():",
    "    decided = (model.encode_image(pixels, normalize=True) @ weights).argmax(dim=1)",
    "print(names[decided.item()])",
)


def next_steps(view: RunView) -> list[str]:
    """Return at least one sentence, the most urgent first."""
    result, folder = view.result, _folder(view)
    if result is None or result.status == "stopped":
        if view.state == "live":
            return ["Wait: the search is running. This page shows its state at the time it was made."]
        more = "".join(f" --max-{limit} N" for limit in view.limits)
        first = (
            f"Resume: promptclimb resume {folder}{more} continues the run; answers on disk are never "
            "requested again."
        )
        if view.limits:
            first += f" Or finish with what is scored: promptclimb resume {folder} --conclude."
        return [first, *(_on_answers(result, folder) if result else [])]
    if TOY_MODEL in result.notes:
        return [
            f"Search again with a real model: promptclimb search {REAL_MODEL} and your other options. Its "
            "weights are downloaded once (605 MB); promptclimb models --grep ViT lists others."
        ]
    steps = [*_on_test(result, folder), *_on_chance(result), *_on_answers(result, folder)]
    if names := about_names(view):
        steps.append(names)
    steps += _on_gain(view, result, folder)
    ensemble = ", or the ensemble," if result.averaged else ""
    return steps or [f"Use the best template{ensemble} as shown above."]


def _folder(view: RunView) -> str:
    """Return the run's folder for a command that is copied into the shell from which the page is written."""
    path = view.run_dir
    with suppress(ValueError):
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path))


def _on_test(result: SearchResult, folder: str) -> list[str]:
    if UNOPENED in result.notes:
        return [f"Fix the test images; then promptclimb resume {folder} evaluates them again."]
    if UNNAMED in result.notes:
        return [f"The new class names could not be examined: promptclimb resume {folder} does it again."]
    if not result.dataset.sizes.test:
        return ["Add test images: without them nothing is known about images that were not searched on."]
    return []


def _on_answers(result: SearchResult, folder: str) -> list[str]:
    if NOTHING_USABLE in result.notes:
        return ["Use another LLM: this one proposed no usable template."]
    if EMPTY in result.notes:
        return [
            f"Read the answers without a template (promptclimb transcript {folder}); an LLM that follows the "
            "request wastes fewer calls."
        ]
    return []


def _on_chance(result: SearchResult) -> list[str]:
    if not may_be_chance(result, result.best.test):
        return []
    return [
        "Do not use it yet: it may be no better than chance, whatever else it is better than. Perhaps the "
        "model knows such pictures, or the classes by these names, too little for words to help: try simpler "
        "names (--class-names FILE) or another model (--model)."
    ]


def _on_gain(view: RunView, result: SearchResult, folder: str) -> list[str]:
    gain, steps = result.gain, list[str]()
    if gain is None:
        return steps
    starting, hand_made = gain.over.get(BEST_STARTING), gain.over.get(BEST_HAND_MADE)
    if gain.ensemble is not None and gain.ensemble.sign > 0:
        steps.append("Use the ensemble: on test it is better than the best template alone.")
    elif gain.ensemble_is_worse:
        steps.append(
            "Use the best template alone: on test the ensemble, which templates.json holds, is worse "
            f"(promptclimb export {folder} --format open-clip --only best)."
        )
    if hand_made is not None and hand_made.sign < 0:
        steps.append(
            "Use the best hand-made template: the search found none as good. A search that starts from it "
            "(--initial FILE) may improve it."
        )
    elif surely_better(gain, BASELINE_DEFAULT) and not may_be_chance(result, result.best.test):
        steps.append("Use what was found in place of the default template: the gain is more than chance.")
    if starting is not None and starting.sign <= 0:
        steps.append(_on_rounds(view, result))
    widest = max((one.interval[1] - one.interval[0] for one in gain.over.values()), default=0.0)
    if widest > WIDE and any(not one.sign and not one.same_template for one in gain.over.values()):
        steps.append("For a surer answer take more test images: four times as many halve an interval.")
    return steps


def about_names(view: RunView) -> str:
    """Say which new class names to doubt, and how to leave one out; empty without a new name."""
    rows = renamed_classes(view)
    if not rows:
        return ""
    hurt = [repr(row.old) for row in rows if (row.after or 0) < (row.before or 0)]
    shown = hurt[:MOST_HURT]
    if len(hurt) > len(shown):
        shown.append(counted(len(hurt) - len(shown), "more class", "more classes"))
    which = "its new name" if len(hurt) == 1 else "their new names"
    worse = f"Fewer test images of {enumerated(shown)} are right with {which}. " if hurt else ""
    in_order = re.search(r"^class_names\s*=", view.config, re.MULTILINE) is not None
    edit = "write the original name in its line" if in_order else "remove its line"
    return (
        f"Read the new names. {worse}To leave one out, write them to a file (promptclimb export "
        f"{_folder(view)} --format class-names), {edit}, and give predict that file (--class-names FILE). "
        "The gains on this page are those of all new names together."
    )


def _on_rounds(view: RunView, result: SearchResult) -> str:
    described = re.search(r"^describe\s*=", view.config, re.MULTILINE) is not None  # it may be damaged
    text = "Another description" if described else "A description"
    llm = "an LLM (--llm)" if result.llm.model is None else "a stronger LLM"
    noun = kind_named(result.prompts).words.noun
    cost = "which cost no call" if result.scorer_usage is None else "each of which the scorer bills"
    return (
        f"The rounds added nothing certain to the starting {noun}s. {text} of what the images show "
        f"(--describe), another method or {llm} may make them worth it; more restarts draw more starting "
        f"{noun}s, {cost}."
    )


class Use(NamedTuple):
    """Instructions to use templates: a sentence, code to copy, and a remark."""

    about: str
    code: str
    more: str


def use_of(view: RunView) -> Use | None:
    """Return how to use the templates of a run; None without a result."""
    result = view.result
    if result is None:
        return None
    named = bool(result.best.class_names)
    alone = named or (result.gain is not None and result.gain.ensemble_is_worse)
    used = (result.best.template,) if alone else result.ensemble.templates
    if result.prompts == INSTRUCTION:
        return _use_of_instruction(view, result)
    templates = _listed("templates", [positional(one) for one in result.scored_as(*used)])
    names = _names(view)
    is_clip = result.scorer_usage is None and (bool(result.model.pretrained) or ":" in result.model.name)
    if names is None or not is_clip:
        which = f"The best template alone{_WORSE}" if alone else "The ensemble's templates, the best first"
        which = "The best template, for the new class names above" if named else which
        return Use(f"{which}; {{}} is the slot of the class name.", templates, "")
    code = "\n".join([*_model(result), "", names, templates, *_CLASSIFIER])
    only = " --only best" if alone else ""
    which = "the best template with the new class names" if named else _which(used, alone=alone)
    return Use(
        f"With open_clip: {which}.",
        code,
        f"As a file: promptclimb export {_folder(view)} --format open-clip{only} (or clip-benchmark, cupl, "
        f"coop, safetensors). {_PICTURES}",
    )


def _use_of_instruction(view: RunView, result: SearchResult) -> Use:
    (text,) = result.scored_as(result.best.template)
    return Use(
        "The best instruction; {classes} is the place of the list of class names.",
        f"instruction = {_quoted(text)}",
        f"With the list, as a request: promptclimb export {_folder(view)} --format openai-messages.",
    )


def _which(used: Sequence[str], *, alone: bool) -> str:
    if alone or len(used) == 1:
        return f"the best template alone{_WORSE}" if alone else "the best template"
    weighed = "; one that is listed twice weighs twice" if len(set(used)) < len(used) else ""
    return f"the templates of the ensemble, averaged as the search did{weighed}"


def _model(result: SearchResult) -> list[str]:
    name, pretrained = result.model.name, result.model.pretrained
    lines = ["import open_clip", "import torch", "from promptclimb import open_rgb"]
    if pretrained == _BUNDLED:
        return [
            *lines,
            "from promptclimb.evaluator.clip.models import load_model",
            "",
            f'loaded = load_model({_quoted(name)}, "{_BUNDLED}", torch.device("cpu"))',
            "model, tokenizer, preprocess = loaded.model, loaded.tokenizer, loaded.preprocess",
        ]
    weights = f", pretrained={_quoted(pretrained)}" if pretrained else ""
    return [
        *lines,
        "",
        f"model, _, preprocess = open_clip.create_model_and_transforms({_quoted(name)}{weights})",
        f"tokenizer = open_clip.get_tokenizer({_quoted(name)})",
        "model.eval()",
    ]


def _names(view: RunView) -> str | None:
    """Return the class-name line; None if open_clip does not open the model."""
    decisions = None if view.details is None else view.details.decisions
    if decisions is not None and decisions.image_set is None:
        return None
    inspection = view.result.inspection if view.result else None
    new = (view.result.best.class_names if view.result else None) or {}
    names = [new.get(one.name, one.name) for one in inspection.classes] if inspection is not None else []
    if 0 < len(names) <= MOST_NAMES:
        return _listed("names", names)
    which = "the class names, the new ones of result.json among them," if new else "the class names,"
    return f"names = [...]  # {which} in the order of their labels"


def _listed(name: str, texts: Sequence[str]) -> str:
    line = f"{name} = [{', '.join(map(_quoted, texts))}]"
    if len(line) <= LONGEST_LINE:
        return line
    return f"{name} = [\n" + "".join(f"    {_quoted(text)},\n" for text in texts) + "]"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
