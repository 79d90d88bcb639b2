"""Anything that scores or chats, made to fit: a search takes your own black box and your own LLM."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from typing import Any, cast

from ...evaluator.scoring import Evaluator, EvaluatorInfo, Rejection, Score, SplitScores
from ..config.schema import SearchConfig
from ..errors import ConfigError
from ..llm.types import ChatAnswer, ChatClient, ChatRequest


def as_evaluator(given: object, config: SearchConfig) -> Evaluator:
    """An evaluator from whatever has ``score(templates)``.

    One that has ``info`` and ``examine`` too is used as it is. Of any other, ``score`` may answer with
    ``Score``, ``Rejection``, or a bare number a template, higher meaning better; there is no test split,
    then.

    Raises:
        ConfigError: It has no method ``score``.
    """
    if not callable(getattr(given, "score", None)):
        raise ConfigError(
            f"an evaluator needs a method score(templates), and {type(given).__name__} has none"
        )
    if callable(getattr(given, "examine", None)) and hasattr(given, "info"):
        return cast("Evaluator", given)
    return ScorerEvaluator(given, config)


class ScorerEvaluator:
    """A scorer of any kind as an ``Evaluator`` without a test split.

    Args:
        scorer: Has ``score(templates)``; its ``fingerprint``, if it has one, tells runs on different ones
            apart.
        config: Names the data.
    """

    def __init__(self, scorer: object, config: SearchConfig) -> None:
        self._scorer: Any = scorer
        name = type(scorer).__qualname__
        mark = str(getattr(scorer, "fingerprint", name))
        self._info = EvaluatorInfo(
            dataset=config.data,
            classes=0,
            shots=config.shots,
            seed=config.seed,
            sizes={"train": 0, "val": 0, "test": 0},
            model=name,
            pretrained="",
            fingerprint=hashlib.sha256(mark.encode()).hexdigest(),
        )

    @property
    def info(self) -> EvaluatorInfo:
        """As much as can be known of it."""
        return self._info

    def score(self, templates: Sequence[str]) -> list[Score | Rejection]:
        """Asks the scorer; see ``Scorer``."""
        return [_as_score(answer) for answer in self._scorer.score(list(templates))]

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores | None]:
        """Score single templates; None for several: a scorer cannot average them, and has no test split."""
        singles = [ensemble[0] for ensemble in ensembles if len(ensemble) == 1]
        found = iter(self.score(singles) if singles else ())
        answers = [next(found) if len(ensemble) == 1 else None for ensemble in ensembles]
        return [
            SplitScores(train=answer.train, val=answer.val, test=None) if isinstance(answer, Score) else None
            for answer in answers
        ]


def _as_score(answer: object) -> Score | Rejection:
    if isinstance(answer, Score | Rejection):
        return answer
    return Score(train=float(cast("float", answer)))


def as_chat(given: object) -> ChatClient:
    """A chat client from whatever has ``chat``.

    ``chat(request)`` that answers with a ``ChatAnswer`` is used as it is. ``chat(messages)``, plain or async,
    may answer with a text; the parameter's name tells them apart.

    Raises:
        ConfigError: It has no method ``chat``.
    """
    method = getattr(given, "chat", None)
    if not callable(method):
        raise ConfigError(f"an LLM needs a method chat(messages), and {type(given).__name__} has none")
    first = next(iter(inspect.signature(method).parameters), "")
    return cast("ChatClient", given) if first == "request" else MessagesChat(given)


class MessagesChat:
    """An object with ``chat(messages)`` as a ``ChatClient``; its answers are counted as free.

    Args:
        chat: Has ``chat(messages)``, which takes ``[{"role", "content"}]`` and answers with a text or an
            answer.
    """

    def __init__(self, chat: object) -> None:
        self._chat: Any = chat

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Asks the object; see ``ChatClient``."""
        answer = self._chat.chat([dict(message) for message in request.messages])
        if inspect.isawaitable(answer):
            answer = await answer
        return answer if isinstance(answer, ChatAnswer) else ChatAnswer(text=str(answer), model=request.model)
