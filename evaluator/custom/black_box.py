"""The seam between a black box of the user's own and the program.

What it says of itself is checked once, when it is opened; each of its answers becomes plain values when it is
given. Beyond this module nothing has to ask whose evaluator it deals with.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from ..errors import ConfigError, ConsumerError, EvaluatorError, PromptclimbError, TemplateRejectedError
from ..inspection import Inspection
from ..predicting import Predictions
from ..scoring import (
    Evaluator,
    EvaluatorInfo,
    Rejection,
    Score,
    SplitScores,
    Verdict,
    batches_at_once,
    checked,
)
from ..spec import DEFAULT_DATA, DEFAULT_SHOTS, EvaluatorSpec
from ..threads import turns_of
from . import plain_values
from .plain_values import WrongAnswerError
from .users_code import attribute, check_takes, fingerprint_of, from_keyboard, what_happened

T = TypeVar("T")
_NOTHING = object()


def as_evaluator(given: object, spec: EvaluatorSpec) -> Evaluator:
    """Return an evaluator made of whatever has ``score(templates)``.

    ``score`` may answer with ``Score``, ``Rejection``, or a bare number a template, higher meaning better.
    One that has ``info`` and ``examine`` too is asked for them; of any other there is no test split.

    Args:
        given: The user's object.
        spec: What was asked for.

    Raises:
        ConfigError: It has no method ``score``, or what it says of itself cannot be worked with.
    """
    if isinstance(given, BlackBox):
        return given
    name = type(given).__name__
    if isinstance(given, type):
        raise ConfigError(
            f"{given.__name__} is a class, and an evaluator is an object of it: write {given.__name__}(...)"
        )
    if not callable(attribute(given, "score")):
        raise ConfigError(f"an evaluator needs a method score(templates), and {name} has none")
    check_takes(given, "score", ["a {}"])
    if not callable(attribute(given, "examine")) or attribute(given, "info", _NOTHING) is _NOTHING:
        return ScorerEvaluator(given, spec)
    check_takes(given, "examine", [["a {}"]], test=True)
    inspects = callable(attribute(given, "inspect"))
    predicts = callable(attribute(given, "predict"))
    if inspects:
        check_takes(given, "inspect", ["a {}"], split="test")
    if predicts:
        check_takes(given, "predict", [["a {}"]], split="test")
    return _KINDS[inspects, predicts](given)


class BlackBox(ABC):
    """The user's object, in the words of this program.

    Args:
        given: Has ``score(templates)``.
        info: What it scores on.

    Attributes:
        in_flight: How many batches it takes at once.

    Raises:
        ConfigError: ``in_flight`` is not a number of batches.
    """

    def __init__(self, given: object, info: EvaluatorInfo) -> None:
        self._given: Any = given
        self._name = type(given).__name__
        self._info = info
        self.in_flight = batches_at_once(type(given).__name__, attribute(given, "in_flight", 1))
        self._turns = turns_of(given, self.in_flight)

    @property
    def info(self) -> EvaluatorInfo:
        """What this evaluator scores on."""
        return self._info

    def score(self, templates: Sequence[str]) -> list[Verdict]:
        """Ask for scores; see ``Scorer``.

        What the user's code raises goes on to the queue, which finds out what it means.

        Raises:
            EvaluatorError: An answer is neither a number, a ``Score`` nor a ``Rejection``.
            ConsumerError: There is not one answer for each template, or it asks to leave the program.
        """
        where = f"{self._name}.score"
        try:
            with self._turns:
                answers = self._given.score(list(templates))
            answers = plain_values.listed(answers, "answers", len(templates))
        except (StopIteration, asyncio.CancelledError) as error:
            # In a task, these would be taken for its own end.
            raise EvaluatorError(what_happened(where, error)) from error
        except WrongAnswerError as wrong:
            raise ConsumerError(f"{where} {wrong}") from None
        except Exception:
            raise
        except BaseException as error:
            if from_keyboard(error):
                raise
            raise ConsumerError(what_happened(where, error)) from error
        return self._ask("score", lambda: [plain_values.verdict(answer) for answer in answers])

    @abstractmethod
    def examine(
        self, ensembles: Sequence[Sequence[str]], *, test: bool = True
    ) -> Sequence[SplitScores | None]:
        """Score ensembles on every split; see ``Evaluator``."""

    def _ask(self, method: str, work: Callable[[], T]) -> T:
        """Do what calls a method of the user's and takes its answer; a failure is one of ours.

        Raises:
            EvaluatorError: It fails, or answers something else than what was asked for.
        """
        where = f"{self._name}.{method}"
        try:
            return work()
        except PromptclimbError:
            raise
        except WrongAnswerError as wrong:
            raise EvaluatorError(f"{where} {wrong}") from None
        except BaseException as error:
            if from_keyboard(error):
                raise
            raise EvaluatorError(what_happened(where, error)) from error


class ScorerEvaluator(BlackBox):
    """A scorer of any kind as an ``Evaluator`` without a test split.

    Args:
        scorer: Has ``score(templates)``; its ``fingerprint``, if it has one, tells runs on different ones
            apart, and its ``in_flight`` says how many batches it takes at once.
        spec: Names the data; where it names none, the scorer's class stands for them.

    Raises:
        ConfigError: ``fingerprint`` is no text, or ``in_flight`` no number of batches.
    """

    def __init__(self, scorer: object, spec: EvaluatorSpec) -> None:
        spec, kind = spec.with_shots(), type(scorer)
        name = kind.__qualname__
        own = fingerprint_of(scorer)
        # Without a fingerprint the same class on other data is another scorer.
        on = spec.bare().identity(without="CLIP models")
        mark = own or f"{kind.__module__}.{name} {json.dumps(on)}"
        info = EvaluatorInfo(
            dataset=name if spec.data == DEFAULT_DATA else spec.data,
            classes=0,
            shots=spec.shots or DEFAULT_SHOTS,
            seed=spec.seed,
            sizes={"train": 0, "val": 0, "test": 0},
            model=name,
            pretrained="",
            fingerprint=hashlib.sha256(mark.encode()).hexdigest(),
            shareable=bool(own),
        )
        super().__init__(scorer, info)

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores]:
        """Score each ensemble of one template on train and val; see ``Evaluator``.

        A scorer cannot average several templates, so nothing is told of an ensemble of more than one.

        Raises:
            TemplateRejectedError: The scorer rejects a template.
            EvaluatorError: The scorer fails.
        """
        single = [ensemble[0] for ensemble in ensembles if len(ensemble) == 1]
        verdicts = self._ask("score", lambda: self.score(single)) if single else []
        found = dict(zip(single, map(checked, verdicts), strict=True))
        for template, verdict in found.items():
            if isinstance(verdict, Rejection):
                raise TemplateRejectedError(template, verdict.reason, verdict.message)
        known = {name: verdict for name, verdict in found.items() if isinstance(verdict, Score)}
        return [
            SplitScores(train=known[one[0]].train, val=known[one[0]].val, test=None)
            if len(one) == 1
            else SplitScores(train=None, val=None, test=None)
            for one in ensembles
        ]


class CheckedEvaluator(BlackBox):
    """An evaluator of the user's own that has a test split.

    Args:
        given: An ``Evaluator``, as far as it says.

    Raises:
        ConfigError: Its ``info`` or its ``in_flight`` cannot be worked with.
    """

    def __init__(self, given: object) -> None:
        try:
            info = plain_values.info(attribute(given, "info"))
        except WrongAnswerError as wrong:
            raise ConfigError(f"{type(given).__name__}: {wrong}") from None
        super().__init__(given, info)

    @property
    def info(self) -> EvaluatorInfo:
        """As it was at opening, but for the notes: some facts are only found out on the way."""
        with suppress(EvaluatorError):
            now = self._ask("info", lambda: plain_values.notes(self._given.info.notes))
            return replace(self._info, notes=now)
        return self._info

    def examine(
        self, ensembles: Sequence[Sequence[str]], *, test: bool = True
    ) -> Sequence[SplitScores | None]:
        """Ask for all splits; see ``Evaluator``.

        Raises:
            TemplateRejectedError: It cannot score a template.
            EvaluatorError: It fails, or does not answer with accuracies.
        """

        def work() -> list[SplitScores | None]:
            questions = [list(ensemble) for ensemble in ensembles]
            answers = plain_values.listed(
                self._given.examine(questions, test=test), "answers", len(questions)
            )
            return [plain_values.split_scores(answer, test=test) for answer in answers]

        return self._ask("examine", work)


class CheckedInspector(CheckedEvaluator):
    """An evaluator of the user's own that tells its classes apart as well."""

    def inspect(self, ensemble: Sequence[str], *, split: str) -> Inspection:
        """Ask for the classes; see ``Inspector``.

        Raises:
            TemplateRejectedError: It cannot score a template.
            EvaluatorError: It fails, or answers something else.
        """
        return self._ask(
            "inspect", lambda: plain_values.inspection(self._given.inspect(list(ensemble), split=split))
        )


class CheckedPredictor(CheckedEvaluator):
    """An evaluator of the user's own that tells what it takes each image for."""

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        """Ask for predictions; see ``Predictor``.

        Raises:
            TemplateRejectedError: It cannot score a template.
            EvaluatorError: It fails, or answers something else.
        """
        questions = [list(ensemble) for ensemble in ensembles]
        return self._ask(
            "predict",
            lambda: plain_values.predictions(self._given.predict(questions, split=split), len(questions)),
        )


class CheckedBoth(CheckedInspector, CheckedPredictor):
    """An evaluator of the user's own that tells its classes apart and its predictions as well."""


_KINDS: Mapping[tuple[bool, bool], type[CheckedEvaluator]] = {
    (False, False): CheckedEvaluator,
    (True, False): CheckedInspector,
    (False, True): CheckedPredictor,
    (True, True): CheckedBoth,
}
"""By whether it has ``inspect`` and ``predict``."""
