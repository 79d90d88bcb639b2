"""Make ``report.html``, a self-contained page about a run.

The page has no script and can be made before the run ends. Jinja escapes every text, since texts come from
an LLM and from file names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...evaluator.counts import counted
from ...evaluator.errors import UsageError
from ..events.types import UsageEvent
from ..position import LLM
from ..results.details import Ancestor, marked
from ..results.gain import ORIGINAL_NAMES
from ..results.result import PROMINENT, ApiUsage, Row, SearchResult, Sizes
from ..results.run_dir import REPORT, RESULT, is_run, result_of, write_atomically
from ..text import visible
from .advice import next_steps, use_of
from .chart import course_figure
from .figures import (
    REJECTED,
    about_order,
    cost_text,
    kinds_of_tokens,
    left_of,
    llm_of_templates,
    made_by_llm,
    score_text,
    unreported,
    weighted,
)
from .run_view import Refused, RunView, gains_in_words, view_of
from .sections import about_scores, classes_of, compared_rows, renamed_classes, word_effects
from .verdict import about_test, gain_cell, verdict_on, with_names, without_names

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
MAX_ROWS = 100
_SKIPPED = "skipped_images"
_MOST_LISTED = 10
_HEADINGS = {
    "found": "What was gained",
    "course": "How the search went",
    "names": "Which classes got new names",
    "classes": "Which classes changed",
    "lineage": "Where the best template came from",
    "words": "Which words helped",
    "refused": "What was rejected, and why",
    "board": "Leaderboard",
    "use": "How to use it",
    "next": "What to do next",
    "facts": "What it took, and notes",
}
"""The sections in order; each is a block of ``page.html.j2``."""


Card = tuple[str, str, str]
"""Name, figure and remark of a card at the top of the page."""


def write_report(run_dir: Path, view: RunView | None = None) -> Path:
    """Write the page and return its path; without ``view``, read the run's folder."""
    path = run_dir / REPORT
    write_atomically(path, render(view_of(run_dir) if view is None else view))
    return path


def rewrite_report(run_dir: Path, *, pictures: bool = True) -> Path:
    """Rewrite the page of a run for a user, in its present state, and return its path.

    Raises:
        UsageError: There is no run, its result is unreadable, or the page cannot be written.
    """
    view = view_of(run_dir, pictures=pictures)
    unfinished = is_run(run_dir) and not (run_dir / RESULT).exists()
    if view.result is None and view.state != "live" and not unfinished:
        result_of(run_dir)  # raises the specific error
    try:
        return write_report(run_dir, view)
    except OSError as error:
        raise UsageError(f"{error.filename or run_dir} cannot be written: {error.strerror}") from error


def render(view: RunView) -> str:
    """Return the page's HTML."""
    template = _environment().get_template("page.html.j2")
    text = template.render(page=_page_of(view), words=view.words, style=_style())
    # A file cannot hold lone surrogates.
    return text.encode("utf-8", "replace").decode("utf-8")


def render_comparison(
    runs: Sequence[str], lines: Sequence[tuple[str, Sequence[str]]], notes: Sequence[str]
) -> str:
    """Return a page with several runs side by side; each line is a name with a cell for each run."""
    template = _environment().get_template("compare.html.j2")
    text = template.render(runs=runs, lines=lines, notes=notes, style=_style())
    return text.encode("utf-8", "replace").decode("utf-8")


@cache
def _environment() -> Environment:
    # Imported here: a search needs it only at its end.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # They read what differs between pages from the context, so one compiled template serves every page.
    environment.filters |= {
        "score": pass_context(_score),
        "origin": _origin,
        "worded": pass_context(_worded),
        "weighted": weighted,
    }
    return environment


def _score(context: Mapping[str, Any], value: float | None) -> str:
    return score_text(value, percent=context["page"]["percent"])


def _worded(context: Mapping[str, Any], text: str) -> str:
    worded: str = context["words"].worded(text)
    return worded


