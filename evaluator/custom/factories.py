"""From ``MODULE:FACTORY``, as on a command line, to the black box that the factory makes."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ConfigError
from ..scoring import Evaluator
from ..spec import EvaluatorSpec
from .black_box import as_evaluator
from .users_code import opened

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def open_custom(name: str, spec: EvaluatorSpec) -> Evaluator:
    """Return the evaluator that a factory makes.

    Args:
        name: ``MODULE:FACTORY``, or ``FILE.py:FACTORY``. The factory is called with the specification if it
            needs an argument or has one called ``spec``, else without; a class is a factory too.
        spec: What was asked for.

    Raises:
        ConfigError: It cannot be imported, there is no such name, it cannot be called, it fails, or what it
            makes is no black box; see ``as_evaluator``.
    """
    spec = spec.with_shots()
    source, _, attribute = name.rpartition(":")
    where = f"evaluator {name!r}"
    module = opened(where, lambda: _imported(name, source))
    factory = getattr(module, attribute, None)
    if factory is None:
        raise ConfigError(f"evaluator {name!r}: {source} has no {attribute!r}")
    if not callable(factory):
        raise ConfigError(
            f"evaluator {name!r}: {attribute} is a {type(factory).__name__}; name a function or a class that "
            "makes the evaluator"
        )
    if inspect.iscoroutinefunction(factory):
        raise ConfigError(f"evaluator {name!r}: {attribute} is async: make it a plain function")
    made: object = opened(where, lambda: factory(spec) if _takes_spec(factory) else factory())
    return as_evaluator(made, spec)


def pinned(name: str) -> str:
    """Return the name of a factory under which it is found from any folder.

    Args:
        name: ``MODULE:FACTORY``, or ``FILE.py:FACTORY``. A module that is a file in the folder that one
            stands in is called by that file; what is installed, and what is not there, keeps its name.
    """
    source, _, factory = name.rpartition(":")
    _look_here()
    try:
        found = importlib.util.find_spec(source) if source.isidentifier() else None
    except (ImportError, ValueError):
        return name
    here = Path.cwd() / f"{source}.py"
    return f"{here}:{factory}" if found is not None and found.origin == str(here) else name


def _imported(name: str, source: str) -> ModuleType:
    if source.endswith(".py"):
        return _from_file(name, Path(source).expanduser())
    here = _look_here()
    try:
        return importlib.import_module(source)
    except ModuleNotFoundError as error:
        if error.name is not None and (source == error.name or source.startswith(f"{error.name}.")):
            raise ConfigError(
                f"evaluator {name!r}: there is no module {source!r} among what is installed or in {here}; "
                "write FILE.py:FACTORY for a file elsewhere"
            ) from None
        raise


def _look_here() -> str:
    """Have modules looked for in the folder that one stands in, as with ``python -m``, and return it.

    What is installed comes first.
    """
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    return here


def _from_file(name: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"evaluator {name!r}: there is no file {path.absolute()}")
    spec = importlib.util.spec_from_file_location(f"_evaluator_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # where dataclasses and pickle look for it
    if (folder := str(path.absolute().parent)) not in sys.path:
        sys.path.append(folder)  # for what lies beside it, as with `python FILE.py`
    spec.loader.exec_module(module)
    return module


def _takes_spec(factory: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # some that are written in C do not say
        return False
    return any(
        one.kind in _POSITIONAL and (one.default is inspect.Parameter.empty or one.name == "spec")
        for one in parameters
    )
