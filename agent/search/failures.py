"""What a failure of many tasks is about, and whose it is to mend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...evaluator.errors import PromptclimbError
from ..errors import EndpointError, FatalChatError, KeyRejectedError, ModelNotFoundError
from .record import RestartRecord


def single(error: BaseException) -> Exception:
    """Return the error that a group is about: ours before foreign ones; a lone error is itself."""
    flat = list(_flat(error))
    ours = [one for one in flat if isinstance(one, PromptclimbError)]
    found = (ours or flat)[0]
    return found if isinstance(found, Exception) else RuntimeError(repr(found))


def explained(cause: Exception, records: Sequence[RestartRecord]) -> Exception:
    """Return the cause, as the user's to mend where a refusal came before any answer.

    One that came later is theirs too, but something was paid for by then: it stays what it is.
    """
    answered = any(record.answers or record.useless for record in records)
    if isinstance(cause, FatalChatError) and not answered:
        error = EndpointError(f"{cause}{_remedy(cause)}")
        error.__cause__ = cause
        return error
    return cause


def _remedy(cause: FatalChatError) -> str:
    if isinstance(cause, KeyRejectedError):
        return (
            "; check the key in OPENAI_API_KEY, or in the variable that `key_env` names in the --config file"
        )
    if isinstance(cause, ModelNotFoundError):
        return (
            "; check the model's name in --llm, and --base-url: is the address right? It usually ends in /v1"
        )
    return ""


def _flat(error: BaseException | BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _flat(part)
    else:
        yield error