def _visible(value: Any) -> Any:
    return type(value)(visible(value)) if isinstance(value, str) else value  # Markup stays Markup


def _style() -> Any:
    from markupsafe import Markup

    return Markup((TEMPLATES / "page.css").read_text("utf-8"))


def _page_of(view: RunView) -> dict[str, Any]:
    result, rows, started = view.result, view.rows, view.progress.started
    dataset = result.dataset.name if result else started.dataset if started else "a run"
    better, worse = word_effects(rows)
    words = [(heading, found) for heading, found in (("better with", better), ("worse with", worse)) if found]
    compared = compared_rows(result) if result else []
    sections = {
        "found": compared or None,
        "course": course_figure(view),
        "names": renamed_classes(view),
        "classes": classes_of(view),
        "lineage": _lines(view.lineage) or None,
        "words": words or None,
        "refused": _refused(view.course.refused, result.rejected if result else None),
        "board": rows[:MAX_ROWS] or None,
        "use": use_of(view),
        "next": next_steps(view),
        "facts": _facts(view),
    }
    return {
        **sections,
        "title": f"Templates for {dataset}",
        "what": _searched(result) if result is not None else _searching(view),
        "verdict": _verdict(view),
        "warnings": _warnings(result) if result is not None else (),
        "best": result.best.template if result else rows[0].template if rows else "",
        "best_is": f"The best template{with_names(result.best)}"
        if result
        else "The best template so far, by training score",
        "cards": _cards(view),
        "contents": [(name, _HEADINGS[name]) for name in _HEADINGS if sections[name] is not None],
        "gains": any(row.gain is not None for row in compared),
        "about_scores": about_scores(result) if result else "",
        "board_rest": max(0, len(rows) - MAX_ROWS),
        "board_order": about_order(rows, chosen=result is not None)
        + (" All scores are with the original class names." if result and result.best.class_names else ""),
        "views": any(row.views is not None for row in rows[:MAX_ROWS]),
        "raced": any(row.images is not None for row in rows),
        "percent": view.percent,
        "finished": result is not None,
        "stopped": result is not None and result.status == "stopped",
        "original": _original(result),
        "config": view.config,
    }


def _searched(result: SearchResult) -> str:
    data, sizes = result.dataset, result.dataset.sizes
    # A custom scorer may not know the number of classes.
    classes = f"{data.classes} classes" if data.classes else data.name
    images = (
        f", {data.shots} shots, seed {data.seed}: {sizes.train} training, {sizes.val} validation and "
        f"{sizes.test} test images"
        if sizes != Sizes()
        else f", seed {data.seed}"
    )
    llm = llm_of_templates(result)
    who = f"proposed by {llm}" if llm else "proposed without an LLM"
    if (made := made_by_llm(result)) is not None and made[0] < made[1]:
        who += f" ({made[0]:,} of the {made[1]:,} new ones, the others without an LLM)"
    weights = f" ({result.model.pretrained})" if result.model.pretrained else ""
    objective = f", objective {result.objective}" if result.has_accuracies else ""
    return (
        f"{result.model.name}{weights} on {classes}{images}. Templates {who}, "
        f"method {result.method}{objective}."
    )


def _original(result: SearchResult | None) -> str:
    """Return the best template for the original class names; empty if no others were accepted."""
    baseline = result.baselines.get(ORIGINAL_NAMES) if result else None
    return "" if baseline is None else baseline.templates[0]


def _searching(view: RunView) -> str:
    started = view.progress.started
    if started is None:
        return "The search has not started yet."
    who = f"proposed by {started.llm}" if started.llm else "proposed without an LLM"
    return f"{started.model}. Templates {who}, method {started.method}."


