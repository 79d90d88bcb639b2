"""Race the candidates of one step of a restart, and keep the outcome on disk before it is used."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ...evaluator.errors import AskingEndedError, ConsumerError, PromptclimbError, TemplateRejectedError
from ...evaluator.scoring import (
    COUNTED,
    Evaluator,
    PartialPredictor,
    Predictions,
    Rejection,
    Score,
)
from ...evaluator.threads import in_thread
from ..config.schema import SearchConfig
from ..errors import EvaluationFailedError, why_ended
from ..position import Position
from ..store.run import Store
from .racing import Block, Dropped, Outcome, Row, blocks_of, race

MOST_AT_ONCE = 64
"""Maximum restarts that wait for labels, each with a thread."""
UNCLASSIFIED = "unclassified"
"""Reason of a rejection: the scorer gives no labels for this template."""


class Racer:
    """Drops the candidates of a step that fall behind, by the labels of some training images."""

    def __init__(
        self,
        evaluator: PartialPredictor,
        images: int,
        store: Store,
        *,
        seed: int,
        scrub: Callable[[str], str],
    ) -> None:
        self._evaluator = evaluator
        self._images = images
        self._store = store
        self._seed = seed
        self._scrub = scrub
        self._room = asyncio.Semaphore(MOST_AT_ONCE)
        self._labels: Sequence[int] = ()

    def known(
        self, texts: Sequence[str], incumbent: str | None, position: Position
    ) -> Mapping[str, Outcome] | None:
        """Return the outcome of a step from disk; None if it has not raced."""
        return self._store.note(_name(texts, incumbent, position), _read)

    async def outcomes(
        self, texts: Sequence[str], incumbent: str | None, position: Position
    ) -> Mapping[str, Outcome]:
        """Return what became of each candidate, from disk or by a race.

        Raises:
            EvaluationFailedError: The evaluator fails.
        """
        if (known := self.known(texts, incumbent, position)) is not None:
            return known
        racing = [text for text in dict.fromkeys(texts) if text != incumbent]
        async with self._room:
            found = await race(racing, incumbent, await self._blocks(), self._ask)
        name = _name(texts, incumbent, position)
        await self._store.put_note(name, [_written(text, outcome) for text, outcome in found.items()])
        return found

    async def _blocks(self) -> list[Block]:
        if not self._labels:
            # Without candidates, nothing is asked: these are the true labels.
            self._labels = (await self._predict((), range(self._images))).labels
        return blocks_of(self._labels, self._seed)

    async def _ask(self, texts: Sequence[str], places: Sequence[int]) -> dict[str, Row | Rejection]:
        answers: dict[str, Row | Rejection] = {}
        while left := [text for text in texts if text not in answers]:
            try:
                found = await self._predict(left, places)
            except TemplateRejectedError as error:
                if error.template not in left:
                    raise
                answers[error.template] = Rejection(error.reason, self._scrub(error.message))
                continue
            for text, labels in zip(left, found.predicted, strict=True):
                if labels is None:
                    answers[text] = Rejection(UNCLASSIFIED, "the scorer gives no labels for it")
                else:
                    answers[text] = [one == true for one, true in zip(labels, found.labels, strict=True)]
        return answers

    async def _predict(self, texts: Sequence[str], places: Sequence[int]) -> Predictions:
        ensembles = [[text] for text in texts]
        try:
            return await in_thread(
                lambda: self._evaluator.predict_some(ensembles, split="train", places=places)
            )
        except AskingEndedError as error:
            raise why_ended(error) from error
        except ConsumerError as error:
            raise EvaluationFailedError(self._scrub(f"the evaluator failed: {error}")) from error
        except PromptclimbError:
            raise
        except Exception as error:
            raise EvaluationFailedError(self._scrub(f"the evaluator failed: {error!r}")) from error


def racer_of(
    config: SearchConfig, evaluator: Evaluator, store: Store, *, scrub: Callable[[str], str]
) -> Racer | None:
    """Return what races candidates; None if every candidate is scored on all images."""
    info = evaluator.info
    races = config.racing == "auto" and not info.cheap and config.objective in COUNTED
    images = info.sizes.get("train", 0)
    if not races or not images or not isinstance(evaluator, PartialPredictor):
        return None
    return Racer(evaluator, images, store, seed=config.seed, scrub=scrub)


def score_of(dropped: Dropped, best: Score) -> Score:
    """Return what was measured of a candidate that a race dropped, and an estimate below the best one's."""
    return Score(
        train=dropped.right / dropped.images,
        correct=(dropped.right, None),
        images=dropped.images,
        estimate=dropped.estimate(best.train),
    )


def _name(texts: Sequence[str], incumbent: str | None, position: Position) -> str:
    step = "\0".join([incumbent or "", *texts])
    place = ".".join(str(part) for part in position[:3])
    return f"race:{place}:{hashlib.sha256(step.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def _written(text: str, outcome: Outcome) -> list[Any]:
    if isinstance(outcome, Dropped):
        return [text, outcome.right, outcome.images, outcome.behind]
    return [text] if outcome is None else [text, asdict(outcome)]


def _read(rows: list[list[Any]]) -> dict[str, Outcome]:
    return {text: _outcome(*rest) for text, *rest in rows}


def _outcome(*values: Any) -> Outcome:
    if not values:
        return None
    return Rejection(**values[0]) if len(values) == 1 else Dropped(*values)
