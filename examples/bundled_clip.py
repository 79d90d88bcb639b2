"""Search on a bundled data set with the bundled CLIP, without an LLM.

Run it by ``python examples/bundled_clip.py``.
"""

from __future__ import annotations

from promptclimb import SearchConfig, search_sync
from promptclimb.agent.events.types import Event, TemplateScored


def watch(event: Event) -> None:
    """Print each template that improves on its restart."""
    if isinstance(event, TemplateScored) and event.improved:
        print(f"restart {event.position.restart}: {event.train:6.1%}  {event.template}")


def main() -> None:
    """Run a small search and compare its result with the default template."""
    config = SearchConfig(data="digits", method="random", restarts=2, conversations=1, rounds=5, initial=40)
    result = search_sync(config, on_event=watch)
    default = result.baselines["default template"].test
    print(f"on test: default template {default:.1%}, best {result.best.test:.1%} ({result.best.template})")


if __name__ == "__main__":
    main()
