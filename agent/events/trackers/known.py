"""Trackers by name: how the setting ``track`` chooses them, and what they need."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from ....evaluator.counts import how_to_install
from ....evaluator.errors import UsageError
from ....evaluator.files import user_path
from ....evaluator.settings import near

NONE = "none"
"""Ends tracking when a tracked run is resumed."""


@dataclass(frozen=True, slots=True)
class KnownTracker:
    """A tracker that can be chosen; the extra that installs its packages has its name.

    Attributes:
        client: Module in this package, and class.
        packages: What the extra makes importable; empty if there is no extra.
        place: What may follow the name after a colon: a name, else a path or an address.
    """

    client: tuple[str, str]
    packages: tuple[str, ...]
    place: Literal["URI", "DIR", "PROJECT"]


TRACKERS: Mapping[str, KnownTracker] = {
    "mlflow": KnownTracker(("mlflow_runs", "MlflowRuns"), ("mlflow", "sqlalchemy", "alembic"), "URI"),
    "wandb": KnownTracker(("wandb", "WandbRuns"), ("wandb",), "PROJECT"),
    "tensorboard": KnownTracker(("tensorboard", "TensorboardFiles"), ("tensorboardX",), "DIR"),
}


def tracker_forms() -> str:
    """Return how each tracker is given, for the help."""
    return ", ".join(f"{name}[:{tracker.place}]" for name, tracker in TRACKERS.items())


def parse_track(value: Any) -> tuple[str, ...] | None:
    """Return the choices ``NAME`` or ``NAME:PLACE``, with absolute paths, or None for ``none``.

    Raises:
        ValueError: A name is unknown or stands twice, or a target holds credentials.
    """
    if value is None:
        return None
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"it must be text, names from {', '.join(TRACKERS)}")
    choices = [text.strip() for text in texts]
    if choices in ([NONE], []):
        return None
    target_by_name: dict[str, str] = {}
    for name, target in map(split_choice, choices):
        if name not in TRACKERS:
            hint = near(name, TRACKERS) or f"; known are {', '.join(TRACKERS)}"
            raise ValueError(f"unknown tracker {name!r}{hint}")
        if name in target_by_name:
            raise ValueError(f"{name} stands twice")
        if _has_credentials(target):
            raise ValueError(f"{name}: give no credentials in the address; its variables are for that")
        is_path = target and TRACKERS[name].place != "PROJECT" and "://" not in target
        target_by_name[name] = (
            str(user_path(target, "`track`")) if is_path and target != "databricks" else target
        )
    return tuple(f"{name}:{target}" if target else name for name, target in target_by_name.items())


def split_choice(choice: str) -> tuple[str, str]:
    """Return a tracker's name, and the target after it or an empty text."""
    name, _, target = choice.partition(":")
    return name, target


def _has_credentials(target: str) -> bool:
    try:
        address = urlsplit(target)
    except ValueError:
        return False
    return "@" in address.netloc or bool(address.query)


def check_trackers(choices: tuple[str, ...] | None) -> None:
    """Check, without loading, that trackers are installed; raise UsageError if not."""
    for choice in choices or ():
        name, _ = split_choice(choice)
        if not all(map(_is_installed, TRACKERS[name].packages)):
            raise UsageError(f'`track = "{name}"` needs {how_to_install(name)}')


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
