"""``search --dry-run``: what a search takes at most, and what is to be expected of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ...evaluator.errors import UsageError
from ..config.schema import SearchConfig
from ..events.trackers.known import check_trackers
from ..llm.endpoints import check_endpoints
from ..text import printable
from .expected import expected, usually
from .output import json_alone, print_json, print_text, say_refused
from .plan import plan, print_bounds, shape
from .rehearsal import Rehearsed, rehearse


def print_plan(config: SearchConfig, *, as_json: bool) -> int:
    """Open what the search would open, and print what it takes at most and as a rule.

    An LLM or a tracker that cannot be used is told at the end: what is printed holds without them.

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
    else:
        _print(config, found, bounds, usual)
    try:
        check_trackers(config.track)
        check_endpoints(config, os.environ)
    except UsageError as error:
        say_refused(str(error))
    return 0


def _print(
    config: SearchConfig, found: Rehearsed, bounds: Mapping[str, Any], usual: Mapping[str, Any]
) -> None:
    sizes = ", ".join(f"{size:,} {split}" for split, size in found.info.sizes.items() if size)
    model = f"{found.info.model} ({found.info.pretrained})" if found.info.pretrained else found.info.model
    line = f"{found.info.dataset} with {model}: {sizes + ' images' if sizes else 'no images known'}"
    print_text(f"{printable(line)}\n")
    print_bounds(shape(config), bounds, as_json=False)
    print_text(usually(bounds, usual))
