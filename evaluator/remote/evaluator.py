"""Score candidates with a model behind an API: what the three protocols share.

Questions without an answer on disk go to the ``ApiAsk``; each answer is on disk before it is used. Nothing
here imports torch.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar
from urllib.parse import urlsplit

import numpy as np
from pydantic import TypeAdapter, ValidationError

from .. import tally
from ..counts import counted
from ..datasets.pictures import thumbnails
from ..errors import (
    AskingEndedError,
    ConfigError,
    DataError,
    EvaluatorError,
    ScorerRefusesError,
    ScoringEndedError,
    StoreError,
    TemplateRejectedError,
)
from ..failures import RULES, Evidence, FailureKind, NextStep, judge
from ..messages import shown
from ..scoring import (
    LONGEST_UNREADABLE,
    MOST_UNREADABLE,
    OTHER_MODEL,
    SCORER_DIALECT,
    UNCLASSIFIED,
    EvaluatorInfo,
    Predictions,
    Rejection,
    Score,
    SplitScores,
    Thumbnail,
    Unanswered,
    Verdict,
)
from ..spec import EvaluatorSpec
from ..tally import Labels
from ..threads import in_thread
from .asking import ApiAnswer, ApiAsk, ApiEstimate, ApiRefusal, ApiReply, ApiRequest
from .labels import KeptValues, KeyMaker, LabelStore
from .pictures import PictureReader

T = TypeVar("T")

IN_FLIGHT = 8
"""Batches of candidates scored at once: one that waits for its last answers does not hold up the others."""
MOST_FAILED = 2
"""Candidates for which an image gets no answer, whatever is tried, before it is left out for the others."""
FEW_REFUSED = 3
"""Images refused in a row that may each be at fault; after more, another candidate's are asked between."""
BYTES_PER_TOKEN = 2
"""Fewest bytes of text per token, on average: English has four, Chinese two to three."""
IMAGE_TOKENS = (600, 256)
"""Upper bound of an image's tokens: those of any image, and pixels per further token; twice the usual."""
DEAR_IMAGES: Mapping[str, tuple[int, int]] = MappingProxyType({"gpt-4o-mini": (8500, 50)})
"""The same for models that bill more, by a part of their names."""
LONGEST_REFUSAL = 200
"""Characters of a refusal that are kept or shown."""
REFUSED_EARLIER = "it was refused earlier"
"""Said where no reason was kept."""
_LONGEST_SHOWN = 120
"""Characters of a reply in a message, so that the advice after it is not cut off."""
ANOTHER_FOLDER = "name another folder with `shared_cache`"
"""What to do where answers of two models would be mixed."""
_MODELS = ("first name of", "later name of")
"""Under which keys the names are kept that a model answers under."""


