"""Score templates with text and image vectors from an embeddings endpoint, as with a CLIP model.

Vectors of images are asked for once and kept, so a template costs one text per class. Vectors of texts are
kept too: 4 bytes a dimension, such as 40 MB for a thousand templates of ten classes with 1,024 dimensions. An
image that the endpoint refuses has no vector and counts as wrong; a template with a refused text is rejected.

The vector of one text, ``TRIAL_TEXT``, is kept to recognise the model: a later session that needs a request
asks for it anew first, and ends if it differs, as vectors of two models do not compare.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, product
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
from PIL import Image
from pydantic import Field

from .. import tally
from ..counts import counted
from ..errors import (
    AskingEndedError,
    ConfigError,
    ModelError,
    ScoringEndedError,
    TemplateRejectedError,
)
from ..head import Head
from ..messages import shown
from ..scoring import (
    GREY_BOX,
    REFUSED,
    SCORER_DIALECT,
    SCORER_IMAGE_SIZE,
    UNREADABLE,
    EvaluatorInfo,
    ImageEvidence,
    LearnedClassifier,
    Predictions,
)
from ..threads import in_thread, outliving_its_waiter
from .asking import ApiAnswer, ApiEstimate, ApiRefusal, ApiRequest
from .dialects import DIALECTS, EmbeddingDialect, costliest_dialect, dialect_of
from .evaluator import (
    ANOTHER_FOLDER,
    LONGEST_REFUSAL,
    REFUSED_EARLIER,
    BadReplyError,
    EnsembleDecisions,
    ImageSet,
    LikelyClasses,
    Question,
    RemoteEvaluator,
    RemoteProblem,
    SplitDecisions,
    T,
    batched,
    image_tokens,
    parsed,
    path_below,
    predictions_of,
    text_tokens,
    why_unclassified,
)
from .labels import Embedded, KeptValues, Vector
from .pictures import SentPicture, encode

if TYPE_CHECKING:
    from ..held_near import LabelledFeatures

SLOT = "{}"
LOGIT_SCALE = 100.0
"""CLIP's scale of cosines to logits; endpoints do not give theirs."""
CHUNK = 4096
"""Images whose logits are computed at once."""
SAME = 0.999
"""Least cosine of two vectors of the same pixels, or of the same text."""
TRIAL_TEXT = "a photo"
"""A text that every server that embeds texts takes; by its vector, the model is recognised."""
_Numbers: TypeAlias = list[Annotated[float, Field(strict=True, allow_inf_nan=False)]]


@dataclass(frozen=True, slots=True)
class _EmbeddedImages:
    """Images as the endpoint sees them.

    Attributes:
        vectors: [n, E], of length 1, zeros where the endpoint refused.
        refused: Why, by the index of the image.
    """

    vectors: Vector
    refused: Mapping[int, str]


