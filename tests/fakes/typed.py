"""What a user of the command line reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from promptclimb.agent.config.sources import on_command_line
from promptclimb.evaluator.errors import PromptclimbError


def as_typed(error: PromptclimbError) -> str:
    """The sentence of an error, with its settings as options."""
    return on_command_line(error.message)


@contextmanager
def raises_typed(
    kind: type[PromptclimbError], match: str
) -> Iterator[pytest.ExceptionInfo[PromptclimbError]]:
    """Expect an error whose sentence, as the command line shows it, has a match of a pattern."""
    with pytest.raises(kind) as caught:
        yield caught
    assert re.search(match, as_typed(caught.value)), as_typed(caught.value)
