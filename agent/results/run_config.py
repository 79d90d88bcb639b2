"""The settings of a run, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config.schema import SearchConfig
from ..config.sources import COMMAND_LINE, build
from ..store import Store
from .run_dir import CONFIG


def stored_config(
    run_dir: Path, changes: Mapping[str, Any] | None = None, *, place: str = COMMAND_LINE
) -> SearchConfig:
    """Return the config of a run, from its store.

    Args:
        run_dir: The run's folder.
        changes: Settings by name that replace the run's own.
        place: Where the changes come from, for the message.

    Raises:
        UsageError: There is no run, it was made by another version, or a change is wrong.
    """
    with Store.open(run_dir) as store:
        stored = store.manifest["config"]
    return build([(f"the run {run_dir}", stored), (place, changes or {})])


def stored_given(run_dir: Path) -> Mapping[str, str]:
    """Return what a run was given from Python in place of what its config names: ``module.Class`` by kind.

    Raises:
        UsageError: There is no run, or it was made by another version.
    """
    with Store.open(run_dir) as store:
        return dict(store.manifest.get("given", {}))


def config_text(run_dir: Path) -> str:
    """Return the run's ``config.toml`` for people to read; a line that says so where it is lost."""
    try:
        return (run_dir / CONFIG).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return f"# {CONFIG} cannot be read: {error}\n"
