"""The foot of a page: what a run took, with what it ran, and what was let through."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...evaluator.counts import counted
from .figures import kinds_of_tokens, untold
from .result import SearchResult
from .run_view import RunView

_SKIPPED = "skipped_images"
_MOST_LISTED = 10


def facts_of(view: RunView) -> dict[str, str]:
    """Return facts by name, as texts."""
    if view.result is not None:
        return _costs(view.result) | _notes(view.result)
    state, usage = view.state, view.state.usage
    found = {"state": state.state, "last event": f"{state.last_event}, {state.last_time}"}
    found["rounds"] = f"{state.rounds:,}"
    if usage.get("calls"):
        tokens = usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
        found["calls"] = f"{usage['calls']:,}"
        found["tokens"] = f"{tokens:,}"
        found["cost"] = cost(usage.get("cost_usd"))
    return found


def cost(dollars: float | None) -> str:
    """Return an amount of money in words."""
    if dollars is None:
        return "unknown (no price given)"
    return f"${dollars:.4f}" if dollars else "nothing"


def _costs(result: SearchResult) -> dict[str, str]:
    usage = result.usage
    found = {"templates scored": f"{result.evaluated:,}"}
    if result.llm.model is not None:
        doubtful = f", and {text}" if (text := untold(usage)) else ""
        found["calls"] = (
            f"{usage.calls:,} ({counted(usage.failed_calls, 'failed attempt')}, {usage.retries:,} retries)"
        )
        kinds = f" ({kinds})" if (kinds := kinds_of_tokens(usage)) else ""
        found["tokens"] = f"{usage.prompt_tokens:,} in, {usage.completion_tokens:,} out{kinds}{doubtful}"
        found["cost"] = cost(usage.cost_usd)
    left = "; ".join(f"{name}: {value:,.10g}" for name, value in result.budget.items())
    return found | {"active time": f"{result.wall_s:,.0f} s"} | ({"left of limits": left} if left else {})


def _notes(result: SearchResult) -> dict[str, str]:
    """Return what belongs beside the figures: circumstances, and all that was let through."""
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