def _verdict(view: RunView) -> str:
    result, progress = view.result, view.progress
    if result is not None and (on_test := verdict_on(result)):
        return f"{on_test}."
    rows = view.rows
    if not rows:
        return "Nothing was scored yet."
    # A custom scorer may have no images, or not say so.
    images = " on the training images" if result is None or result.dataset.sizes.train else ""
    best = ", ".join([f"{_text(_best_score(view), view)}{images}", *gains_in_words(_gains(view), view.words)])
    if result is not None and result.status == "finished":
        if result.dataset.sizes.test:
            return (
                f"The best template has {best}; nothing is known of it on test images. {about_test(result)}"
            )
        return f"The best template has {best}. There are no test images to confirm it."
    of = f" of {progress.started.rounds:,}" if progress.started else ""
    done = f"{progress.rounds:,}{of} rounds"
    how = {"live": "the search is running", "stopped": "the search was stopped"}
    return (
        f"Not finished: {how.get(view.state, 'the search was interrupted')} after {done}. The best template "
        f"so far has {best}; the test images are held out until the search has chosen."
    )


def _best_score(view: RunView) -> float:
    return view.rows[0].train if view.result is None else view.result.best.train


def _gains(view: RunView) -> dict[str, str]:
    return view.progress.gains(_best_score(view), percent=view.percent) if view.rows else {}


def _text(value: float | None, view: RunView) -> str:
    return score_text(value, percent=view.percent, unit=" %")


def _warnings(result: SearchResult) -> list[str]:
    found = []
    if result.stop_reason:
        found.append(f"Stopped before its end: {result.stop_reason}.")
    if result.skipped:
        failed = result.usage.failed_calls
        found.append(
            f"{counted(result.skipped, 'round')} without an answer; {counted(failed, 'attempt')} failed."
        )
    if result.objective in ("logprob", "margin"):
        found.append("The objective looks at logits: this was no black-box search.")
    return found + [str(result.notes[name]) for name in PROMINENT if name in result.notes]


def _cards(view: RunView) -> list[Card]:
    result = view.result
    if result is None:
        rows = view.rows
        best = [("best so far", _text(rows[0].train, view), "train")] if rows else []
        return [*best, *_training_cards(view), ("templates scored", f"{len(rows):,}", "")]
    split = next((one for one in ("test", "val", "train") if getattr(result.best, one) is not None), "train")
    found = [("best found", _text(getattr(result.best, split), view), split)]
    for name, one in (result.gain.over if result.gain else {}).items():
        cell = gain_cell(one, view.words)
        found.append((f"over {name}", cell.points, cell.interval))
    if result.gain is None and split == "train":
        found += _training_cards(view)
    if result.averaged and (together := getattr(result.ensemble, split)) is not None:
        found.append((f"ensemble{without_names(result.best)}", _text(together, view), split))
    return found


def _training_cards(view: RunView) -> list[Card]:
    return [(f"over {name}", gain, "train") for name, gain in _gains(view).items()]


def _origin(row: Row) -> str:
    where = f"conversation {row.conversation}, round {row.round}" if row.conversation else "starting template"
    by = f", {'the LLM' if row.source == LLM else row.source}" if row.conversation and row.source else ""
    return f"restart {row.restart}, {where}{by}"


def _lines(lineage: Sequence[Ancestor]) -> list[dict[str, Any]]:
    """Mark each ancestor's words against the next one."""
    found = []
    for place, one in enumerate(lineage, start=1):
        parent = lineage[place].template if place < len(lineage) else None
        more = "" if one.all_shown == len(one.shown) else f", of which the best {len(one.shown)} are"
        shown = f"This request showed {counted(one.all_shown, 'known template')}{more}:"
        found.append({"words": marked(one.template, parent), "one": one, "shown": shown})
    return found


def _refused(
    course: Mapping[str, Refused], counts: Mapping[str, int] | None
) -> list[tuple[str, str, Sequence[str]]]:
    """Return reasons with counts (from the result if given) and examples, most frequent first."""
    number = counts if counts is not None else {reason: one.count for reason, one in course.items()}
    ordered = sorted(number.items(), key=lambda item: (-item[1], item[0]))
    return [
        (
            REJECTED.get(reason, reason.replace("_", " ")),
            f"{count:,}",
            course[reason].examples if reason in course else (),
        )
        for reason, count in ordered
    ]