class EmbeddingsEvaluator(RemoteEvaluator):
    """Scores templates by the cosines of text and image vectors.

    A form of requests that is not set is found by the address, else by the endpoint's answers.
    """

    averages = True
    logit_scale = LOGIT_SCALE
    model_check: Vector | None = None
    """The vector of TRIAL_TEXT, kept or asked for; None before it is known, or if the model gives none."""

    def __init__(self, problem: RemoteProblem) -> None:
        super().__init__(problem)
        self._tried: Vector | None = None  # what TRIAL_TEXT has now, where the form was found by trial
        self._checking: asyncio.Task[None] | None = None
        self._is_checked = self._is_kept = False
        self._size: int | None = None
        self._trials = 0
        self._is_ready = False
        self._fewer: dict[str, int] = {}  # how many images, or texts, a request holds at most, as was found
        self._proven = {"image": 0, "text": 0}  # how many a request held at most that was answered
        self._sizing = {"image": asyncio.Lock(), "text": asyncio.Lock()}
        dialect = problem.spec.scorer_dialect
        self._named = DIALECTS[dialect] if dialect is not None else dialect_of(problem.url)
        self._image_cache: dict[str, Embedded] = {}

    @property
    def info(self) -> EvaluatorInfo:
        """Describe the data and the model; notes have the form of requests, once that is known."""
        info = super().info
        if self._named is None:
            return info
        asked = {SCORER_DIALECT: self._named.name, SCORER_IMAGE_SIZE: self.problem.spec.scorer_image_size}
        return replace(info, notes={**info.notes, **asked})

    @property
    def dialect(self) -> EmbeddingDialect:
        """The form of requests; until it is found, the one that takes the most requests."""
        return self._named or costliest_dialect()

    @property
    def form(self) -> Mapping[str, str]:
        return {"dialect": self.dialect.name}

    async def prepare(self) -> None:
        if self._named is None:
            # A task of its own: if this one is cancelled, the request that is paid for still ends.
            self._named = await outliving_its_waiter(asyncio.create_task(self._find_dialect()))
        if not self._is_ready:
            await super().prepare()
            kept = (await in_thread(lambda: self.problem.store.vectors.find([self._check_key]))).values()
            self.model_check = next((check for check in kept if not isinstance(check, str)), None)
            self._is_kept = self.model_check is not None
            if self._is_elsewhere and self._is_kept:
                await self._check_model()  # what is kept may be of another model, at another address
            self._is_ready = True  # not before: others would use what is kept meanwhile

    async def ask_all(self, table: KeptValues[T], questions: list[Question]) -> dict[str, T]:
        await self._check_model()
        if not self._is_kept and self.model_check is not None:
            check = {self._check_key: self.model_check}
            kept = await in_thread(partial(self.problem.store.vectors.keep, check))
            self._compare(self.model_check, kept[self._check_key])  # another process may have kept its own
            self._check_answers()
            self._is_kept, self._is_recognised = True, not self._is_elsewhere
        return await super().ask_all(table, questions)

    async def recognise(self, check: Vector) -> None:
        """Check that the model is the one that a classifier was made with.

        Args:
            check: Its vector of TRIAL_TEXT. The kept one is compared with it, or else that of the model.

        Raises:
            ModelError: It is another model.
            AskingEndedError: See ``ApiAsk``; or the kept answers are of another model.
        """
        await self.prepare()
        if self.model_check is None or not _is_same(self.model_check, check):
            await self._check_model()  # kept answers may be those of another model
        if self.model_check is not None and not _is_same(self.model_check, check):
            raise ModelError(
                f"the classifier was made with another model: {self._differs} when it was made; ask the "
                "model that it was made with, or make another classifier"
            )

    def is_refusal(self, value: Embedded) -> bool:
        return isinstance(value, str)

    async def classify(
        self, ensembles: Sequence[Sequence[str]], parts: Sequence[ImageSet]
    ) -> list[EnsembleDecisions]:
        return await self._classify([(texts, self.class_names) for texts in ensembles], parts)

    async def likeliest(self, head: Head, images: ImageSet, *, scale: float, top: int) -> list[LikelyClasses]:
        """Return the ``top`` classes of each image by a classifier; no text is asked for.

        Raises:
            ScoringEndedError: The endpoint's vectors have another size.
        """
        embedded = await self._embedded_for([head], images)

        def ranked() -> list[LikelyClasses]:
            chunks = (tally.likeliest(logits, scale / LOGIT_SCALE, top) for logits in _logits(head, embedded))
            rows = [
                row for labels, shares in chunks for row in zip(labels.tolist(), shares.tolist(), strict=True)
            ]
            refused = embedded.refused
            return [
                LikelyClasses(error=why_unclassified(refused[index]))
                if index in refused
                else LikelyClasses(*row)
                for index, row in enumerate(rows)
            ]

        return await in_thread(ranked)

    async def probabilities(self, learned: LearnedClassifier, *, split: str) -> list[float | None]:
        images = await self._opened(split)
        ranked = await self.likeliest(learned.head, images, scale=learned.scale, top=1)
        return [next(iter(image.probabilities), None) for image in ranked]

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.problem.class_names

    async def classifier(self, ensemble: Sequence[str], renaming: Mapping[int, str] | None = None) -> Vector:
        await self.prepare()
        (head,) = await self._classifiers([(ensemble, self.problem.renamed(renaming or {}))])
        if isinstance(head, TemplateRejectedError):
            raise head
        return head.vectors

    async def evidence(self, classifiers: Sequence[Vector]) -> list[ImageEvidence]:
        shots = await self._shots()
        from ..held_near import judge

        return await in_thread(lambda: judge(classifiers, shots, self.logit_scale))

    async def learn(self, classifier: Vector) -> LearnedClassifier:
        shots, seed = await self._shots(), self.problem.info.seed
        from ..learning import learn_classifier

        return await in_thread(lambda: learn_classifier(classifier, shots, self.logit_scale, seed=seed))

    async def decide(self, heads: Sequence[Head], *, split: str) -> Predictions:
        images = await self._opened(split)
        embedded = await self._embedded_for(heads, images)
        return predictions_of(await self._decided(heads, [embedded]), images)

    async def predict_named(
        self, template: str, renamings: Sequence[Mapping[int, str]], *, split: str
    ) -> Predictions:
        images = await self._opened(split)
        named = [([template], self.problem.renamed(renaming)) for renaming in renamings]
        return predictions_of(await self._classify(named, [images]), images)

    def estimate(self, candidates: int, images: int) -> ApiEstimate:
        """Return what the images take, once, the texts of the candidates, and the check of the model."""
        problem = self.problem
        texts = [problem.longest_baseline.replace(SLOT, name) for name in problem.class_names]
        requests = math.ceil(images / self._most("image")) + 1
        # Each may be scored alone.
        requests += candidates * math.ceil(len(texts) / self._most("text"))
        if self._named is None:
            # Of each form, the trial's images and text.
            requests += (len(_trial_pictures()) + 1) * sum(form.tried for form in DIALECTS.values())
        tokens = images * self.most_image_tokens + candidates * text_tokens(*texts) + text_tokens(TRIAL_TEXT)
        return ApiEstimate(requests, tokens, 0)

    async def _classify(
        self, wanted: Sequence[tuple[Sequence[str], tuple[str, ...]]], parts: Sequence[ImageSet]
    ) -> list[EnsembleDecisions]:
        """Return the decisions of ensembles with class names for each part."""
        await self.prepare()
        embedded = [await self._embedded(images) for images in parts]
        return await self._decided(await self._classifiers(wanted), embedded)

    def _decisions(self, head: Head, images: _EmbeddedImages) -> SplitDecisions:
        logits = list(_logits(head, images))
        if not logits:
            return SplitDecisions(np.zeros(0, dtype=np.int64))
        predicted = np.concatenate([chunk.argmax(axis=1) for chunk in logits])
        predicted[list(images.refused)] = UNREADABLE
        return SplitDecisions(
            predicted,
            np.concatenate(logits) if self.problem.spec.objective in GREY_BOX else None,
            refused=images.refused,
        )

    async def _decided(
        self, heads: Sequence[Head | TemplateRejectedError], parts: Sequence[_EmbeddedImages]
    ) -> list[EnsembleDecisions]:
        return await in_thread(
            lambda: [
                head
                if isinstance(head, TemplateRejectedError)
                else [self._decisions(head, images) for images in parts]
                for head in heads
            ]
        )

    async def _shots(self) -> LabelledFeatures:
        await self.prepare()
        splits = [self.split("train"), self.split("val")]
        vectors = [(await self._embedded(images)).vectors for images in splits]
        labels = [images.labels for images in splits]

        def shots() -> LabelledFeatures:
            from ..held_near import LabelledFeatures  # imports torch, which takes seconds: not in the loop

            return LabelledFeatures.of_images(np.concatenate(vectors), np.concatenate(labels))

        return await in_thread(shots)

    async def _embedded_for(self, heads: Sequence[Head], images: ImageSet) -> _EmbeddedImages:
        """Return the vectors of images; raise ScoringEndedError if classifiers have others in size."""
        await self.prepare()
        embedded = await self._embedded(images)
        sizes = {head.vectors.shape[1] for head in heads} - {self._size}
        if sizes and self._size is not None:
            raise ScoringEndedError(
                f"the classifier has vectors of {sizes.pop()} numbers and the endpoint gave {self._size}: it "
                "was made for another model"
            )
        return embedded

    async def _embedded(self, images: ImageSet) -> _EmbeddedImages:
        """Return the vectors of images, those that are not known asked for now."""
        path_by_content = dict(zip(images.contents, images.paths, strict=True))

        def request(contents: list[str]) -> ApiRequest:
            pictures = [self.problem.pictures.picture(path_by_content[content]) for content in contents]
            return self._image_request(self.dialect, pictures)

        new = [content for content in path_by_content if content not in self._image_cache]
        self._image_cache |= await self._vectors("image", new, request)
        rows = np.zeros((len(images), self._size or 0), dtype=np.float32)
        refused: dict[int, str] = {}
        for image_index, content in enumerate(images.contents):
            if isinstance(embedded := self._image_cache[content], str):
                refused[image_index] = embedded
            else:
                rows[image_index] = embedded
        return _EmbeddedImages(rows, refused)

    async def _classifiers(
        self, wanted: Sequence[tuple[Sequence[str], tuple[str, ...]]]
    ) -> list[Head | TemplateRejectedError]:
        """Return the classifiers of ensembles with class names; an error where a text is refused."""
        texts = [
            text.replace(SLOT, name) for ensemble, names in wanted for text in ensemble for name in names
        ]
        vectors = await self._vectors("text", texts, partial(self._text_request, self.dialect))

        def classifier(ensemble: Sequence[str], names: tuple[str, ...]) -> Head | TemplateRejectedError:
            for template, name in product(ensemble, names):
                if isinstance(reason := vectors[text := template.replace(SLOT, name)], str):
                    why = f"the endpoint refuses the text {shown(text)}: {reason or REFUSED_EARLIER}"
                    return TemplateRejectedError(template, REFUSED, why)
            rows = [np.stack([vectors[text.replace(SLOT, name)] for name in names]) for text in ensemble]
            return Head(_mean(rows))

        return await in_thread(lambda: [classifier(ensemble, names) for ensemble, names in wanted])

    async def _vectors(
        self, kind: str, contents: Iterable[str], request: Callable[[list[str]], ApiRequest]
    ) -> dict[str, Embedded]:
        """Return vectors of images or texts, or why they are refused, by their content."""
        keys = self.problem.keys(**self.form, of=kind)
        content_by_key = {keys.key(content): content for content in contents}

        def ask_for(unknown: list[str]) -> list[Question]:
            return [
                self._question(kind, chunk, lambda keys: request([content_by_key[key] for key in keys]))
                for chunk in batched(unknown, self._most(kind))
            ]

        store = self.problem.store.vectors
        most = self._most(kind)
        if min(len(content_by_key), most) > self._proven[kind]:
            async with self._sizing[kind]:  # the first one alone: it shows how many a request may hold
                await self.gather(store, islice(content_by_key, most), ask_for)
                if self._most(kind) < most:
                    self.on_more_requests()
        vectors = await self.gather(store, content_by_key, ask_for)
        return {content_by_key[key]: self._unit(vector) for key, vector in vectors.items()}

    def _most(self, kind: str) -> int:
        """Return how many images, or texts, a request holds at most."""
        most = self.dialect.most_images if kind == "image" else self.dialect.most_texts
        return min(most, self._fewer.get(kind, most))

    def _image_request(self, dialect: EmbeddingDialect, pictures: Sequence[SentPicture]) -> ApiRequest:
        model = self.problem.spec.model
        return ApiRequest(
            path=path_below(self.problem.url, dialect.path),
            body=dialect.of_images(model, pictures),
            prompt_tokens=sum(image_tokens(model, picture.width, picture.height) for picture in pictures),
        )

    def _text_request(self, dialect: EmbeddingDialect, texts: Sequence[str]) -> ApiRequest:
        return ApiRequest(
            path=path_below(self.problem.url, dialect.path),
            body=dialect.of_texts(self.problem.spec.model, texts),
            prompt_tokens=text_tokens(*texts),
        )

    def trial(self, kind: str) -> ApiRequest | None:
        return self._text_request(self.dialect, [TRIAL_TEXT]) if kind == "text" else None

    def _question(
        self,
        kind: str,
        keys: list[str],
        request: Callable[[list[str]], ApiRequest],
        on_answer: Callable[[], None] = lambda: None,
    ) -> Question:
        def read(answer: ApiAnswer) -> Mapping[str, Embedded]:
            if isinstance(answer, ApiRefusal):
                return dict.fromkeys(keys, answer.message[:LONGEST_REFUSAL])
            vectors = self._read(answer.body, len(keys))
            self._proven[kind] = max(self._proven[kind], len(keys))
            on_answer()
            return dict(zip(keys, vectors, strict=True))

        def parts() -> list[Question]:
            if len(keys) == 1:
                return []
            most, answered = math.ceil(len(keys) / 2), list[None]()

            def part_answered() -> None:
                # What was refused is answered in two halves: not for what it holds, but for its size.
                answered.append(None)
                if len(answered) == 2:
                    self._fewer[kind] = min(most, self._most(kind))

            return [self._question(kind, part, request, part_answered) for part in batched(keys, most)]

        return Question(lambda: request(keys), read, parts, kind=kind)

    def _read(self, body: Any, number: int) -> list[Vector]:
        vectors = [as_vector(numbers) for numbers in self.dialect.read(body, number)]
        sizes = {len(vector) for vector in vectors} | ({self._size} if self._size is not None else set())
        if len(sizes) > 1:
            raise BadReplyError(f"vectors have different lengths: {' and '.join(map(str, sorted(sizes)))}")
        self._size = sizes.pop()
        return vectors

    def _unit(self, vector: Embedded) -> Embedded:
        """Return a kept vector with length 1, or a refusal; refuse one of another size than others."""
        if isinstance(vector, str):
            return vector
        if self._size is None:
            self._size = len(vector)
        if len(vector) != self._size:
            raise ScoringEndedError(
                f"the endpoint gave vectors of {self._size} and of {len(vector)} numbers for the model "
                f"{self.problem.spec.model}: it has changed; start with another file of labels"
            )
        return _of_length_one(vector)

    @property
    def _check_key(self) -> str:
        return self.problem.keys(**self.form, of="text").key(TRIAL_TEXT)

    async def _check_model(self) -> None:
        """Check once, before the first request, that the model is the one whose vectors are kept.

        Raises:
            AskingEndedError: It is another model.
        """
        if not self._is_checked:
            if self._checking is None or self._checking.done():
                # A task of its own: if this one is cancelled, the request that is paid for still ends.
                self._checking = asyncio.create_task(self._recognise_kept())
            await outliving_its_waiter(self._checking)
        self._check_answers()

    async def _recognise_kept(self) -> None:
        now: Embedded | None = self._tried
        if now is None:
            now = await self._embedded_once(self.dialect, self._text_request(self.dialect, [TRIAL_TEXT]))
        if not isinstance(now, str):  # else the model is not recognised
            if self.model_check is None:
                self.model_check = now  # kept with the first answers of this model
            else:
                self._compare(now, self.model_check)
                self._is_recognised = self._lost is None
            if self._is_elsewhere and self._is_recognised:
                await self.note_place()
        self._is_checked = True

    def _compare(self, now: Vector, kept: Embedded) -> None:
        """Let nothing be asked any more if the model is not the one whose answers are kept."""
        if isinstance(kept, str) or _is_same(now, kept):
            return
        message = (
            f"{self._differs} before: it is another model now. Its earlier answers are in "
            f"{self.problem.store.path}. Search again in a new run; for other commands, "
            f"{ANOTHER_FOLDER}, or delete that file, which may hold answers of other models too"
        )
        self._lost = AskingEndedError(message)
        self._lost.__cause__ = ModelError(message)

    @property
    def _differs(self) -> str:
        model, place = shown(self.problem.spec.model), shown(self.problem.place)
        return f"the model {model} at {place} gives another vector for the text {TRIAL_TEXT!r} than"

    async def _embedded_once(self, dialect: EmbeddingDialect, request: ApiRequest) -> Embedded:
        """Return the vector that a request is for, or why the endpoint gives none."""
        answer = await self.ask_once(request)
        if isinstance(answer, ApiRefusal):
            return answer.message
        try:
            return as_vector(dialect.read(answer.body, 1)[0])
        except BadReplyError as error:
            return str(error)

    async def _find_dialect(self) -> EmbeddingDialect:
        """Ask the endpoint in each form until one is answered with vectors of images and a text."""
        key = self.problem.key_of_form("dialect of")
        known = (await in_thread(lambda: self.problem.store.answers.find([key]))).get(key)
        if isinstance(known, str) and known in DIALECTS:
            return DIALECTS[known]
        names_by_fault: dict[str, list[str]] = {}
        for dialect in DIALECTS.values():
            if not dialect.tried:
                continue
            fault = await self._fault_of(dialect)
            if fault is None:
                kept = await in_thread(partial(self.problem.store.answers.keep, {key: dialect.name}))
                return DIALECTS[kept[key]]
            names_by_fault.setdefault(fault, []).append(dialect.name)
        faults = [f"{', '.join(names)}: {fault}" for fault, names in names_by_fault.items()]
        raise ConfigError(
            "the scorer's endpoint gives no vectors of images and texts in any form that was tried, in "
            f"{counted(self._trials, 'request')} ({'; '.join(faults)}); name its form with "
            f"`scorer_dialect = {'|'.join(DIALECTS)}`"
        )

    async def _fault_of(self, dialect: EmbeddingDialect) -> str | None:
        """Return why a form of requests does not fit the endpoint; None if it does."""
        requests = [self._image_request(dialect, [picture]) for picture in _trial_pictures()]
        vectors: list[Vector] = []
        for request in (*requests, self._text_request(dialect, [TRIAL_TEXT])):
            about = "of a text: " if len(vectors) == len(requests) else ""
            self._trials += 1
            vector = await self._embedded_once(dialect, replace(request, is_trial=True))
            if isinstance(vector, str):
                return f"{about}{vector}"
            vectors.append(vector)
        if len({len(vector) for vector in vectors}) > 1:
            return "its vectors have different lengths"
        first, same, different, text = vectors
        if not _is_same(first, same) or _is_same(first, different):
            return "it reads images as text"
        self._tried = text
        return None


