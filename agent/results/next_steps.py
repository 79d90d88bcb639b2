"""What to do next, as far as a run's own figures say it."""

from __future__ import annotations

import shlex
import tomllib

from .gain import BEST_HAND_MADE, BEST_STARTING, DEFAULT_TEMPLATE
from .guessing import no_better_than_guessing
from .notes import UNOPENED
from .result import EMPTY, NOTHING_USABLE, SearchResult
from .run_view import RunView

WIDE = 6.0
"""Points from edge to edge of an interval that leaves much open."""


def next_steps(view: RunView) -> list[str]:
    """Return sentences, the most urgent first; never none."""
    result, folder = view.result, shlex.quote(view.state.run_dir.name)
    if result is None or result.status == "stopped":
        if view.state.state == "live":
            return ["Wait: the search is running, and this page shows it as it was when it was made."]
        more = "".join(f" --max-{limit} N" for limit in view.state.limits)
        command = f"promptclimb resume {folder}{more}"
        first = f"Go on: {command} takes up the run where it was; nothing is paid for twice."
        return [first, *(_on_answers(result, folder) if result else [])]
    steps = [
        *_on_test(result, folder),
        *_on_guessing(result),
        *_on_answers(result, folder),
        *_on_gain(view, result),
    ]
    return steps or ["Use the best template, or the ensemble, as shown above."]


def _on_test(result: SearchResult, folder: str) -> list[str]:
    if UNOPENED in result.notes:
        return [
            f"Mend what is wrong with the test images, then promptclimb resume {folder} looks at them again."
        ]
    if not result.dataset.sizes.test:
        return [
            "Add test images: without them nobody knows what the template is worth on images that it was not "
            "chosen by."
        ]
    return []


def _on_answers(result: SearchResult, folder: str) -> list[str]:
    if NOTHING_USABLE in result.notes:
        return ["Ask another LLM: this one proposed no template that could be used."]
    if EMPTY in result.notes:
        return [
            f"Look at the answers in which no template could be read (promptclimb transcript {folder}); an "
            "LLM that follows the request wastes fewer calls."
        ]
    return []


def _on_guessing(result: SearchResult) -> list[str]:
    if not no_better_than_guessing(result):
        return []
    return [
        "Do not use it yet: it may be no better than guessing, whatever else it is better than. Perhaps the "
        "model knows such pictures, or the classes by these names, too little for words to help: try plainer "
        "names (--class-names FILE) or another model (--model)."
    ]


def _on_gain(view: RunView, result: SearchResult) -> list[str]:
    gain, steps = result.gain, list[str]()
    if gain is None:
        return steps
    pool, plain, hand_made = (
        gain.over.get(name) for name in (BEST_STARTING, DEFAULT_TEMPLATE, BEST_HAND_MADE)
    )
    if gain.ensemble is not None and gain.ensemble.surely > 0:
        steps.append("Use the ensemble: on test it is better than the best template alone.")
    elif gain.ensemble_is_worse:
        steps.append(
            "Use the best template alone: on test the ensemble, which templates.json holds, is worse "
            "(promptclimb export RUN_DIR --format FORM --only best)."
        )
    if hand_made is not None and hand_made.surely < 0:
        steps.append(
            "Use the best hand-made template: the search found none as good. A search that begins with it "
            "(--initial FILE) may go on from there."
        )
    elif plain is not None and plain.surely > 0 and not no_better_than_guessing(result):
        steps.append("Use what was found in place of the default template: the gain is more than chance.")
    if pool is not None and pool.surely <= 0:
        steps.append(_on_rounds(view, result))
    widest = max((one.interval[1] - one.interval[0] for one in gain.over.values()), default=0.0)
    if widest > WIDE and any(not one.surely and not one.of_one for one in gain.over.values()):
        steps.append("For a surer answer take more test images: four times as many halve an interval.")
    return steps


def _on_rounds(view: RunView, result: SearchResult) -> str:
    """Return what may make rounds worth it, but for what was done already."""
    told = "describe" in tomllib.loads(view.config)
    sentence = "another sentence on what the images show" if told else "a sentence on what the images show"
    llm = "an LLM (--llm)" if result.llm.model is None else "a stronger LLM"
    return (
        f"The rounds added nothing that is certain to the initial templates. {sentence.capitalize()} "
        f"(--describe), another method or {llm} may make them worth it; more restarts draw more initial "
        "templates, which cost no call."
    )