class BadReplyError(Exception):
    """An endpoint's reply is not of its protocol's form; the message says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """The readable images of one split.

    Attributes:
        labels: [n].
        contents: What identifies each image as it is sent.
        left_out: What is wrong with each image that was left out.
        mark: A hash of the ordered images.
    """

    split: str
    paths: tuple[Path, ...]
    labels: Labels
    contents: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    mark: str = ""

    def __len__(self) -> int:
        return len(self.paths)

    def at(self, indices: Sequence[int]) -> ImageSet:
        if any(not 0 <= index < len(self) for index in indices):
            raise EvaluatorError(f"the split {self.split} has {counted(len(self), 'image')}")
        return replace(
            self,
            paths=tuple(self.paths[index] for index in indices),
            labels=self.labels[list(indices)],
            contents=tuple(self.contents[index] for index in indices),
            mark="",
        )


NO_IMAGES = ImageSet(split="train", paths=(), labels=np.zeros(0, dtype=np.int64), contents=())


@dataclass(frozen=True, slots=True)
class SplitDecisions:
    """The decisions of one ensemble for a set of images.

    Attributes:
        predicted: Class of each image, ``UNREADABLE`` where an answer names none or was refused: [n].
        log_probabilities: Of each class, up to a constant per image, for grey-box objectives: [n, C].
        refused: Why images were refused, or never answered, by their index; empty if no reason was kept.
        unreadable: Answers that name no class, by the index of their image.
    """

    predicted: Labels
    log_probabilities: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None = None
    refused: Mapping[int, str] = field(default_factory=dict)
    unreadable: Mapping[int, str] = field(default_factory=dict)

    @property
    def reasons(self) -> dict[int, str]:
        """Why images have no class, in words, by their index."""
        why = {index: f"the answer is {shown(answer)}" for index, answer in self.unreadable.items()}
        return {index: why_unclassified(reason) for index, reason in (why | dict(self.refused)).items()}


class LikelyClasses(NamedTuple):
    """The most likely classes of an image by label, with probabilities if there are any, or why none is."""

    labels: Sequence[int] = ()
    probabilities: Sequence[float] = ()
    error: str = ""


EnsembleDecisions: TypeAlias = list[SplitDecisions] | TemplateRejectedError
"""The decisions of an ensemble for several sets of images, or why the endpoint refuses it."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request for the values of some keys.

    Attributes:
        request: Makes the request when it is sent, as images are large.
        read: Returns the value of each key; raises BadReplyError.
        parts: Returns smaller questions to ask instead, if this one is refused; none if it cannot be smaller.
        attempts: How often it is asked, this time included.
        image: Identifies its image, if it is about one.
        kind: What it sends, if questions of one kind may be refused while those of another are answered.
    """

    request: Callable[[], ApiRequest]
    read: Callable[[ApiAnswer], Mapping[str, Any]]
    parts: Callable[[], list[Question]] = list
    attempts: int = 1
    image: str = ""
    kind: str = ""


@dataclass(slots=True)
class _Experience:
    """What became of the questions of one kind.

    Attributes:
        control: One that was answered in the protocol's form; None if none was.
        answered: How many were answered, a plain one in place of a control included.
        failed_in_a_row: How many in a row were refused, or answered in another form.
    """

    control: Question | None = None
    answered: int = 0
    failed_in_a_row: int = 0

    @property
    def has_answer(self) -> bool:
        return self.control is not None or self.answered > 0

    def note_answer(self) -> None:
        """Count an answer, which ends a row of failures."""
        self.answered += 1
        self.failed_in_a_row = 0


@dataclass(eq=False, slots=True)
class _Asking(Generic[T]):
    """Questions that one call asks, and what has become of them.

    Attributes:
        table: Keeps the answers.
        open: Questions that are still to be asked.
        values: What was answered, or is believed to be refused, by key.
        refusals: Refusals that are not believed yet: another request must be answered first.
        fault: What was wrong last.
        error: Why nothing more is asked.
    """

    table: KeptValues[T]
    open: deque[Question]
    values: dict[str, T] = field(default_factory=dict)
    refusals: dict[str, T] = field(default_factory=dict)
    fault: str = ""
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteProblem:
    """The images, classes and endpoint of a scorer behind an API.

    Attributes:
        open_test: Returns the test images; called once, when first needed.
    """

    spec: EvaluatorSpec
    info: EvaluatorInfo
    train: ImageSet = NO_IMAGES
    val: ImageSet = NO_IMAGES
    open_test: Callable[[], ImageSet] = lambda: NO_IMAGES
    pictures: PictureReader
    ask: ApiAsk
    store: LabelStore

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.info.class_names

    @property
    def longest_baseline(self) -> str:
        """The longest candidate to compare with; those that a search finds are about as long."""
        return max((text for texts in self.info.baselines.values() for text in texts), key=len)

    @property
    def url(self) -> str:
        """The scorer's address; for paths and messages, never in keys."""
        return self.spec.scorer_url or ""

    def keys(self, **about: Any) -> KeyMaker:
        """Return the maker of keys for questions about one prompt, or of one kind."""
        spec = self.spec
        shared = {"protocol": spec.scorer, "model": spec.model, "parameters": label_parameters(spec)}
        return KeyMaker({**shared, **about})

    @property
    def host(self) -> str:
        """The scorer's host and port, without a password."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def place(self) -> str:
        """Host, port and path, for messages: without what may be secret."""
        return f"{self.host}{urlsplit(self.url).path.rstrip('/')}"

    def key_of_form(self, what: str) -> str:
        """Return the key under which the form of requests that was found by trial is kept."""
        return KeyMaker({what: self.spec.model, "at": self.host, **label_parameters(self.spec)}).key("")

    def renamed(self, renaming: Mapping[int, str]) -> tuple[str, ...]:
        """Return the class names by label, some of them replaced."""
        return tuple(renaming.get(label, name) for label, name in enumerate(self.class_names))


def label_parameters(spec: EvaluatorSpec) -> dict[str, Any]:
    """Return what decides a label besides prompt and image."""
    if spec.scorer == "chat":
        # Labels of earlier versions, which could set a detail, stay known.
        return {"detail": None, "answer_tokens": spec.scorer_answer_tokens}
    return {}


class RemoteEvaluator(ABC):
    """Scores candidates by the labels that a model behind an API gives; see ``Evaluator``."""

    in_flight = IN_FLIGHT
    averages = False
    """Several templates together are one classifier."""
    on_more_requests: Callable[[], None] = staticmethod(lambda: None)
    """Called when ``estimate`` has grown, as the endpoint takes less in one request."""

    def __init__(self, problem: RemoteProblem) -> None:
        self.problem = problem
        self._splits = {"train": problem.train, "val": problem.val}
        self._opening = threading.Lock()
        self._asked: dict[str, asyncio.Event] = {}  # keys that a task is asking for, each until it has ended
        self._experience = defaultdict[str, _Experience](_Experience)  # by kind of question
        self._controlling = asyncio.Lock()
        self._lost: ScoringEndedError | None = None  # why nothing is asked any more
        self._unanswered: dict[str, Any] = {}  # values of this session alone: a later one asks again
        self._models: list[str] = []
        self._is_elsewhere = False  # all that is kept was answered at another address
        self._is_place_kept = False
        self._are_several = False  # answers came from several addresses, of which nothing shows the model
        self._is_recognised = False  # the model in use is the one whose answers are kept
        self._failed = Counter[str]()  # how often every attempt failed, by image

    def close(self) -> None:
        """Close the file of labels; nothing can be scored afterwards."""
        self.problem.store.close()

    @property
    def info(self) -> EvaluatorInfo:
        """Describe the data and the model, without the images left out of the splits opened so far."""
        info = self.problem.info.with_opened(dict(self._splits))
        if len(self._models) == len(_MODELS):
            first, later = map(shown, self._models)
            note = (
                f"the scorer answered as {first}, and later as {later}: accuracies of the two do not compare"
            )
        elif self._are_several:
            note = (
                "the answers that are kept for this model came from more than one address; if there are "
                f"different models, their accuracies do not compare: start anew, and {ANOTHER_FOLDER}"
            )
        elif self._is_elsewhere:
            note = (
                "all answers were kept from another address; if there is another model at "
                f"{shown(self.problem.place)}, {ANOTHER_FOLDER}"
            )
        else:
            return info
        return replace(info, notes={**info.notes, OTHER_MODEL: note})

    @property
    def form(self) -> Mapping[str, str]:
        """What tells the forms of requests apart in keys; answers in one form say nothing of another's."""
        return {}

    async def prepare(self) -> None:
        """Find out the form of requests, if it must be known before the first one, and what labels say.

        Raises:
            ConfigError: The endpoint takes no known form.
            AskingEndedError: See ``ApiAsk``.
        """
        keys = list(map(self.problem.key_of_form, _MODELS))
        first, here, several = self._address_keys
        known = await in_thread(partial(self.problem.store.answers.find, [*keys, first, here, several]))
        self._models = [known[key] for key in keys if isinstance(known.get(key), str)]
        self._is_place_kept = here in known
        self._is_elsewhere = first in known and here not in known
        self._are_several = several in known

    async def score(self, templates: Sequence[str]) -> list[Verdict]:
        """Score candidates on train and val; see ``Scorer``.

        Raises:
            ScoringEndedError: Whatever goes wrong, as it is no candidate's fault.
        """
        splits = [self.split("train"), self.split("val")]
        try:
            decided = await self.classify([[template] for template in templates], splits)
        except (DataError, StoreError) as error:  # an image is gone, or the disk is full
            raise ScoringEndedError(str(error)) from error
        return [
            Rejection(decisions.reason, decisions.explanation)
            if isinstance(decisions, TemplateRejectedError)
            else self._score(*decisions)
            for decisions in decided
        ]

    async def examine(
        self, ensembles: Sequence[Sequence[str]], *, test: bool = True
    ) -> list[SplitScores | None]:
        splits = [await self._opened(name) for name in ("train", "val", *(("test",) if test else ()))]
        scores: list[SplitScores | None] = []
        measured_all = await self._measured(ensembles, splits)
        on_test = [decided[-1] for decided in measured_all if test and decided is not None]
        if on_test and 0 < len(splits[-1]) == min(len(decisions.refused) for decisions in on_test):
            why = on_test[0].refused[0] or REFUSED_EARLIER
            raise EvaluatorError(f"the scorer's endpoint refuses every image of the split test: {why}")
        for decided in measured_all:
            if decided is None:
                scores.append(None)
                continue
            accuracies: dict[str, float] = {}
            unanswered: dict[Any, Unanswered] = {}
            for decisions, images in zip(decided, splits, strict=True):
                if shares := Unanswered.of(decisions.predicted.tolist(), len(decisions.refused)):
                    unanswered[images.split] = shares
                if len(images):
                    accuracies[images.split] = tally.correct(decisions.predicted, images.labels) / len(images)
            measured = {name: accuracies.get(name) for name in ("train", "val", "test")}
            scores.append(SplitScores(**measured, unanswered=unanswered))
        return scores

    async def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        images = await self._opened(split)
        return predictions_of(await self._measured(ensembles, [images]), images)

    async def predict_some(
        self, ensembles: Sequence[Sequence[str]], *, split: str, image_indices: Sequence[int]
    ) -> Predictions:
        images = (await self._opened(split)).at(image_indices)
        return predictions_of(await self._measured(ensembles, [images]), images)

    def image_set(self, split: str) -> str:
        return self.split(split).mark

    def thumbnails(self, split: str, image_indices: Sequence[int]) -> list[Thumbnail | None]:
        return thumbnails(self.split(split).paths, image_indices)

    def split(self, name: str) -> ImageSet:
        """Return the images of a split; opens the test images when first needed."""
        with self._opening:
            if name == "test" and name not in self._splits:
                self._splits[name] = self.problem.open_test()
        return self._splits[name]

    async def _opened(self, name: str) -> ImageSet:
        return await in_thread(lambda: self.split(name))

    @property
    def most_image_tokens(self) -> int:
        """The most tokens that one of the images may be billed as."""
        side = self.problem.pictures.side
        return image_tokens(self.problem.spec.model, side, side)

    @abstractmethod
    def estimate(self, candidates: int, images: int) -> ApiEstimate:
        """Return what so many candidates take on so many images, none of which is known yet."""

    def as_meant(self, answer: ApiAnswer) -> ApiAnswer:
        """Return an answer; as a refusal if it is one by the model."""
        return answer

    def trial(self, kind: str) -> ApiRequest | None:
        """Return a plain request of a kind, for when none was ever answered; None if there is no such."""
        return None

    @abstractmethod
    def is_refusal(self, value: Any) -> bool:
        """Return whether a kept value says that the endpoint refused."""

    @abstractmethod
    async def classify(
        self, ensembles: Sequence[Sequence[str]], parts: Sequence[ImageSet]
    ) -> Sequence[EnsembleDecisions]:
        """Return each measurable ensemble's decisions for each part; an error for a refused text."""

    def measurable(self, ensemble: Sequence[str]) -> bool:
        """Return whether this scorer can classify with an ensemble."""
        return len(ensemble) == 1 or self.averages

    async def gather(
        self, table: KeptValues[T], keys: Iterable[str], ask_for: Callable[[list[str]], list[Question]]
    ) -> dict[str, T]:
        """Return the values of keys, from disk or asked for now; each is on disk when this returns.

        ``ask_for`` returns the questions for the keys without a value. Keys that another task is asking for
        are waited for.

        Raises:
            AskingEndedError: The ``ApiAsk`` cannot go on; what was answered is kept.
            ScoringEndedError: The endpoint does not answer in the protocol's form.
        """
        values: dict[str, T] = {}
        missing = list(dict.fromkeys(keys))
        while missing:
            mine, ended = [key for key in missing if key not in self._asked], asyncio.Event()
            self._asked |= dict.fromkeys(mine, ended)
            try:
                values |= await self._found_or_asked(table, mine, ask_for)
            finally:
                for key in mine:
                    del self._asked[key]
                ended.set()
            missing = [key for key in missing if key not in values]
            for other in {self._asked[key] for key in missing if key in self._asked}:
                await other.wait()
        return values

    async def _found_or_asked(
        self, table: KeptValues[T], keys: list[str], ask_for: Callable[[list[str]], list[Question]]
    ) -> dict[str, T]:
        values = await in_thread(lambda: table.find(keys))
        answered = (key for key in values if not self.is_refusal(values[key]))
        if (key := next(answered, None)) is not None:
            (question,) = ask_for([key])
            own = self._experience[question.kind]
            own.control = own.control or question
        if unknown := [key for key in keys if key not in values and key not in self._unanswered]:
            values |= await self.ask_all(table, ask_for(unknown))
        return values | {key: self._unanswered[key] for key in keys if key in self._unanswered}

    async def ask_all(self, table: KeptValues[T], questions: list[Question]) -> dict[str, T]:
        """Ask questions until all have values; refusals are kept once another request is answered."""
        worth_it = (question for question in questions if not self._is_hopeless(question))
        asking = _Asking(table, deque(worth_it))
        kind = questions[0].kind
        own = self._experience[kind]
        while asking.open and asking.error is None:
            most = min(len(asking.open), self.problem.ask.concurrency)
            try:
                # Not children of this task: if it is cancelled, answers that are paid for still get to disk.
                await asyncio.wait([asyncio.create_task(self._work(asking)) for _ in range(most)])
            except asyncio.CancelledError:
                asking.open.clear()
                raise
        if asking.error is None and asking.refusals and own.control is None:
            asking.error = self._unfit(asking.fault, kind)
        few = own.failed_in_a_row <= RULES[FailureKind.QUESTION_REFUSED].tolerated
        believed = own.control is not None and bool(asking.values) and few
        if asking.error is None and asking.refusals and not believed:  # nothing was answered here
            answered_before = own.answered  # before a place is free: others may be answered meanwhile
            async with self.problem.ask.place():
                believed = await self._others_are_answered(kind, answered_before)
        keeps = asking.error is None or isinstance(asking.error, AskingEndedError)
        if keeps and asking.refusals and believed:
            asking.values |= await in_thread(lambda: table.keep(asking.refusals))
        if asking.error is not None:
            raise asking.error
        return asking.values

    async def _work(self, asking: _Asking[Any]) -> None:
        """Ask questions one after the other, until none is left or one cannot be asked."""
        try:
            while asking.open and asking.error is None:
                async with self.problem.ask.place():
                    if not asking.open or asking.error is not None:
                        return
                    self._check_answers()
                    question = self._next_of(asking.open)
                    request = await in_thread(question.request)  # reads and scales images
                    answered_before = self._experience[question.kind].answered
                    answer = self.as_meant(await self.problem.ask(request))
                    await self._take(asking, question, answer, answered_before)
        except Exception as error:  # noqa: BLE001 - raised once the others have ended
            asking.error = asking.error or error

    def _next_of(self, waiting: deque[Question]) -> Question:
        """Take the first question, or after a row of refused images one further on: of another candidate."""
        first = waiting[0]
        refused = max(self._experience[first.kind].failed_in_a_row - FEW_REFUSED, 0) if first.image else 0
        index = len(waiting) * refused // (refused + 1)
        question = waiting[index]
        del waiting[index]
        return question

    async def _take(
        self, asking: _Asking[Any], question: Question, answer: ApiAnswer, answered_before: int
    ) -> None:
        """Keep an answer, or do what the judge says of a failure."""
        kind, values, fault = await in_thread(lambda: self._failure_of(question, answer))
        own = self._experience[question.kind]
        if kind is None:
            own.control = question
            own.note_answer()
            await self._note_model(answer)
            await self.note_place()
            refusals, asking.refusals = asking.refusals, {}
            asking.values |= await in_thread(lambda: asking.table.keep({**refusals, **values}))
            return
        asking.fault, parts = fault, question.parts() if kind is not FailureKind.MISREAD else []
        unproven = kind is FailureKind.QUESTION_REFUSED and not own.has_answer
        # Before its parts are asked for, one by one: is any such question answered?
        if (
            unproven
            and self.trial(question.kind) is not None
            and not await self._others_are_answered(question.kind, answered_before)
        ):
            asking.open.append(question)
            return
        # An endpoint that is down is given up by the length of its outage alone.
        own.failed_in_a_row += kind in (FailureKind.QUESTION_REFUSED, FailureKind.MISREAD)
        # Those in flight with the first one were chosen before it failed: perhaps of the same candidate.
        also_in_flight = self.problem.ask.concurrency - 1 if own.has_answer else 0
        evidence = Evidence(
            answers=own.has_answer,
            failures=question.attempts,
            in_a_row=max(own.failed_in_a_row - also_in_flight, 1),
            control=True if own.answered > answered_before else None,
            divisible=bool(parts),
        )
        step = judge(kind, evidence)
        if step is NextStep.CONTROL:
            if not await self._others_are_answered(question.kind, answered_before):
                asking.open.append(question)
                return
            evidence = replace(evidence, control=True)
            step = judge(kind, evidence)
        match step:
            case NextStep.STOP:
                raise self._unfit(fault, question.kind)
            case NextStep.SPLIT:
                asking.open += parts
            case NextStep.RETRY:
                # A failure counts if it is not the endpoint's: then all fail, until the outage is over.
                counts = kind is not FailureKind.EXHAUSTED or evidence.control is True
                asking.open.append(replace(question, attempts=question.attempts + counts))
            case _ if kind is FailureKind.EXHAUSTED:
                self._failed[question.image] += 1
                self._unanswered |= values
            case _:
                asking.refusals |= values

    async def _note_model(self, answer: ApiAnswer) -> None:
        """Keep the name that the model answers under, and the first other one."""
        body = answer.body if isinstance(answer, ApiReply) else None
        model = str(body["model"])[:_LONGEST_SHOWN] if isinstance(body, dict) and "model" in body else None
        if model is None or model in self._models or len(self._models) == len(_MODELS):
            return
        key = self.problem.key_of_form(_MODELS[len(self._models)])
        kept = (await in_thread(partial(self.problem.store.answers.keep, {key: model})))[key]
        if kept not in self._models:
            self._models.append(kept)

    @property
    def _address_keys(self) -> tuple[str, str, str]:
        """The keys of the first address that answered as this model, of the one in use, and of several."""
        keys = self.problem.keys(**self.form, addresses="of answers")
        query = urlsplit(self.problem.url).query  # a gateway may tell models apart by it
        here = f"{self.problem.place}?{query}" if query else self.problem.place
        return keys.key(""), keys.key(here), keys.key("several")

    async def note_place(self) -> None:
        """Keep the address, as one that answers; and that it is not the first, if models may be mixed."""
        if self._is_place_kept:
            return
        self._is_place_kept = True
        first, here, several = self._address_keys
        keep = self.problem.store.answers.keep
        # Earlier versions kept True in place of the first address.
        is_first = (await in_thread(partial(keep, {first: here})))[first] == here
        self._are_several |= not is_first and not self._is_recognised
        self._is_elsewhere = False
        await in_thread(partial(keep, dict.fromkeys([here, *[several] * self._are_several], True)))

    async def _others_are_answered(self, kind: str, answered_before: int) -> bool:
        """Return whether another question is answered; if none was meanwhile, ask one again as a control.

        A plain question takes its place if none was ever answered.

        Raises:
            ScorerRefusesError: The control is refused, which it was not before.
            AskingEndedError: The plain question is refused.
        """
        async with self._controlling:
            self._check_answers()
            own = self._experience[kind]
            if own.answered == answered_before:
                control = own.control
                request = self.trial(kind) if control is None else await in_thread(control.request)
                assert request is not None, "it answers"
                answer = self.as_meant(await self.problem.ask(request))
                if _is_outage(answer):
                    return False
                if isinstance(answer, ApiRefusal):
                    now = "the scorer's endpoint refuses every request now, also one that it answered before"
                    self._lost = (
                        self._unfit(_refusing(kind, answer), kind)
                        if control is None
                        else ScorerRefusesError(f"{now}: {answer.message}")
                    )
                    raise self._lost
                own.note_answer()
            return True

    def _check_answers(self) -> None:
        if self._lost is not None:
            raise type(self._lost)(str(self._lost)) from self._lost.__cause__ or self._lost

    def _failure_of(
        self, question: Question, answer: ApiAnswer
    ) -> tuple[FailureKind | None, Mapping[str, Any], str]:
        """Return what has become of a question (None for an answer), its values, and what is wrong."""
        if isinstance(answer, ApiRefusal):
            kind = FailureKind.EXHAUSTED if answer.failed else FailureKind.QUESTION_REFUSED
            values = {} if question.parts() else question.read(answer)
            return kind, values, _refusing(question.kind, answer)
        try:
            return None, question.read(answer), ""
        except BadReplyError as error:
            form = f"it does not answer in the form of {self.problem.spec.scorer}"
            return FailureKind.MISREAD, {}, f"{form}: {error}"

    def _is_hopeless(self, question: Question) -> bool:
        """Return whether a question is not worth asking; then it has its values."""
        if not question.image or self._failed[question.image] < MOST_FAILED:
            return False
        self._unanswered |= question.read(
            ApiRefusal("no attempt was answered for other candidates", failed=True)
        )
        return True

    async def ask_once(self, request: ApiRequest) -> ApiAnswer:
        """Ask what no other question depends on, until the endpoint answers or refuses it."""
        async with self.problem.ask.place():
            while _is_outage(answer := await self.problem.ask(request)):
                continue
            return answer

    def _unfit(self, fault: str, kind: str) -> ScoringEndedError:
        """Return the error for an endpoint of another kind; the user's to fix if nothing was answered yet."""
        dialect = self.problem.spec.scorer_dialect
        others = "`scorer_url` and `model`"
        if dialect is not None:
            others = f"`scorer_url`, `model` and `{SCORER_DIALECT} = {dialect}`"
        message = f"the scorer's endpoint cannot be used: {fault}; check `scorer`, {others}"
        if self._experience[kind].control is not None:
            return ScoringEndedError(message)
        unfit = AskingEndedError(message)
        unfit.__cause__ = ConfigError(message)
        return unfit

    async def _measured(
        self, ensembles: Sequence[Sequence[str]], splits: Sequence[ImageSet]
    ) -> list[list[SplitDecisions] | None]:
        if not all(ensembles):
            raise EvaluatorError("an ensemble needs at least one template")
        measurable = [ensemble for ensemble in ensembles if self.measurable(ensemble)]
        decided = iter(map(accepted, await self.classify(measurable, splits)))
        return [next(decided) if self.measurable(ensemble) else None for ensemble in ensembles]

    def _score(self, train: SplitDecisions, val: SplitDecisions) -> Score:
        images = len(self.split("train"))
        shortened = (" ".join(answer.split())[:LONGEST_UNREADABLE] for answer in train.unreadable.values())
        return tally.score_of(
            self._classified(train, self.split("train")),
            self._classified(val, self.split("val")),
            self.problem.class_names,
            unreadable=len(train.unreadable) / images or None,
            unreadable_examples=tuple(dict.fromkeys(shortened))[:MOST_UNREADABLE],
            refused=len(train.refused) / images or None,
        )

    def _classified(self, decisions: SplitDecisions, images: ImageSet) -> tally.ClassifiedSplit:
        grey: Mapping[str, float] = {}
        if decisions.log_probabilities is not None and len(images):
            grey = _grey_box(decisions.log_probabilities, images.labels)
        return tally.ClassifiedSplit(decisions.predicted, images.labels, grey)


