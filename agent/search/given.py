"""What a run was given from Python in place of what its config names, and who can go on with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...evaluator.counts import enumerated
from ...evaluator.errors import UsageError


def name_of(given: object) -> str:
    """Return what an object's class is called, for people: ``module.Class``."""
    kind = type(given)
    return f"{kind.__module__}.{kind.__qualname__}"


def names_of(*, evaluator: object | None, chat: object | None) -> dict[str, str]:
    """Return the names of those objects that are there, by what they stand for."""
    objects = {"evaluator": evaluator, "chat": chat}
    return {what: name_of(one) for what, one in objects.items() if one is not None}


def check_given(run_dir: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Make sure that a run which needs objects from Python has them again.

    Args:
        run_dir: The run's folder.
        before: What the run was started with; see ``names_of``.
        now: What it is to go on with.

    Raises:
        UsageError: Something is missing; the config names other things, or none.
    """
    if missing := {what: name for what, name in before.items() if what not in now}:
        named = enumerated(f"its own {what} ({name})" for what, name in missing.items())
        arguments = ", ".join(f"{what}=..." for what in missing)
        raise UsageError(
            f"{run_dir} was made in Python with {named}, which only Python has: go on with it there, by "
            f"promptclimb.resume({str(run_dir)!r}, {arguments})"
        )
