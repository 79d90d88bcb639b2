"""What a store says about itself: which version made it, when, and of what run."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import StoreCorruptError, StoreVersionError
from ..versions import PROGRAM, program_version

MANIFEST = "manifest"
"""Its key in the store."""
FORMAT = 3
"""Goes up whenever a run of before can no longer be gone on with; 1 does not say which version made it."""


_PARTS: Mapping[str, type] = {
    "program": str,
    "started": str,
    "identity": dict,
    "config": dict,
    "given": dict,
    "notes": dict,
}
_MAY_LACK: Mapping[str, Any] = {"program": "", "started": "", "given": {}, "notes": {}}


def new_manifest(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of a run that begins now.

    Args:
        about: JSON values that say what the run is: ``identity`` (what decides the result), ``config``,
            ``given`` (what came from Python in place of what the config names), ``notes``, ``content``
            (hashes of data and weights). The first two are empty where they are left out.
    """
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    made = {"format": FORMAT, "program": program_version(), "started": now}
    return {**made, "identity": {}, "config": {}, **about}


def check_manifest(manifest: Any, run_dir: Path) -> Mapping[str, Any]:
    """Return a manifest that this version can work with.

    Raises:
        StoreCorruptError: It is none, or one of its parts is not of its shape.
        StoreVersionError: Another version made it.
    """
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise StoreCorruptError(f"{run_dir}: its store has no manifest, so it is no run's")
    if manifest["format"] == FORMAT:
        parts = {**_MAY_LACK, **manifest}
        if wrong := [name for name, kind in _PARTS.items() if not isinstance(parts.get(name), kind)]:
            raise StoreCorruptError(
                f"{run_dir}: the manifest in its store was changed from outside: {wrong[0]!r} is missing or "
                "of another type; put back a copy from before, or start a new run"
            )
        return manifest
    found = manifest["format"]
    older, program = found < FORMAT, manifest.get("program")
    maker = f"{PROGRAM} {program}" if program else "a version that did not say which"
    remedy = "start a new run" if older else f"use {maker}, or start a new run"
    raise StoreVersionError(
        f"{run_dir} holds a run of {'an older' if older else 'a newer'} version (store format {found}, made "
        f"by {maker}; this is {PROGRAM} {program_version()}, store format {FORMAT}) and cannot be gone on "
        f"with: {remedy}; its result.json and templates.json can still be read, reported and exported"
    )