def _facts(view: RunView) -> dict[str, str]:
    if view.result is not None:
        return _costs(view.result) | _notes(view.result)
    progress, (last, time) = view.progress, view.last_event
    found = {"state": view.state, "last event": f"{last}, {time}", "rounds": f"{progress.rounds:,}"}
    if (usage := progress.usage) and usage.calls:
        found |= {"calls": f"{usage.calls:,}", "tokens": f"{usage.tokens:,}", "cost": _cost(usage)}
    if (scorer := progress.scorer_usage) and scorer.calls:
        found |= {"scorer's calls": f"{scorer.calls:,}", "scorer's cost": _cost(scorer)}
    return found


def _cost(used: UsageEvent | ApiUsage) -> str:
    return cost_text(used.cost_usd) + unreported(used.estimated_tokens, used.estimated_usd, ", and ")


def _costs(result: SearchResult) -> dict[str, str]:
    usage = result.usage
    found = {"templates scored": f"{result.evaluated:,}"}
    if result.llm.model is not None:
        more = unreported(usage.estimated_tokens, usage.estimated_usd, ", and ")
        found["calls"] = (
            f"{usage.calls:,} ({counted(usage.failed_calls, 'failed attempt')}, {usage.retries:,} retries)"
        )
        kinds = f" ({kinds})" if (kinds := kinds_of_tokens(usage)) else ""
        found["tokens"] = f"{usage.prompt_tokens:,} in, {usage.completion_tokens:,} out{kinds}{more}"
        found["cost"] = cost_text(usage.cost_usd)
    if (scorer := result.scorer_usage) is not None:
        failed = f"{counted(scorer.failed_calls, 'failed attempt')}, {scorer.retries:,} retries"
        found["scorer's calls"] = f"{scorer.calls:,} ({failed})"
        if scorer.tokens:
            tokens = f"{scorer.prompt_tokens:,} in, {scorer.completion_tokens:,} out"
            found["scorer's tokens"] = tokens
        found["scorer's cost"] = _cost(scorer)
        if usage.cost_usd and scorer.cost_usd:
            found["cost in all"] = cost_text(usage.cost_usd + scorer.cost_usd)
    left = "; ".join(left_of(name, value) for name, value in result.budget.items())
    return found | {"active time": f"{result.wall_s:,.0f} s"} | ({"left of limits": left} if left else {})


def _notes(result: SearchResult) -> dict[str, str]:
    found: dict[str, Any] = {"started": result.started, "device": result.device}
    if (versions := result.versions) is not None:
        ran = {"promptclimb": versions.program, "Python": versions.python}
        ran |= {"torch": versions.torch or "", "open_clip": versions.open_clip or ""}
        found["versions"] = ", ".join(f"{name} {version}" for name, version in ran.items() if version)
    notes = dict(result.notes)
    if result.device is not None:
        notes.pop("device", None)
    if isinstance(skipped := notes.pop(_SKIPPED, None), Mapping):
        found["images left out"] = "; ".join(_left_out(split, one) for split, one in skipped.items())
    found |= {name.replace("_", " "): value for name, value in notes.items()}
    return {name: _as_text(value) for name, value in found.items() if value is not None}


def _left_out(split: str, found: Any) -> str:
    if not isinstance(found, Mapping) or not isinstance(found.get("which"), Sequence):
        return f"{split}: {_as_text(found)}"
    which = list(map(str, found["which"]))[:_MOST_LISTED]
    return f"{split}: {found.get('images')} ({', '.join(which)})"


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(line, str) for line in value):
        return "; ".join(value)
    return json.dumps(value, ensure_ascii=False)
