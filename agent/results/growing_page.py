"""The page of a run while it works: what is known up to now, from its log."""

from __future__ import annotations

from html import escape
from pathlib import Path

from ..events import TemplateScored
from ..events.sinks.log import logged
from .figures import are_shares, score_text
from .run_state import RunState, state_of

MOST_ROWS = 50
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 1rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #8884; overflow-wrap: anywhere; }
th { white-space: nowrap; }
"""


def growing_page(run_dir: Path) -> str:
    """Return the page of a run as it stands; the test split has no place in it.

    It reads files of the run only, and may be made in any thread. Every text is escaped: a language model
    wrote it.
    """
    state = state_of(run_dir)
    name = escape(str(state.started.get("dataset", run_dir.name)))
    facts = "".join(f"<tr><th>{escape(key)}</th><td>{escape(text)}</td></tr>" for key, text in _facts(state))
    head = f'<meta charset="utf-8"><title>{name}</title><style>{_STYLE}</style>'
    body = f"<h1>{name}</h1><table>{facts}</table><h2>Best templates so far</h2>{_board(run_dir)}"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _facts(state: RunState) -> list[tuple[str, str]]:
    usage, started = state.usage, state.started
    tokens = usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
    used = f"{usage.get('calls', 0):,} calls, {tokens:,} tokens, ${usage.get('cost_usd', 0.0):.4f}"
    return [
        ("state", state.state),
        ("model", str(started.get("model", ""))),
        ("LLM", str(started.get("llm") or "none")),
        ("method", str(started.get("method", ""))),
        ("iterations", f"{state.iterations:,} of {started.get('iterations', 0):,}"),
        ("used", used),
    ]


def _board(run_dir: Path) -> str:
    found: dict[str, float] = {}
    for event in logged(run_dir):
        train = event.get("train")
        if event.get("event") == TemplateScored.name and isinstance(train, int | float):
            found[str(event.get("template"))] = float(train)
    percent = are_shares(found.values())
    best = sorted(found.items(), key=lambda item: -item[1])[:MOST_ROWS]
    rows = "".join(
        f"<tr><td>{score_text(train, percent=percent)}</td><td>{escape(template)}</td></tr>"
        for template, train in best
    )
    return f"<table><tr><th>train</th><th>template</th></tr>{rows}</table>"
