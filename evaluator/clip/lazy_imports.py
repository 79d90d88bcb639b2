"""Import open_clip without the slow packages that the model at hand does not need.

Only in a process of the program's own: timm and transformers wait until a model needs them, torchvision's
import of torch's compiler until a detector does. This module itself imports neither torch nor open_clip.
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
from typing import Any

from ..pico.models import bundled_models

WITHHELD = frozenset({"timm", "transformers"})
COMPILER = ("torch._dynamo.utils", "is_compile_supported")
"""torchvision imports it and calls it only for detectors."""
_USERS = ("open_clip.timm_model", "open_clip.hf_model", "open_clip.coca_model")
_NEEDS_THEM = ('"timm_', '"hf_')
"""Marks, in a model's settings file, of what needs timm or transformers."""


class _Withheld:
    """A finder that hides the packages from one thread."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name in WITHHELD and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is not needed here", name=name)
        return None


class _Later(ModuleType):
    """Stands in for a module until something in it is called or read."""

    def __init__(self, name: str, called: str) -> None:
        super().__init__(name)
        setattr(self, called, lambda *given: getattr(self._real(), called)(*given))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def _real(self) -> ModuleType:
        self.leave()
        return importlib.import_module(self.__name__)

    def leave(self) -> None:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]


@dataclass(slots=True)
class _Process:
    own: bool = False
    reduced: bool = False


_process = _Process()


def allow() -> None:
    """Declare that this process is the program's own: nobody else imports open_clip in it."""
    _process.own = True


def import_for(model: str) -> None:
    """Import as much of open_clip as a model needs, unless it is already imported."""
    if not _process.own:
        return
    if not _is_plain(model):
        bring_all()
    elif "open_clip" not in sys.modules:
        finder, compiler = _Withheld(), _Later(*COMPILER)
        sys.meta_path.insert(0, finder)
        sys.modules.setdefault(compiler.__name__, compiler)
        try:
            importlib.import_module("open_clip")
            _process.reduced = True
        finally:
            sys.meta_path.remove(finder)
            compiler.leave()


def bring_all() -> None:
    """Import the packages that open_clip was imported without."""
    if not _process.reduced:
        return
    _process.reduced = False
    for name in _USERS:
        with suppress(KeyError):
            importlib.reload(sys.modules[name])


def _is_plain(model: str) -> bool:
    if any(row["name"] == model for row in bundled_models()):
        return True
    package = importlib.util.find_spec("open_clip")
    for folder in (package.submodule_search_locations or ()) if package else ():
        with suppress(OSError, ValueError):
            settings = (Path(folder) / "model_configs" / f"{model.replace('/', '-')}.json").read_text("utf-8")
            return not any(name in settings for name in _NEEDS_THEM)
    return False
