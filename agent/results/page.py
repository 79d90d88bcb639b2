"""``report.html``: one page about one run, in one file that needs nothing else.

It is a function of the result and the config, and has no script. Templates come from a language model, so
every text is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...evaluator.counts import counted
from .cells import gain_table, head, number_cells, pairs
from .chart import progress_chart
from .figures import has_accuracies, kinds_of_tokens, made_by_llm, untold
from .gain import shown_name
from .result import PROMINENT, UNOPENED, Row, SearchResult, Sizes
from .run_dir import REPORT, write_atomically

ACCURACIES = "Accuracies in %."
PLAIN_SCORES = "Scores as the black box gives them; higher is better."
MAX_ROWS = 100
MAX_CLASSES = 10
MAX_TEMPLATES = 3
REJECTED: Mapping[str, str] = MappingProxyType(
    {
        "answer_too_long": "answers too long to be read to their ends",
        "control_character": "with a control character",
        "duplicate": "proposed twice in one answer",
        "empty": "empty",
        "scorer_failed": "that make the evaluator fail",
        "no_slot": "without the slot {}",
        "not_a_number": "scored with something that is not a number",
        "stray_brace": "with a brace that is no slot",
        "too_long": "with too many characters",
        "too_many_lines": "answers with too many lines to be read to their ends",
        "too_many_proposals": "beyond the number asked for",
        "too_many_tokens": "too long for the model's text encoder",
        "too_many_words": "with too many words",
    }
)
"""Reasons of a rejection in words, after the number of lines; another evaluator may have more."""
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #8884; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.best td { font-weight: 600; }
pre { overflow-x: auto; background: #8881; padding: .7rem; }
svg { max-width: 100%; height: auto; } svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
.note { background: #fa02; border-left: 4px solid #fa0; padding: .4rem .8rem; }
"""


def write_report(run_dir: Path, result: SearchResult, config_text: str) -> Path:
    """Write the page of a run and return where it is.

    Raises:
        OSError: It cannot be written.
    """
    path = run_dir / REPORT
    write_atomically(path, page(result, config_text))
    return path


def page(result: SearchResult, config_text: str) -> str:
    """Return the page's text.

    Args:
        result: What the run found.
        config_text: Its config without secrets, as TOML.
    """
    name = result.dataset.name
    percent = has_accuracies(result)
    best = "Best training accuracy" if percent else "Best training score"
    parts = [
        f"<h1>Templates for {escape(name)}</h1>",
        f"<p>{escape(_what(result))}</p>",
        *(f'<p class="note">{escape(text)}</p>' for text in _warnings(result)),
        "<h2>What was found</h2>",
        _comparison(result),
        f"<p>{ACCURACIES if percent else PLAIN_SCORES} {escape(about_test(result))}</p>",
        *gain_table(result.gain),
        *_classes(result),
        "<h2>How the restarts went</h2>",
        progress_chart(result.leaderboard, percent=percent),
        f"<p>{best} of each restart after each iteration; iteration 0 is its initial templates.</p>",
        "<h2>Leaderboard</h2>",
        _leaderboard(result),
        "<h2>What it took</h2>",
        pairs(_costs(result)),
        "<h2>Notes</h2>",
        pairs(_notes(result)),
        "<h2>Settings</h2>",
        f"<pre>{escape(config_text)}</pre>",
    ]
    head = f'<meta charset="utf-8"><title>{escape(name)}</title><style>{_STYLE}</style>'
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def about_test(result: SearchResult) -> str:
    """Return a sentence on what became of the test split."""
    if not result.dataset.sizes.test:
        return "There are no test images."
    if result.status == "stopped":
        return "The test images stay sealed until the search is finished."
    if UNOPENED in result.notes:
        return "The test images could not be used; resuming the run tries again."
    if result.test_opened is not None and result.test_opened > 1:
        return f"The test images were opened {result.test_opened} times, each after the search had chosen."
    return "The test images were opened once, after the search had chosen."


def _what(result: SearchResult) -> str:
    data, sizes = result.dataset, result.dataset.sizes
    # A black box of the user's own need not say of what it is made.
    classes = f"{data.classes} classes" if data.classes else data.name
    images = (
        f", {data.shots} shots, seed {data.seed}: {sizes.train} training, {sizes.val} validation and "
        f"{sizes.test} test images"
        if sizes != Sizes()
        else f", seed {data.seed}"
    )
    asked = f"proposed by {result.llm.model}" if result.llm.model else "proposed without an LLM"
    if (made := made_by_llm(result)) is not None and made[0] < made[1]:
        asked += f" ({made[0]:,} of the {made[1]:,} new ones, the others without an LLM)"
    weights = f" ({result.model.pretrained})" if result.model.pretrained else ""
    climbed = f", objective {result.objective}" if has_accuracies(result) else ""
    return (
        f"{result.model.name}{weights} on {classes}{images}. Templates {asked}, "
        f"method {result.method}{climbed}."
    )


def _warnings(result: SearchResult) -> list[str]:
    found = []
    if result.stop_reason:
        found.append(f"Stopped before its end: {result.stop_reason}.")
    if result.skipped:
        failed = result.usage.failed_calls
        found.append(
            f"{counted(result.skipped, 'iteration')} without an answer; {counted(failed, 'attempt')} failed."
        )
    if result.objective in ("logprob", "margin"):
        found.append("The objective looks at logits: this was no black-box search.")
    return found + [str(result.notes[name]) for name in PROMINENT if name in result.notes]


