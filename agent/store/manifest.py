"""The manifest of a run's store (format, program version, settings) and the check that it still fits."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..config.sources import CURRENT_NAMES
from ..errors import StoreCorruptError, StoreMismatchError, StoreVersionError
from ..versions import PROGRAM, program_version

MANIFEST = "manifest"
FORMAT = 3
"""Increases whenever earlier runs can no longer be resumed."""


class RunManifest(BaseModel):
    """The origin of a run: its settings as JSON values, the program and the time.

    Attributes:
        identity: What decides the result.
        given: Objects from Python that replace what the config names.
        content: Hashes of data and weights.
        signatures: Of settings that need trust; see ``trust``.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    format: int = FORMAT
    program: str = ""
    started: str = ""
    identity: dict[str, Any]
    config: dict[str, Any]
    given: dict[str, Any] = {}
    notes: dict[str, Any] = {}
    content: dict[str, Any] = {}
    signatures: dict[str, Any] = {}

    def altered(self, **parts: dict[str, Any]) -> RunManifest:
        return self.model_copy(update=parts)

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


def new_manifest(about: Mapping[str, Any]) -> RunManifest:
    """Return the manifest of a run that begins now, with the parts in ``about``."""
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    parts = {"identity": {}, "config": {}, **about}
    return RunManifest(format=FORMAT, program=program_version(), started=now, **parts)


def read_manifest(manifest: Any, run_dir: Path) -> RunManifest:
    """Return a manifest that this version can work with.

    Raises:
        StoreCorruptError: It is missing, or a part has another type.
        StoreVersionError: Another version made it.
    """
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise StoreCorruptError(f"{run_dir}: its store has no manifest, so it is not a run")
    if manifest["format"] == FORMAT:
        try:
            return RunManifest.model_validate(manifest)
        except ValidationError as error:
            raise StoreCorruptError(
                f"{run_dir}: the manifest in its store was changed from outside: "
                f"{error.errors()[0]['loc'][0]!r} is missing or of another type; restore an earlier copy, or "
                "start a new run"
            ) from None
    is_older, program = manifest["format"] < FORMAT, manifest.get("program")
    maker = f"{PROGRAM} {program}" if program else "a version that did not say which"
    remedy = "start a new run" if is_older else f"use {maker}, or start a new run"
    raise StoreVersionError(
        f"{run_dir} holds a run of {'an older' if is_older else 'a newer'} version (store format "
        f"{manifest['format']}, made "
        f"by {maker}; this is {PROGRAM} {program_version()}, store format {FORMAT}) and cannot be "
        f"resumed: {remedy}; its result.json and templates.json can still be read, reported and exported"
    )


_NAMES = {
    "endpoints": "what the endpoints are asked for (their model, reasoning_effort, extra_body)",
    "fingerprint": "the content of data and model (their fingerprint)",
    "pool": "the starting templates (their hash)",
    "llm_content": "the content of the LLM's file (its hash)",
    "wordings": "the texts of the user's wordings (their hash)",
    "prompts_version": "the wording of requests (its version)",
}


def check_identity(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare two identities, nested mappings member by member.

    Raises:
        StoreMismatchError: They differ; ``differences`` has a line for each difference.
    """
    if differences := tuple(_differences(before, now, "")):
        lines = "\n".join(f"  {line}" for line in differences)
        raise StoreMismatchError(
            f"the run was started with other settings, so its answers and scores do not fit:\n{lines}\n"
            "start a new run for the new settings, or resume without them",
            differences=differences,
        )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str) -> list[str]:
    lines: list[str] = []
    for name in sorted({*before, *now}):
        # An unset setting that only a newer program has is no difference.
        old, new = before.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines += _differences(old, new, f"{path}{name}.")
        elif old != new and (old or new):
            called = _NAMES.get(name) or path + CURRENT_NAMES.get(name, name)
            lines.append(f"{called}: it was {_shown(old)}, now {_shown(new)}")
    return lines


def _shown(value: object) -> str:
    return "not set" if value is None else repr(value)