def accepted(decided: EnsembleDecisions) -> list[SplitDecisions]:
    """Return an ensemble's decisions, or raise why it cannot be measured."""
    if isinstance(decided, TemplateRejectedError):
        raise decided
    return decided


def predictions_of(decided: Sequence[EnsembleDecisions | None], images: ImageSet) -> Predictions:
    """Return the decisions of ensembles for one set of images; None for what is no classifier."""
    predicted = tuple(
        tuple(decisions[0].predicted.tolist()) if isinstance(decisions, list) else None
        for decisions in decided
    )
    measured = [decisions[0] if isinstance(decisions, list) else None for decisions in decided]
    refused = tuple(0 if decisions is None else len(decisions.refused) for decisions in measured)
    reasons = tuple({} if decisions is None else decisions.reasons for decisions in measured)
    return Predictions(
        tuple(images.labels.tolist()),
        predicted,
        refused if any(refused) else (),
        paths=images.paths,
        reasons=reasons if any(reasons) else (),
    )


def why_unclassified(reason: str) -> str:
    """Return in words why an image has no class; ``reason`` is empty if none was kept."""
    return f"{UNCLASSIFIED}: {reason or REFUSED_EARLIER}"


def _refusing(kind: str, refusal: ApiRefusal) -> str:
    return f"it refuses every {kind or 'request'}: {refusal.message}"


