"""What happens, as typed values in one hierarchy, and those who listen.

The log, the live display and a listener of your own hear the same. A kind of event is one class in
``searching`` or ``asking``; a sink is one file in ``sinks``.
"""

from __future__ import annotations

from .asking import (
    AnswerTokensRaised,
    ChatFailed,
    EndpointBack,
    EndpointEvent,
    EndpointPaced,
    EndpointRemoved,
    EndpointSetAside,
    GaveUp,
    HeaderIgnored,
    LimitLearned,
    ModelFetched,
    Paused,
    Rested,
    RetryScheduled,
    UsageUntold,
)
from .event import Bus, Event, Listener, ListenerFailed, unheard
from .searching import (
    AnswerReceived,
    ClimbFinished,
    ImagesEncoded,
    IterationFinished,
    IterationSkipped,
    Noted,
    PoolDrawn,
    PoolScored,
    RunOpened,
    SearchFinished,
    SearchStarted,
    SearchStopped,
    TemplateRefused,
    TemplateScored,
    UsageChanged,
)

__all__ = [
    "AnswerReceived",
    "AnswerTokensRaised",
    "Bus",
    "ChatFailed",
    "ClimbFinished",
    "EndpointBack",
    "EndpointEvent",
    "EndpointPaced",
    "EndpointRemoved",
    "EndpointSetAside",
    "Event",
    "GaveUp",
    "HeaderIgnored",
    "ImagesEncoded",
    "IterationFinished",
    "IterationSkipped",
    "LimitLearned",
    "Listener",
    "ListenerFailed",
    "ModelFetched",
    "Noted",
    "Paused",
    "PoolDrawn",
    "PoolScored",
    "Rested",
    "RetryScheduled",
    "RunOpened",
    "SearchFinished",
    "SearchStarted",
    "SearchStopped",
    "TemplateRefused",
    "TemplateScored",
    "UsageChanged",
    "UsageUntold",
    "unheard",
]
