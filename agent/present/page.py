"""Make ``report.html``, a self-contained page about a run.

The page has no script and can be made before the run ends. Jinja escapes every text, since texts come from
an LLM and from file names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...evaluator.counts import counted, some_of
from ...evaluator.errors import UsageError
from ...evaluator.pico.models import REAL_MODEL, REAL_WEIGHTS, TOY_MODEL
from ...evaluator.scoring import ALL
from ..config.sources import flags_of_more, on_command_line, typed
from ..llm.local_models import shown_llm
from ..position import LLM
from ..results.accuracies import WITH_IMAGES, beside_accuracy, score_text, weighted
from ..results.gain import result_beside_chance
from ..results.history import RunView
from ..results.result import (
    EMPTY,
    NO_NEW_NAME,
    NOTHING_USABLE,
    PROMINENT,
    UNCHECKED,
    Row,
    SearchResult,
    Sizes,
    WithImages,
)
from ..results.run_dir import REPORT, RESULT, is_run, result_of, write_atomically
from ..text import visible
from .sections import about_names, about_scores, classes_of, course_of, folder_of, names_section, use_of
from .sentences import (
    REJECTED,
    about_order,
    about_test,
    cost_text,
    event_text,
    gains_in_words,
    left_text,
    llm_of_templates,
    made_by_llm,
    method_text,
    names_hint,
    proposes_by_llm,
    save_without_search,
    spent_rows,
    unlike_labelled,
    verdict_lines,
    what_may_help,
)

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
MAX_ROWS = 100
WIDE = 6.0
"""Width of an interval, in points, from which on it is inconclusive."""
REFRESH_S = 60
"""Seconds after which the page of a running search loads itself again."""
MOST_TEXTS, FIRST_TEXTS = 10, 3
"""Most templates at the top of the page; of more, the first ones."""
_OBJECTIVES = {"class_mean": "mean over classes", "logprob": "log-probability", "margin": "margin of logits"}
"""Heads the column of what orders the leaderboard, where that is not accuracy."""
_SKIPPED = "skipped_images"
_MOST_LISTED = 10


def write_report(view: RunView) -> Path:
    """Write the page into the run's folder, and return its path."""
    path = view.run_dir / REPORT
    write_atomically(path, render(view))
    return path


def rewrite_report(view: RunView) -> Path:
    """Rewrite the page of a run for a user, and return its path.

    Raises:
        UsageError: There is no run, its result is unreadable, or the page cannot be written.
    """
    run_dir = view.run_dir
    unfinished = is_run(run_dir) and not (run_dir / RESULT).exists()
    if view.result is None and view.state != "live" and not unfinished:
        result_of(run_dir)  # raises the specific error
    try:
        return write_report(view)
    except OSError as error:
        why = error.strerror if os.access(run_dir, os.W_OK) else "the folder is read-only for you"
        raise UsageError(f"{error.filename or run_dir} cannot be written: {why}") from error


def render(view: RunView) -> str:
    """Return the page's HTML."""
    from markupsafe import Markup

    style = Markup((TEMPLATES / "page.css").read_text("utf-8"))
    template = _environment().get_template("page.html.j2")
    # A file cannot hold lone surrogates.
    text = template.render(style=style, page=_page_of(view), noun=view.words.noun)
    return text.encode("utf-8", "replace").decode("utf-8")


@cache
def _environment() -> Environment:
    # Imported here: a search needs it only at its end.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context

    def score(context: Mapping[str, Any], value: float | None) -> str:
        return score_text(value, percent=context["page"]["percent"])

    def objective(context: Mapping[str, Any], value: float | None) -> str:
        is_share = context["page"]["objective"] == _OBJECTIVES["class_mean"]
        return score_text(value, percent=is_share and context["page"]["percent"])

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: type(value)(visible(value)) if isinstance(value, str) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # It reads the unit from the context, so one compiled template serves every page.
    environment.filters |= {
        "score": pass_context(score),
        "origin": _origin,
        "objective": pass_context(objective),
        "weighted": weighted,
        "beside": lambda row: beside_accuracy(row.train, row.unanswered),
    }
    return environment


def _origin(row: Row, noun: str) -> str:
    where = f"conversation {row.conversation}, round {row.round}" if row.conversation else f"starting {noun}"
    by = f", {'the LLM' if row.source == LLM else row.source}" if row.conversation and row.source else ""
    return f"restart {row.restart}, {where}{by}"