def _is_outage(answer: ApiAnswer) -> bool:
    return isinstance(answer, ApiRefusal) and answer.failed


def _grey_box(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], labels: Labels) -> dict[str, float]:
    """Return the mean log-probability of the true class (nats), and its mean margin in logits."""
    rows = np.arange(len(labels))
    highest = values.max(axis=1, keepdims=True)
    sums = np.log(np.exp(values - highest).sum(axis=1)) + highest[:, 0]
    true = values[rows, labels]
    others = values.copy()
    others[rows, labels] = -np.inf
    return {"logprob": float((true - sums).mean()), "margin": float((true - others.max(axis=1)).mean())}


def batched(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """Yield the items in lists of at most ``most``."""
    left = iter(items)
    while batch := list(islice(left, most)):
        yield batch


def path_below(url: str, path: str) -> str:
    """Return a request's path below an address; empty if the address already ends with it."""
    return "" if url.rstrip("/").endswith(f"/{path}") else path


def text_tokens(*texts: str) -> int:
    """Return how many tokens texts may be billed as."""
    return sum(len(text.encode("utf-8", "replace")) for text in texts) // BYTES_PER_TOKEN + 16


def image_tokens(model: str, width: int, height: int) -> int:
    """Return how many tokens an image of a size in pixels may be billed as."""
    dear = next((tokens for name, tokens in DEAR_IMAGES.items() if name in model), None)
    least, pixels = dear or IMAGE_TOKENS
    return least + width * height // pixels


def parsed(form: type[T], body: Any, what: str) -> T:
    """Return a reply as a model of pydantic; ``what`` says what it should be.

    Raises:
        BadReplyError: It is not of that form.
    """
    try:
        return TypeAdapter(form).validate_python(body)
    except ValidationError as error:
        raise misformed(what, body) from error


def misformed(what: str, value: object) -> BadReplyError:
    """Return the error for a reply that is not of the protocol's form; ``value`` is shown shortened."""
    text = shown(value)
    cut = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
    return BadReplyError(f"expected {what}, got {cut}")
