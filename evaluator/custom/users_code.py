"""Running code of the user's: whatever it raises becomes an error of ours that says where it happened."""

from __future__ import annotations

import inspect
import threading
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import ConfigError, UsageError
from . import plain_values

T = TypeVar("T")
_MISSING = object()


def what_happened(where: str, error: BaseException) -> str:
    """Return one line on a failure of the user's code: where, what, and in which line of which file."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    line = " ".join(f"{where}: {said} ({place.filename}, line {place.lineno})".split())
    return line.encode("utf-8", "backslashreplace").decode("utf-8")


def from_keyboard(error: BaseException) -> bool:
    """Return whether an exception is the user's wish to leave: Python raises it in the main thread alone."""
    in_main = threading.current_thread() is threading.main_thread()
    return isinstance(error, KeyboardInterrupt) and in_main


def opened(where: str, work: Callable[[], T]) -> T:
    """Do what runs the user's code before a search begins.

    Args:
        where: What is said of its place first.
        work: What to do.

    Raises:
        ConfigError: It fails, or asks to leave the program.
        UsageError: It raises one itself.
    """
    try:
        return work()
    except UsageError:
        raise
    except BaseException as error:
        if from_keyboard(error):
            raise
        raise ConfigError(what_happened(where, error)) from error


def attribute(given: object, name: str, default: Any = None) -> Any:
    """Return an attribute of the user's object, the default where it has none.

    Raises:
        ConfigError: It has one, and reading it fails.
    """

    def read() -> Any:
        try:
            return getattr(given, name)
        except AttributeError:
            # A property may fail with this error too, and is there all the same.
            if inspect.getattr_static(given, name, _MISSING) is _MISSING:
                return default
            raise

    return opened(f"{type(given).__name__}.{name}", read)


def check_takes(given: object, method: str, *arguments: object, **options: object) -> None:
    """Make sure that a method can be called as it is going to be, before anything depends on it.

    Raises:
        ConfigError: It is async, or takes other arguments.
    """
    found = getattr(given, method)
    name = f"{type(given).__name__}.{method}"
    if inspect.iscoroutinefunction(found):
        raise ConfigError(f"{name} is async, and is called in a thread: make it a plain function")
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # some that are written in C do not say
        return
    try:
        signature.bind(*arguments, **options)
    except TypeError as error:
        raise ConfigError(f"{name}{signature} cannot be called as it will be: {error}") from None


def fingerprint_of(given: object) -> str:
    """Return the user's fingerprint, empty where there is none."""
    found = attribute(given, "fingerprint")
    if found is None:
        return ""
    name = f"{type(given).__name__}.fingerprint"
    if callable(found):
        raise ConfigError(f"{name} is a method; make it an attribute or a property, which is a text")
    try:
        return plain_values.text(name, found)
    except plain_values.WrongAnswerError as wrong:
        raise ConfigError(str(wrong)) from None
