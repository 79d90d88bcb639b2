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
from ...evaluator.pico.models import REAL_MODEL, REAL_WEIGHTS, TOY_MODEL
from ...evaluator.scoring import BASELINE_DEFAULT
from ...prompts.kinds import INSTRUCTION
from ...prompts.template import positional
from ..results.gain import BEST_HAND_MADE, BEST_STARTING, may_be_chance, surely_better
from ..results.history import RunView
from ..results.result import EMPTY, NOTHING_USABLE, UNNAMED, UNOPENED, SearchResult
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
    result, folder, noun = view.result, _folder(view), view.words.noun
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
            f"Search again with a real model: promptclimb search --model {REAL_MODEL} --pretrained "
            f"{REAL_WEIGHTS} and your other options. Its weights are downloaded once (605 MB); "
            "promptclimb models --grep ViT lists others."
        ]
    steps = []
    if UNOPENED in result.notes:
        steps.append(f"Fix the test images; then promptclimb resume {folder} evaluates them again.")
    elif UNNAMED in result.notes:
        steps.append(f"The new class names could not be examined: promptclimb resume {folder} does it again.")
    elif not result.dataset.sizes.test:
        steps.append("Add test images: without them nothing is known about images that were not searched on.")
    at_chance = may_be_chance(result, result.best.test)
    if at_chance:
        steps.append(
            "Do not use it yet: it may be no better than chance, whatever else it is better than. Perhaps "
            "the model knows such pictures, or the classes by these names, too little for words to help: try "
            "simpler names (--class-names FILE) or another model (--model)."
        )
    steps += _on_answers(result, folder)
    if names := about_names(view):
        steps.append(names)
    steps += _on_gain(view, result, folder, at_chance=at_chance)
    ensemble = ", or the ensemble," if result.averaged else ""
    return steps or [f"Use the best {noun}{ensemble} as shown above."]


def _folder(view: RunView) -> str:
    """Return the run's folder for a command that is copied into the shell from which the page is written."""
    path = view.run_dir
    with suppress(ValueError):
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path))


def _on_answers(result: SearchResult, folder: str) -> list[str]:
    if NOTHING_USABLE in result.notes:
        return [f"Use another LLM: this one proposed no usable {result.words.noun}."]
    if EMPTY in result.notes:
        return [
            f"Read the answers without {result.words.a_noun} (promptclimb transcript {folder}); an LLM that "
            "follows the request wastes fewer calls."
        ]
    return []


def _on_gain(view: RunView, result: SearchResult, folder: str, *, at_chance: bool) -> list[str]:
    gain, noun, steps = result.gain, result.words.noun, list[str]()
    if gain is None:
        return steps
    starting, hand_made = gain.over.get(BEST_STARTING), gain.over.get(BEST_HAND_MADE)
    if gain.ensemble is not None and gain.ensemble.sign > 0:
        steps.append(f"Use the ensemble: on test it is better than the best {noun} alone.")
    elif gain.ensemble_is_worse:
        steps.append(
            f"Use the best {noun} alone: on test the ensemble, which templates.json holds, is worse "
            f"(promptclimb export {folder} --format open-clip --only best)."
        )
    if hand_made is not None and hand_made.sign < 0:
        steps.append(
            f"Use the best hand-made {noun}: the search found none as good. A search that starts from it "
            "(--initial FILE) may improve it."
        )
    elif surely_better(gain, BASELINE_DEFAULT) and not at_chance:
        steps.append(f"Use what was found in place of the default {noun}: the gain is more than chance.")
    if starting is not None and starting.sign <= 0:
        described = re.search(r"^describe\s*=", view.config, re.MULTILINE) is not None  # it may be damaged
        description = "Another description" if described else "A description"
        llm = "an LLM (--llm)" if result.llm.model is None else "a stronger LLM"
        cost = "which cost no call" if result.scorer_usage is None else "each of which the scorer bills"
        steps.append(
            f"The rounds added nothing certain to the starting {noun}s. {description} of what the images "
            f"show (--describe), another method or {llm} may make them worth it; more restarts draw more "
            f"starting {noun}s, {cost}."
        )
    widest = max((high - low for low, high in (one.interval for one in gain.over.values())), default=0.0)
    unsure = any(not difference.sign and not difference.same_template for difference in gain.over.values())
    if widest > WIDE and unsure:
        steps.append("For a surer answer take more test images: four times as many halve an interval.")
    return steps


def about_names(view: RunView) -> str:
    """Say which new class names to doubt, and how to leave one out; empty without a new name."""
    rows = renamed_classes(view)
    if not rows:
        return ""
    hurt = [repr(row.old) for row in rows if (row.after or 0) < (row.before or 0)]
    named = hurt[:MOST_HURT]
    if len(hurt) > len(named):
        named.append(counted(len(hurt) - len(named), "more class", "more classes"))
    which = "its new name" if len(hurt) == 1 else "their new names"
    worse = f"Fewer test images of {enumerated(named)} are right with {which}. " if hurt else ""
    in_order = re.search(r"^class_names\s*=", view.config, re.MULTILINE) is not None
    edit = "write the original name in its line" if in_order else "remove its line"
    return (
        f"Read the new names. {worse}To leave one out, write them to a file (promptclimb export "
        f"{_folder(view)} --format class-names), {edit}, and give predict that file (--class-names FILE). "
        "The gains on this page are those of all new names together."
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
        (text,) = result.scored_as(result.best.template)
        return Use(
            "The best instruction; {classes} is the place of the list of class names.",
            f"instruction = {_quoted(text)}",
            f"With the list, as a request: promptclimb export {_folder(view)} --format openai-messages.",
        )
    templates = _listed("templates", [positional(template) for template in result.scored_as(*used)])
    names = _names(view)
    is_clip = result.scorer_usage is None and (bool(result.model.pretrained) or ":" in result.model.name)
    if names is None or not is_clip:
        which = f"The best template alone{_WORSE}" if alone else "The ensemble's templates, the best first"
        which = "The best template, for the new class names above" if named else which
        return Use(f"{which}; {{}} is the slot of the class name.", templates, "")
    if named:
        which = "the best template with the new class names"
    elif alone:
        which = f"the best template alone{_WORSE}"
    elif len(used) == 1:
        which = "the best template"
    else:
        weighed = "; one that is listed twice weighs twice" if len(set(used)) < len(used) else ""
        which = f"the templates of the ensemble, averaged as the search did{weighed}"
    only = " --only best" if alone else ""
    return Use(
        f"With open_clip: {which}.",
        "\n".join([*_model(result), "", names, templates, *_CLASSIFIER]),
        f"As a file: promptclimb export {_folder(view)} --format open-clip{only} (or clip-benchmark, cupl, "
        f"coop, safetensors). {_PICTURES}",
    )


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
    own = [by_class.name for by_class in inspection.classes] if inspection is not None else []
    names = [new.get(name, name) for name in own]
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