def _logits(head: Head, images: _EmbeddedImages) -> Iterator[tally.Logits]:
    """Yield the logits of at most ``CHUNK`` images at a time, with the factor ``LOGIT_SCALE``."""
    # In double precision, so that an image's class does not depend on which others are with it.
    columns = LOGIT_SCALE * head.vectors.T.astype(np.float64)
    vectors = images.vectors
    if len(images.refused) == len(vectors):  # all are refused: their length may not have been known
        vectors = np.zeros((len(vectors), len(columns)), dtype=np.float32)
    for start in range(0, len(vectors), CHUNK):
        rows = vectors[start : start + CHUNK].astype(np.float64)
        added = 0 if head.likeness is None else LOGIT_SCALE * head.likeness.added(rows)
        yield rows @ columns + added


def as_vector(numbers: Any) -> Vector:
    """Return a vector of an answer with length 1: of any scale, only its direction counts.

    Raises:
        BadReplyError: It is not a list of finite numbers, or has no direction.
    """
    vector = np.array(parsed(_Numbers, numbers, "a vector of finite numbers"), dtype=np.float64)
    largest = float(np.abs(vector).max(initial=0))
    if largest == 0:
        raise BadReplyError("a vector has no numbers, or only zeros")
    # First by the largest: squares of very large or small numbers have no place in a double.
    return _of_length_one(vector / largest)