def _page_of(view: RunView) -> dict[str, Any]:
    """Return what the page shows: its head, then a value for each section, None for one without content."""
    result, rows, noun = view.result, view.rows, view.words.noun
    started = view.progress.started
    if result is not None:
        head = {
            "dataset": result.dataset.name,
            "what": _searched(result),
            "warnings": _warnings(result),
            "best": _texts(result),
            "best_is": _recommended(result),
            "about_scores": about_scores(result),
            "facts": _costs(result) | _notes(result),
        }
    else:
        head = {
            "dataset": started.dataset if started else "a run",
            "what": _searching(view),
            "warnings": (),
            "best": rows[0].template if rows else "",
            "best_is": f"The best {noun} so far, by training score",
            "about_scores": "",
            "facts": _facts_so_far(view),
        }
    order = about_order(rows, view.words, chosen=result is not None)
    if result is not None and result.best.class_names:
        order += " All scores are with the original class names."
    compared = result.accuracies.rows if result else ()
    sections = {
        "found": ("What was gained", compared or None),
        "course": ("How the search went", course_of(view)),
        "classes": ("Which classes changed", classes_of(view)),
        "refused": ("What was rejected, and why", _refused(view) or None),
        "board": ("Leaderboard", rows[:MAX_ROWS] or None),
        "use": ("How to use it", use_of(view)),
        "next": ("What to do next", next_steps(view) or None),
        "facts": ("What it took, and notes", head["facts"]),
    }
    return {
        **{name: content for name, (_, content) in sections.items()},
        **head,
        "contents": [(name, heading) for name, (heading, content) in sections.items() if content is not None],
        "title": f"{_title(view)} for {head['dataset']}",
        **names_section(view),
        "verdict": verdict_lines(_verdict(view)),
        "recommended": result.recommended.name if result else "",
        "gains": any(row.gain is not None for row in compared),
        "board_rest": max(0, len(rows) - MAX_ROWS),
        "board_order": order,
        "copies": any(row.copies is not None for row in rows[:MAX_ROWS]),
        "objective": _objective(view),
        "percent": view.percent,
        "refresh_s": REFRESH_S if view.state == "live" else None,
        "finished": result is not None,
        "stopped": result is not None and result.status == "stopped",
        "config": view.config,
    }


def _objective(view: RunView) -> str:
    """Return the heading of what orders the leaderboard; empty if that is accuracy, or not known."""
    result = view.result
    is_known = any(row.objective is not None for row in view.rows)
    return _OBJECTIVES.get(result.objective, "") if result is not None and is_known else ""


def _title(view: RunView) -> str:
    result = view.result
    is_learnt = result is not None and isinstance(result.recommended_group, WithImages)
    return "Classifier" if is_learnt else view.kind.sought


def _texts(result: SearchResult) -> str:
    """Return the texts of the recommended form, of a published list the first ones; empty for none."""
    lines = [] if result.is_unread else weighted(result.recommended_group.templates)
    if len(lines) > MOST_TEXTS:
        lines = [*lines[:FIRST_TEXTS], f"... {len(lines)} in all, under How to use it"]
    return "\n".join(lines)


def _searched(result: SearchResult) -> str:
    data, sizes = result.dataset, result.dataset.sizes
    # A custom scorer may not know the number of classes, nor have images.
    classes = f"{data.classes} classes" if data.classes else data.name
    images = f", seed {data.seed}"
    if sizes != Sizes():
        shots = "all labelled images" if data.shots == ALL else counted(data.shots, "shot")
        images = (
            f", {shots}{images}: {sizes.train} training, {sizes.val} validation and {sizes.test} test images"
        )
    who = f"proposed by {llm}" if (llm := llm_of_templates(result)) else "proposed without an LLM"
    if (counts := made_by_llm(result)) is not None and counts[0] < counts[1]:
        who += f" ({counts[0]:,} of the {counts[1]:,} new ones, the others without an LLM)"
    weights = f" ({result.model.pretrained})" if result.model.pretrained else ""
    objective = f", objective {result.objective}" if result.has_accuracies else ""
    if result.objective == "class_mean":
        objective += " (each class counts equally)"
    proposals = f"{result.words.noun.capitalize()}s {who}, method {result.method}{objective}."
    if result.best.unchecked:
        proposals = _who_named(result)
    elif result.best.class_names is not None:
        proposals = f"{_who_named(result)} {proposals}"
    return f"{result.model.name}{weights} on {classes}{images}. {proposals}"


def _who_named(result: SearchResult) -> str:
    """Say who proposed the class names, and in how many calls."""
    if result.llm.model is None:
        return "Class names made of common kinds of things, without an LLM."
    calls = counted(result.usage.calls, "call")
    if llm_of_templates(result) and not result.best.unchecked:
        calls += f", those for {result.words.noun}s included"
    return f"Class names proposed by {shown_llm(result.llm.model)} in {calls}."


