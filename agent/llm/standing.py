"""What an endpoint has shown so far, which decides what a refusal of it means."""

from __future__ import annotations

from ..errors import (
    BadRequestError,
    ChatError,
    ContextTooLongError,
    FlaggedRequestError,
    KeyRejectedError,
    ModelNotFoundError,
    RequestFailedError,
    TransientChatError,
)

STRAYS = 2
"""Refusals in a row of a key or a model that passed before, which may be a gateway's slip."""
UNFIT_REQUESTS = 9
"""Requests in a row that an endpoint which has answered may refuse, before it is taken to refuse them all."""


class Standing:
    """Whether one endpoint has answered, and how often in a row it has refused since.

    Args:
        has_answered: Whether it is taken to have answered before, as in an earlier session of a run.
    """

    def __init__(self, *, has_answered: bool = False) -> None:
        self._has_answered = has_answered
        self._strays = 0
        self._unfit = 0

    def answered(self) -> None:
        """Note an answer."""
        self._has_answered = True
        self._strays = self._unfit = 0

    def taken(self, error: ChatError) -> ChatError | RequestFailedError:
        """Return a failure as it is to be taken.

        Once the endpoint has answered, a refused key or model may be a slip, so that it is asked again; and a
        refused request concerns that request: for certain where a content filter or a conversation that
        outgrew the context is named, else only if the endpoint is heard to answer others.
        """
        if not self._has_answered:
            return error
        if isinstance(error, KeyRejectedError | ModelNotFoundError):
            self._strays += 1
            if self._strays <= STRAYS:
                stray = TransientChatError(str(error), status=error.status, headers=error.headers)
                stray.took_s = error.took_s
                return stray
        if isinstance(error, BadRequestError):
            self._unfit += 1
            if self._unfit <= UNFIT_REQUESTS:
                # A filter or a full context would refuse it again, in the next session too.
                certain = isinstance(error, ContextTooLongError | FlaggedRequestError)
                said = f"the request is refused: {error}"
                return RequestFailedError(said, attempts=1, answered=certain, refused=not certain)
        return error
