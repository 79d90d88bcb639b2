"""The climb: many conversations with a chat LLM, paced, journalled and resumed. Never imports torch.

As a library::

    from agent import SearchConfig, search

Names are loaded when they are first asked for, so that importing this package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.config.schema import SearchConfig
    from agent.errors import PromptclimbError
    from agent.results.result import SearchResult
    from agent.search.api import resume, resume_sync, search, search_sync

_HOME = {
    "PromptclimbError": "agent.errors",
    "SearchConfig": "agent.config.schema",
    "SearchResult": "agent.results.result",
    "resume": "agent.search.api",
    "resume_sync": "agent.search.api",
    "search": "agent.search.api",
    "search_sync": "agent.search.api",
}

__all__ = [
    "PromptclimbError",
    "SearchConfig",
    "SearchResult",
    "resume",
    "resume_sync",
    "search",
    "search_sync",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value