def _of_length_one(vector: np.ndarray[Any, np.dtype[Any]]) -> Vector:
    wide = vector.astype(np.float64)
    return (wide / np.linalg.norm(wide)).astype(np.float32)


def _is_same(vector: Vector, other: Vector) -> bool:
    """Return whether one model gives both, of length 1, for the same pixels or text."""
    return vector.shape == other.shape and bool(vector @ other >= SAME)


def _mean(vectors: Sequence[Vector]) -> Vector:
    """Return an ensemble's classifier, as with CLIP: [T, C, E] -> [C, E], rows of length 1."""
    mean: Vector = np.mean(vectors, axis=0)
    norms: Vector = np.linalg.norm(mean, axis=1, keepdims=True)
    return (mean / np.where(norms == 0, 1, norms)).astype(np.float32)


def _trial_pictures() -> list[SentPicture]:
    """Return one image twice, in different bytes, and another: only pixels show which are the same."""
    rows, columns = np.mgrid[0:64, 0:64]
    pixels = np.stack([4 * rows, 4 * columns, (rows // 8 + columns // 8) % 2 * 255], axis=2)
    image = Image.fromarray(pixels.astype(np.uint8))
    twice = [encode(image, 64, compress_level=level) for level in (9, 1)]
    return [*twice, encode(Image.new("RGB", (64, 64), "red"), 64)]
