"""In what ways the endpoints of a pool are asked for other things than the search's requests say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def ways(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what each endpoint of a pool is asked for in place of what the config says, in their order.

    Args:
        settings: A config as JSON values: as ``to_public`` makes them, and runs of all versions keep them.

    Returns:
        Per endpoint ``model``, ``reasoning_effort`` and ``extra_body``, each where it makes a difference.
    """
    plain = {"model": settings.get("llm"), "reasoning_effort": settings.get("reasoning_effort")}
    members = json.loads(settings.get("extra_body") or "{}")
    found: list[dict[str, Any]] = []
    for endpoint in settings.get("endpoints", ()):
        way: dict[str, Any] = {
            name: endpoint[name] for name in plain if endpoint.get(name) and endpoint[name] != plain[name]
        }
        own = json.loads(endpoint.get("extra_body") or "{}")
        if more := {name: own[name] for name in own if name not in members or own[name] != members[name]}:
            way["extra_body"] = more
        found.append(way)
    return found


def deciding_ways(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the different ways, in an order of their own; none where all are asked as the config says.

    Whose address a way has, and how many have it, decides nothing.
    """
    different = {json.dumps(way, sort_keys=True): way for way in ways(settings)}
    return [different[text] for text in sorted(different)] if {*different} - {"{}"} else []
