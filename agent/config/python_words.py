"""What a library's caller reads when something is wrong: fields of a config, and no options."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...evaluator.errors import PromptclimbError
from ...evaluator.settings import in_python
from .schema import SearchConfig


@contextmanager
def python_words() -> Iterator[None]:
    """Let errors that come out of the block name fields where they name options.

    The command line does not go through the library's functions, so that each speaks to its own readers.
    """
    try:
        yield
    except PromptclimbError as error:
        if error.args and isinstance(error.args[0], str):
            error.args = (in_python(error.args[0], SearchConfig.model_fields), *error.args[1:])
        raise
