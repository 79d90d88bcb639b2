"""Whether a run may go on with the settings it is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import StoreMismatchError

NO_LONGER = frozenset({"answer_tokens", "on_bad_image"})
"""What decided in runs of earlier versions and does not any more. Which images are left out of train and val
stands in the fingerprint, so what is done with torn ones may change for the rest."""
_NAMES = {
    "endpoints": "what the endpoints are asked for (their model, reasoning_effort, extra_body)",
    "fingerprint": "the content of data and model (their fingerprint)",
    "pool": "the initial templates (their hash)",
    "llm_content": "the content of the LLM's file (its hash)",
    "wordings": "the texts of --wordings (their hash)",
    "prompts_version": "the wording of requests (its version)",
}


def check_identity(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare two identities, nested mappings member by member.

    Raises:
        StoreMismatchError: They differ; ``differences`` has a line for each difference.
    """
    if found := tuple(_differences(before, now, "")):
        lines = "\n".join(f"  {line}" for line in found)
        raise StoreMismatchError(
            f"the run was started with other settings, so its answers and scores do not fit:\n{lines}\n"
            "start a new run for the new settings, or resume without them",
            differences=found,
        )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str) -> list[str]:
    lines: list[str] = []
    for name in sorted({*before, *now} - NO_LONGER):
        # A setting that a newer program knows of, and that is not set, is none that the run lacks.
        old, new = before.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines += _differences(old, new, f"{path}{name}.")
        elif old != new and (old or new):
            lines.append(f"{_NAMES.get(name, path + name)}: it was {_shown(old)}, now {_shown(new)}")
    return lines


def _shown(value: object) -> str:
    return "not set" if value is None else repr(value)