def _searching(view: RunView) -> str:
    started = view.progress.started
    if started is None:
        return "The search has not started yet."
    who = "proposed without an LLM"
    if started.llm is not None and proposes_by_llm(started.method):
        who = f"proposed by {shown_llm(started.llm)}"
    return f"{started.model}. {view.words.noun.capitalize()}s {who}, {method_text(started)}."


def _verdict(view: RunView) -> str:
    result, progress, noun = view.result, view.progress, view.words.noun
    if result is not None and result.recommended.verdict:
        return result.recommended.verdict
    train = view.rows[0].train if result is None and view.rows else view.train
    if not view.rows or train is None:
        if result is None:
            return "Nothing was scored yet."
        if result.is_unread:
            return "The search was stopped before the LLM's names were complete."
        about = f"class names, {UNCHECKED}" if result.best.class_names else NO_NEW_NAME
        return f"{about[0].upper()}{about[1:]}."
    # A custom scorer may have no images, or not say so.
    images = " on the training images" if result is None or result.dataset.sizes.train else ""
    gains = gains_in_words(progress.gains(train), view.words, percent=view.percent)
    best = ", ".join([f"{_text(train, view)}{images}", *gains])
    if result is not None and result.status == "finished":
        if result.dataset.sizes.test:
            return f"The best {noun} has {best}; nothing is known of it on test images. {about_test(result)}"
        return f"The best {noun} has {best}. There are no test images to confirm it."
    rounds = f" of {progress.started.rounds:,}" if progress.started else ""
    how = {"live": "the search is running", "stopped": "the search was stopped"}
    ended = f"{how.get(view.state, 'the search was interrupted')} after {progress.rounds:,}{rounds} rounds"
    return (
        f"Not finished: {ended}. The best {noun} so far has {best}; the test images are held out until the "
        "search has chosen."
    )


def _text(value: float | None, view: RunView) -> str:
    return score_text(value, percent=view.percent, unit=" %")


def _warnings(result: SearchResult) -> list[str]:
    warnings = []
    if result.stop_reason:
        warnings.append(f"Stopped before its end: {result.stop_reason}.")
    if result.skipped:
        rounds, failed = counted(result.skipped, "round"), counted(result.usage.failed_calls, "attempt")
        warnings.append(f"{rounds} without an answer; {failed} failed.")
    if result.objective in ("logprob", "margin"):
        warnings.append("The objective looks at logits: this was no black-box search.")
    return warnings + [str(result.notes[name]) for name in PROMINENT if name in result.notes]


def _refused(view: RunView) -> list[tuple[str, str, Sequence[str]]]:
    """Return reasons with counts (from the result if there is one) and examples, most frequent first."""
    refused = view.course.refused
    counts = {reason: lines.count for reason, lines in refused.items()}
    if view.result is not None:
        counts = dict(view.result.rejected)
    return [
        (
            REJECTED.get(reason, reason.replace("_", " ")),
            f"{count:,}",
            refused[reason].examples if reason in refused else (),
        )
        for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _facts_so_far(view: RunView) -> dict[str, str]:
    progress, last = view.progress, event_text(*view.last_event)
    facts = {"state": view.state, **({"last event": last} if last else {}), "rounds": f"{progress.rounds:,}"}
    if progress.usage is not None and progress.usage.calls:
        facts |= spent_rows(progress.usage)
    if progress.scorer_usage is not None and progress.scorer_usage.calls:
        facts |= spent_rows(progress.scorer_usage, "scorer's ")
    return facts


def _costs(result: SearchResult) -> dict[str, str]:
    usage, scorer = result.usage, result.scorer_usage
    facts = {f"{result.words.noun}s scored": f"{result.evaluated:,}"}
    if result.llm.model is not None:
        facts |= spent_rows(usage)
    if scorer is not None:
        facts |= spent_rows(scorer, "scorer's ")
        if usage.cost_usd and scorer.cost_usd:
            facts["cost in all"] = cost_text(usage.cost_usd + scorer.cost_usd)
    facts["active time"] = f"{result.wall_s:,.0f} s"
    if result.budget:
        facts["left of limits"] = "; ".join(left_text(name, left) for name, left in result.budget.items())
    return facts


def _notes(result: SearchResult) -> dict[str, str]:
    facts: dict[str, Any] = {"started": result.started, "device": result.device}
    if (versions := result.versions) is not None:
        packages = {"promptclimb": versions.program, "Python": versions.python}
        packages |= {"torch": versions.torch or "", "open_clip": versions.open_clip or ""}
        facts["versions"] = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
    notes = dict(result.notes)
    if result.device is not None:
        notes.pop("device", None)
    if isinstance(skipped := notes.pop(_SKIPPED, None), Mapping):
        facts["images left out"] = "; ".join(_left_out(split, images) for split, images in skipped.items())
    if str(notes.get("texts", "")).startswith("fast path"):
        notes.pop("texts")
    facts |= {name.replace("_", " "): note for name, note in notes.items()}
    return {name: _as_text(fact) for name, fact in facts.items() if fact is not None}


def _left_out(split: str, images: Any) -> str:
    if not isinstance(images, Mapping) or not isinstance(images.get("which"), Sequence):
        return f"{split}: {_as_text(images)}"
    names = list(map(str, images["which"]))[:_MOST_LISTED]
    return f"{split}: {images.get('images')} ({', '.join(names)})"


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(line, str) for line in value):
        return "; ".join(value)
    return json.dumps(value, ensure_ascii=False)


