"""open_clip without timm and transformers, which it imports whatever model is wanted: half of its own time.

Both are optional to it. Only a process that is the program's own does without them, since in another one
somebody may want of open_clip what we do not; and only for a model that needs neither. They are brought in as
soon as one does. This imports neither torch nor open_clip by itself.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from ..pico import models as bundled_models

WITHHELD = frozenset({"timm", "transformers"})
_USERS = ("open_clip.timm_model", "open_clip.hf_model", "open_clip.coca_model")
_NEEDS_THEM = ('"timm_', '"hf_')
"""How a model's file of settings names what only they have."""


class _Withheld:
    """A finder by which one thread finds none of the packages."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse them; leave all else to the other finders."""
        if name in WITHHELD and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is not needed here", name=name)
        return None


@dataclass(slots=True)
class _Process:
    """Whether the process is the program's own, and open_clip in it without those packages."""

    own: bool = False
    lean: bool = False


_process = _Process()


def allow() -> None:
    """Say that this process is the program's own: nobody else imports open_clip in it."""
    _process.own = True


def import_for(model: str) -> None:
    """Import open_clip, as much of it as a model needs; a process that has it keeps it, and may get more."""
    if not _process.own:
        return
    if not _is_plain(model):
        bring_all()
    elif "open_clip" not in sys.modules:
        finder = _Withheld()
        sys.meta_path.insert(0, finder)
        try:
            importlib.import_module("open_clip")
            _process.lean = True
        finally:
            sys.meta_path.remove(finder)


def bring_all() -> None:
    """Give open_clip the packages that it was imported without; what was made of it stays as it is."""
    if not _process.lean:
        return
    _process.lean = False
    for name in _USERS:
        with suppress(KeyError):
            importlib.reload(sys.modules[name])


def _is_plain(model: str) -> bool:
    """Return whether a model needs neither package, as far as its name tells."""
    if any(row["name"] == model for row in bundled_models()):
        return True
    package = importlib.util.find_spec("open_clip")
    for folder in (package.submodule_search_locations or ()) if package else ():
        with suppress(OSError, ValueError):
            told = (Path(folder) / "model_configs" / f"{model.replace('/', '-')}.json").read_text("utf-8")
            return not any(name in told for name in _NEEDS_THEM)
    return False
