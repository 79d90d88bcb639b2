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
    """Run a small search and print what to use."""
    config = SearchConfig(data="digits", method="random", restarts=2, conversations=1, rounds=5, initial=40)
    result = search_sync(config, on_event=watch)
    print(f"best template: {result.best.template}, {result.best.test:.1%} on test")
    print(result.recommended.verdict)


if __name__ == "__main__":
    main()