def _recommended(result: SearchResult) -> str:
    """Say what is recommended, and what its texts have alone if it learned from images."""
    test = result.texts.test
    if result.recommended.form != WITH_IMAGES or result.only_texts_renamed or test is None:
        return f"Recommended: {result.form_in_words}"
    alone = score_text(test, percent=result.has_accuracies, unit=" %" if result.has_accuracies else "")
    return f"Recommended: {result.form_in_words}. On test these texts alone have {alone}"


def next_steps(view: RunView) -> list[str]:
    """Return sentences, the most urgent first, with options as typed and commands between backticks."""
    return [on_command_line(step) for step in _steps(view)]


def _steps(view: RunView) -> list[str]:
    result, folder = view.result, folder_of(view)
    if result is None or result.status == "stopped":
        if view.state == "live":
            return ["Wait: the search is running. This page shows its state at the time it was made."]
        first = (
            f"Resume: `promptclimb resume {folder}{flags_of_more(view.limits)}` continues the run; "
            "answers on disk are never requested again."
        )
        return [first, *(_on_answers(result, folder) if result else [])]
    save = save_without_search(result, view.run_dir, folder)
    best_without = [f"For the best without a search: `promptclimb {save}`"] if save else []
    if TOY_MODEL in result.notes:
        return [
            *best_without,
            f"Search again with a real model: `promptclimb search {typed('model', REAL_MODEL)} "
            f"{typed('pretrained', REAL_WEIGHTS)}` and your other options. Its weights are downloaded once "
            f"(605 MB); `promptclimb models {typed('grep', 'ViT')}` lists others.",
        ]
    steps = []
    if not result.dataset.sizes.test:
        steps.append("Add test images: without them nothing is known about images that were not searched on.")
    steps += filter(None, [unlike_labelled(result), what_may_help(result)])
    compared = result_beside_chance(result, result.recommended.test)
    if compared:
        steps.append(
            f"Do not use it yet: it {compared}, whatever else it is better than. Perhaps "
            "the model knows such pictures, or the classes by these names, too little for words to help: try "
            "simpler names (`class_names = FILE`) or another model (`model`)."
        )
    steps += [*best_without, *_on_answers(result, folder)]
    if hint := names_hint(result):
        steps.append(f"{hint[0].upper()}{hint[1:]}.")
    elif never := _never_recognised(result):
        steps.append(never)
    if names := about_names(view):
        steps.append(names)
    if result.best.unchecked and result.best.class_names:
        steps.append(
            "Search again with an image or two of each class (`shots = 1`): they say whether the new names "
            "help, and the classifier learns from them."
        )
    steps += _on_gain(result)
    return steps


def _never_recognised(result: SearchResult) -> str:
    """Say what to do about classes without a single correct test image; empty if all have one."""
    if (inspection := result.inspection) is None:
        return ""
    never = [repr(row.name) for row in inspection.classes if row.images and not row.correct]
    if not never:
        return ""
    or_search = ", or search for one (`search_for = class-names`)" if result.best.class_names is None else ""
    return (
        f"No test image of {some_of(never)} is recognised. Look at such images and at what "
        f"they are taken for; then try a name that says what they show (`class_names = FILE`){or_search}."
    )


def _on_answers(result: SearchResult, folder: str) -> list[str]:
    if NOTHING_USABLE in result.notes:
        noun = result.words.noun if llm_of_templates(result) and not result.best.unchecked else "class name"
        return [f"Use another LLM: this one proposed no usable {noun}."]
    if EMPTY in result.notes:
        return [
            f"Read the answers without {result.words.a_noun} (`promptclimb transcript {folder}`); an LLM "
            "that follows the request wastes fewer calls."
        ]
    return []


def _on_gain(result: SearchResult) -> list[str]:
    over, steps = result.recommended.over, list[str]()
    widest = max((gap.interval[1] - gap.interval[0] for gap in over.values()), default=0.0)
    unsure = any(not difference.sign and not difference.same_template for difference in over.values())
    if widest > WIDE and unsure:
        steps.append("For a surer answer take more test images: four times as many halve an interval.")
    return steps