def _comparison(result: SearchResult) -> str:
    best = result.best
    rows = [
        *(
            (shown_name(name), one.templates, [one.train, one.val, one.test], "")
            for name, one in result.baselines.items()
        ),
        ("best found", (best.template,), [best.train, best.val, best.test], "best"),
    ]
    ensemble, numbers = result.ensemble, partial(number_cells, percent=has_accuracies(result))
    rows.append(("ensemble", ensemble.templates, [ensemble.train, ensemble.val, ensemble.test], ""))
    body = "".join(
        f'<tr class="{css}"><td>{escape(name)}</td><td>{_templates(templates)}</td>{numbers(scores)}</tr>'
        for name, templates, scores, css in rows
    )
    return f"<table>{head('', 'template', 'train', 'val', 'test')}{body}</table>"


def _classes(result: SearchResult) -> list[str]:
    """Return which classes fare worst under the best template, and what they are taken for."""
    if (look := result.inspection) is None:
        return []
    counted = [one for one in look.classes if one.accuracy is not None]
    worst = sorted(counted, key=lambda one: one.accuracy or 0.0)[:MAX_CLASSES]
    classes = "".join(
        f'<tr><td>{escape(one.name)}</td><td class="n">{one.images}</td>{number_cells([one.accuracy])}</tr>'
        for one in worst
    )
    confused = "".join(
        f'<tr><td>{escape(one.true)}</td><td>{escape(one.taken_for)}</td><td class="n">{one.images}</td></tr>'
        for one in look.confusions[:MAX_CLASSES]
    )
    some = len(worst) < len(look.classes)
    which = f"{len(worst)} of {len(look.classes)}" if some else f"all {len(worst)}"
    about = (
        f"Under the best template, on {look.split}: {which} classes, those correctly classified least often "
        "first, and what is most often taken for what."
    )
    found = [
        "<h2>Which classes are hardest</h2>",
        f"<p>{escape(about)}</p>",
        f"<table>{head('class', 'images', look.split)}{classes}</table>",
    ]
    return [*found, f"<table>{head('class', 'taken for', 'images')}{confused}</table>"] if confused else found


def _leaderboard(result: SearchResult) -> str:
    numbers = partial(number_cells, percent=has_accuracies(result))
    body = "".join(
        f'<tr><td class="n">{row.rank}</td><td>{escape(row.template)}</td>'
        f"{numbers([row.train, row.val])}<td>{escape(_origin(row))}</td></tr>"
        for row in result.leaderboard[:MAX_ROWS]
    )
    rest = len(result.leaderboard) - MAX_ROWS
    more = f"<p>... and {rest} more in leaderboard.csv.</p>" if rest > 0 else ""
    return f"<table>{head('rank', 'template', 'train', 'val', 'from')}{body}</table>{more}"


def _origin(row: Row) -> str:
    where = f"reset {row.reset}, iteration {row.iteration}" if row.reset else "initial"
    by = f", {row.source}" if row.reset and row.source else ""
    return f"restart {row.climb}, {where}{by}"


def _costs(result: SearchResult) -> dict[str, str]:
    usage = result.usage
    rejected = "; ".join(f"{count:,} {_why(reason)}" for reason, count in result.rejected.items())
    found = {"templates scored": f"{result.evaluated:,}", "rejected": rejected or "none"}
    if result.llm.model is not None:
        doubtful = f", and {text}" if (text := untold(usage)) else ""
        found["calls"] = (
            f"{usage.calls:,} ({counted(usage.failed_calls, 'failed attempt')}, {usage.retries:,} retries)"
        )
        kinds = f" ({kinds})" if (kinds := kinds_of_tokens(usage)) else ""
        found["tokens"] = f"{usage.prompt_tokens:,} in, {usage.completion_tokens:,} out{kinds}{doubtful}"
        found["cost"] = _cost(usage.cost_usd)
    return found | {"active time": f"{result.wall_s:,.0f} s"}


def _why(reason: str) -> str:
    return REJECTED.get(reason, reason.replace("_", " "))


def _cost(dollars: float | None) -> str:
    if dollars is None:
        return "unknown (no price given)"
    return f"${dollars:.4f}" if dollars else "nothing"


def _notes(result: SearchResult) -> dict[str, str]:
    """Return what belongs beside the figures: circumstances, and all that was let through."""
    found: dict[str, Any] = {"started": result.started, "device": result.device}
    if (versions := result.versions) is not None:
        ran = {"promptclimb": versions.program, "Python": versions.python}
        ran |= {"torch": versions.torch or "", "open_clip": versions.open_clip or ""}
        found["versions"] = ", ".join(f"{name} {version}" for name, version in ran.items() if version)
    found |= {name.replace("_", " "): value for name, value in result.notes.items()}
    return {name: _as_text(value) for name, value in found.items() if value is not None}


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(line, str) for line in value):
        return "; ".join(value)
    return json.dumps(value, ensure_ascii=False)


def _templates(templates: Sequence[str]) -> str:
    lines = [escape(template) for template in templates[:MAX_TEMPLATES]]
    if len(templates) > MAX_TEMPLATES:
        lines = [f"{len(templates)} templates averaged:", *lines, "..."]
    return "<br>".join(lines)
