"""``report.html``: one page about one run, in one file that needs nothing else.

It is a function of the result and the config, and has no script. Templates come from a language model, so
every text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from .chart import progress_chart
from .result import SearchResult
from .run_dir import write_atomically

REPORT = "report.html"
MAX_ROWS = 100
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
    """Writes the page of a run and says where.

    Raises:
        OSError: It cannot be written.
    """
    path = run_dir / REPORT
    write_atomically(path, page(result, config_text))
    return path


def page(result: SearchResult, config_text: str) -> str:
    """The page's text.

    Args:
        result: What the run found.
        config_text: Its config without secrets, as TOML.
    """
    name = str(result.dataset["name"])
    parts = [
        f"<h1>Templates for {escape(name)}</h1>",
        f"<p>{escape(_what(result))}</p>",
        *(f'<p class="note">{escape(text)}</p>' for text in _warnings(result)),
        "<h2>What was found</h2>",
        _comparison(result),
        "<p>Accuracies in %. The test images were opened once, after the search had chosen.</p>",
        "<h2>How the climbs went</h2>",
        progress_chart(result.leaderboard),
        "<p>Best training accuracy of each climb after each turn; turn 0 is its initial templates.</p>",
        "<h2>Leaderboard</h2>",
        _leaderboard(result),
        "<h2>What it took</h2>",
        _pairs(_costs(result)),
        "<h2>Settings</h2>",
        f"<pre>{escape(config_text)}</pre>",
    ]
    head = f'<meta charset="utf-8"><title>{escape(name)}</title><style>{_STYLE}</style>'
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _what(result: SearchResult) -> str:
    sizes = result.dataset["sizes"]
    asked = f"proposed by {result.llm['model']}" if result.llm["model"] else "proposed without an LLM"
    return (
        f"{result.model['name']} ({result.model['pretrained']}) on {result.dataset['classes']} classes, "
        f"{result.dataset['shots']} shots, seed {result.dataset['seed']}: {sizes['train']} training, "
        f"{sizes['val']} "
        f"validation and {sizes['test']} test images. Templates {asked}, method {result.method}, "
        f"objective {result.objective}."
    )


def _warnings(result: SearchResult) -> list[str]:
    found = []
    if result.stop_reason:
        found.append(f"Stopped before its end: {result.stop_reason}.")
    if result.skipped:
        found.append(f"{result.skipped} turns got no answer and were skipped.")
    if result.objective in ("logprob", "margin"):
        found.append("The objective looks at logits: this was no black-box search.")
    if "llm_fallback" in result.notes:
        found.append(str(result.notes["llm_fallback"]))
    return found


def _comparison(result: SearchResult) -> str:
    rows = [
        (name, found["templates"], [found["train"], found.get("val"), found["test"]], "")
        for name, found in result.baselines.items()
    ]
    best, ensemble = result.best, result.ensemble
    rows.append(("best found", [best.template], [best.train, best.val, best.test], "best"))
    rows.append(("ensemble", ensemble.templates, [ensemble.train, ensemble.val, ensemble.test], ""))
    body = "".join(
        f'<tr class="{css}"><td>{escape(name)}</td><td>{_templates(templates)}</td>{_numbers(scores)}</tr>'
        for name, templates, scores, css in rows
    )
    return f"<table>{_head('', 'template', 'train', 'val', 'test')}{body}</table>"


def _leaderboard(result: SearchResult) -> str:
    body = "".join(
        f'<tr><td class="n">{row.rank}</td><td>{escape(row.template)}</td>{_numbers([row.train, row.val])}'
        f"<td>{escape(_origin(row.climb, row.reset, row.iteration))}</td></tr>"
        for row in result.leaderboard[:MAX_ROWS]
    )
    rest = len(result.leaderboard) - MAX_ROWS
    more = f"<p>... and {rest} more in leaderboard.csv.</p>" if rest > 0 else ""
    return f"<table>{_head('rank', 'template', 'train', 'val', 'from')}{body}</table>{more}"


def _origin(climb: int, reset: int, iteration: int) -> str:
    return f"climb {climb}, initial" if not reset else f"climb {climb}, reset {reset}, turn {iteration}"


def _costs(result: SearchResult) -> Mapping[str, str]:
    usage = result.usage
    refused = ", ".join(f"{reason} {count}" for reason, count in result.rejected.items()) or "none"
    return {
        "templates scored": f"{result.evaluated:,}",
        "refused": refused,
        "requests": f"{usage.calls:,} ({usage.failed_calls:,} failed, {usage.retries:,} retries)",
        "tokens": f"{usage.prompt_tokens:,} in, {usage.completion_tokens:,} out",
        "cost": "unknown (no price given)" if usage.cost_usd is None else f"${usage.cost_usd:.4f}",
        "time": f"{result.wall_s:,.0f} s",
    }


def _pairs(pairs: Mapping[str, str]) -> str:
    body = "".join(f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in pairs.items())
    return f"<table>{body}</table>"


def _head(*names: str) -> str:
    numbers = {"train", "val", "test", "rank"}
    cells = "".join(
        f'<th class="n">{escape(name)}</th>' if name in numbers else f"<th>{escape(name)}</th>"
        for name in names
    )
    return f"<thead><tr>{cells}</tr></thead>"


def _templates(templates: Sequence[str]) -> str:
    shown = "<br>".join(escape(template) for template in templates[:3])
    return shown if len(templates) <= 3 else f"{shown}<br>... {len(templates)} templates averaged"


def _numbers(values: Iterable[float | None]) -> str:
    return "".join(f'<td class="n">{"-" if value is None else f"{100 * value:.1f}"}</td>' for value in values)
