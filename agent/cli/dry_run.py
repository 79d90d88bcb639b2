"""``search --dry-run``: what a search takes at most, and what is to be expected of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config.schema import SearchConfig
from ..text import printable
from .expected import expected
from .output import json_alone, print_json, print_text
from .plan import plan, print_bounds, shape
from .rehearsal import rehearse


def print_plan(config: SearchConfig, *, as_json: bool) -> int:
    """Open what the search would open, and print what it takes at most and as a rule.

    Raises:
        UsageError: The initial templates, the data, the model or the black box cannot be used.
    """
    plan(config)  # what is wrong with the initial templates is told before anything is opened
    with json_alone(as_json):
        found = rehearse(config)
    config = config.as_opened(found.info)
    bounds = plan(config)
    usual = expected(config, bounds, found)
    if as_json:
        print_json({**bounds, "expected": usual})
        return 0
    sizes = ", ".join(f"{size:,} {split}" for split, size in found.info.sizes.items() if size)
    model = f"{found.info.model} ({found.info.pretrained})" if found.info.pretrained else found.info.model
    line = f"{found.info.dataset} with {model}: {sizes + ' images' if sizes else 'no images known'}"
    print_text(f"{printable(line)}\n")
    print_bounds(shape(config), bounds, as_json=False)
    print_text(_usually(bounds, usual))
    return 0


def _usually(bounds: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """Return what is to be expected, as a line."""
    parts = []
    if bounds["calls"]:
        parts.append(f"{usual['tokens']:,} tokens if every call is made")
        if usual["cost_usd"] is not None:
            parts.append(f"${usual['cost_usd']:.4f}")
    if usual["minutes"] is not None:
        minutes = usual["minutes"]
        parts.append("under 0.1 minutes" if minutes < 0.1 else f"{minutes:,.1f} minutes")
    if usual["seconds_a_template"] is None:
        parts.append("the black box's own time (it scored nothing now)")
    else:
        parts.append(f"at {1000 * usual['seconds_a_template']:,.1f} ms a template, as measured now")
    if bounds["calls"]:
        return f"expected: {', '.join(parts)}; the LLM's own time comes on top\n"
    return f"expected: {', '.join(parts)}\n"
