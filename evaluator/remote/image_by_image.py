"""Score candidates by one answer per image: chat and zero-shot classification.

Chat is asked by OpenAI's form of requests. Zero-shot is Hugging Face's zero-shot image classification task: a
request has the image in base64 as ``inputs``, and ``candidate_labels`` and ``hypothesis_template`` as
``parameters``; the answer is a list of ``{"label", "score"}``.
"""

from __future__ import annotations

import asyncio
import json
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice, product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from pydantic import BaseModel, Field

from ..scoring import BY_SCHEMA, GREY_BOX, UNREADABLE, EvaluatorInfo, Predictions
from ..threads import in_thread, outliving_its_waiter
from .answers import ListedClasses
from .asking import ApiAnswer, ApiEstimate, ApiRefusal, ApiReply, ApiRequest
from .evaluator import (
    LONGEST_REFUSAL,
    BadReplyError,
    ImageSet,
    Question,
    RemoteEvaluator,
    RemoteProblem,
    SplitDecisions,
    batched,
    image_tokens,
    misformed,
    parsed,
    path_below,
    predictions_of,
    text_tokens,
)
from .pictures import SentPicture


@dataclass(frozen=True, slots=True)
class Prompt:
    """The words of a request, besides its image.

    Attributes:
        text: The instruction as it is sent, or the template.
        names: The classes as they are sent, in their order; empty if ``text`` lists them.
        schema: The endpoint is to enforce JSON with one of the class names.
    """

    text: str
    names: tuple[str, ...] = ()
    schema: bool = False


class ImageByImageEvaluator(RemoteEvaluator):
    """Asks for the class of each image by itself."""

    path: str
    optional: frozenset[str] = frozenset()
    """See ``ApiRequest``."""

    @abstractmethod
    def prompt(self, candidate: str) -> Prompt:
        """Return what requests for a candidate say."""

    @abstractmethod
    def body(self, prompt: Prompt, picture: SentPicture) -> Mapping[str, Any]:
        """Return the body of a request for one image."""

    @abstractmethod
    def tokens(self, prompt: Prompt) -> tuple[int, int]:
        """Return the most tokens of a prompt without its image, and of an answer."""

    @abstractmethod
    def value(self, prompt: Prompt, answer: ApiAnswer) -> Any:
        """Return the JSON value to keep for an answer; raise BadReplyError if it is not of the protocol."""

    @abstractmethod
    def decisions(self, prompt: Prompt, values: Sequence[Any]) -> SplitDecisions:
        """Return the decisions that the values of the images make."""

    @abstractmethod
    def is_valid(self, prompt: Prompt, value: Any) -> bool:
        """Return whether a value from disk is one that ``value`` returns."""

    async def classify(
        self, ensembles: Sequence[Sequence[str]], parts: Sequence[ImageSet]
    ) -> list[list[SplitDecisions]]:
        return await self.classify_prompts([self.prompt(ensemble[0]) for ensemble in ensembles], parts)

    async def classify_prompts(
        self, prompts: Sequence[Prompt], parts: Sequence[ImageSet]
    ) -> list[list[SplitDecisions]]:
        """Return each prompt's decisions for each part; all questions go to the ``ApiAsk`` together."""
        asked = [(prompt, images, self._keys(prompt, images)) for prompt in prompts for images in parts]
        questions = {
            key: self._question(key, prompt, path, content)
            for prompt, images, keys in asked
            for path, content, key in zip(images.paths, images.contents, keys, strict=True)
        }
        value_by_key = await self.gather(
            self.problem.store.answers, questions, lambda unknown: [questions[key] for key in unknown]
        )

        def decided() -> list[SplitDecisions]:
            values = [(prompt, [value_by_key[key] for key in keys]) for prompt, _images, keys in asked]
            if not all(self.is_valid(prompt, value) for prompt, of_prompt in values for value in of_prompt):
                raise self.problem.store.damaged("a label is not of the protocol's form")
            return [self.decisions(prompt, of_prompt) for prompt, of_prompt in values]

        return list(batched(await in_thread(decided), len(parts)))

    def estimate(self, candidates: int, images: int) -> ApiEstimate:
        text, answer = self.tokens(self.prompt(self.problem.longest_baseline))
        labels = candidates * images
        prompt = text + self.most_image_tokens if answer else 0
        return ApiEstimate(labels, labels * prompt, labels * answer)

    def _keys(self, prompt: Prompt, images: ImageSet) -> list[str]:
        schema = {"schema": True} if prompt.schema else {}
        keys = self.problem.keys(text=prompt.text, names=prompt.names, **schema)
        return [keys.key(content) for content in images.contents]

    def _question(self, key: str, prompt: Prompt, path: Path, content: str) -> Question:
        return Question(
            lambda: self._request(prompt, path),
            lambda answer: {key: self.value(prompt, answer)},
            image=content,
        )

    def _request(self, prompt: Prompt, path: Path) -> ApiRequest:
        picture = self.problem.pictures.picture(path)
        text, answer = self.tokens(prompt)
        most = text + image_tokens(self.problem.spec.model, picture.width, picture.height) if answer else 0
        body = self.body(prompt, picture)
        return ApiRequest(
            path=self.path, body=body, prompt_tokens=most, max_tokens=answer, optional=self.optional
        )


PATH = "chat/completions"
REFUSED = "refused"
"""Beginning of why an answer ended, if the endpoint or the model refused."""
MEMBER = "class"
"""The member of an answer by the schema that holds the class name."""
_MOST_TRIED = 3
"""Images that the form of answers is tried with, if the endpoint answers neither form."""
LONGEST_KEPT = 20_000
"""Characters of an answer that are kept, the last ones."""
_CACHED_ANSWERS = 65_536
_FEW_TOKENS = 100
"""Tokens around an image and an instruction: roles, a system prompt of the endpoint's own."""


class ChatEvaluator(ImageByImageEvaluator):
    """Scores instructions with a chat model, one image a request.

    An answer that was cut or refused, or that names no class, counts as wrong. Answers are drawn at
    temperature 0, kept as text and read each time.

    The first question shows whether the endpoint enforces the schema: it is asked with it, and
    without it if that is refused. What was found is kept with the labels.
    """

    optional = frozenset({"response_format", "max_tokens", "temperature"})

    def __init__(self, problem: RemoteProblem) -> None:
        super().__init__(problem)
        options = ListedClasses(problem.class_names, problem.info.seed)
        self.path = path_below(problem.url, PATH)
        self._fill = options.fill
        self._answer_tokens = problem.spec.scorer_answer_tokens
        self._label = lru_cache(maxsize=_CACHED_ANSWERS)(options.read)
        self._takes_schema: bool | None = None
        self._finding = asyncio.Lock()
        self._format = response_format(options.class_names)

    @property
    def info(self) -> EvaluatorInfo:
        """Describe the data and the model; a note says if answers are by the schema, once that is known."""
        info = super().info
        note = {BY_SCHEMA: f'JSON {{"{MEMBER}": NAME}}, where the endpoint enforces a class name'}
        return replace(info, notes={**info.notes, **note}) if self._takes_schema else info

    async def classify(
        self, ensembles: Sequence[Sequence[str]], parts: Sequence[ImageSet]
    ) -> list[list[SplitDecisions]]:
        async with self._finding:
            if ensembles and any(map(len, parts)) and self._takes_schema is None:
                # A task of its own: if this one is cancelled, what is paid for still gets to disk.
                finding = asyncio.create_task(self._schema_is_taken(ensembles[0][0], parts))
                self._takes_schema = await outliving_its_waiter(finding)
        return await super().classify(ensembles, parts)

    async def _schema_is_taken(self, candidate: str, parts: Sequence[ImageSet]) -> bool:
        """Return whether the endpoint enforces the schema; its answers are kept as labels."""
        key, answers = self.problem.key_of_form("schema of"), self.problem.store.answers
        if isinstance(known := (await in_thread(lambda: answers.find([key]))).get(key), bool):
            return known
        tried = (images.at([index]) for images in parts for index in range(len(images)))
        for image, schema in product(islice(tried, _MOST_TRIED), (True, False)):
            prompt = Prompt(self._fill(candidate), schema=schema)
            value = await self._trial(prompt, image)
            if value is None or self.is_refusal(value):
                continue
            taken = schema and "ended" not in value and self._is_of_schema(value["text"])
            # Words in answer to a schema: it was ignored, and they are as good as without.
            label = self._keys(replace(prompt, schema=taken), image)[0]
            return bool((await in_thread(partial(answers.keep, {label: value, key: taken})))[key])
        return False

    async def _trial(self, prompt: Prompt, image: ImageSet) -> Any:
        """Return the value of an answer for one image; None if the endpoint refuses the request."""
        request = await in_thread(lambda: replace(self._request(prompt, image.paths[0]), is_trial=True))
        answer = await self.ask_once(request)
        if isinstance(answer, ApiReply):
            with suppress(BadReplyError):
                return self.value(prompt, answer)
        return None

    def _is_of_schema(self, text: str) -> bool:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return False
        # Another member, which the schema forbids, shows that it is not enforced.
        return (
            isinstance(document, dict)
            and document.keys() == {MEMBER}
            and document[MEMBER] in self.problem.class_names
        )

    def prompt(self, candidate: str) -> Prompt:
        return Prompt(self._fill(candidate), schema=self._takes_schema is not False)

    def body(self, prompt: Prompt, picture: SentPicture) -> Mapping[str, Any]:
        image = {"type": "image_url", "image_url": {"url": picture.data_url}}
        content = [{"type": "text", "text": prompt.text}, image]
        return {
            "model": self.problem.spec.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": self._answer_tokens,
            **({"response_format": self._format} if prompt.schema else {}),
            "temperature": 0,
        }

    def tokens(self, prompt: Prompt) -> tuple[int, int]:
        schema = [json.dumps(self._format)] if prompt.schema else []
        return text_tokens(prompt.text, *schema) + _FEW_TOKENS, self._answer_tokens

    def value(self, prompt: Prompt, answer: ApiAnswer) -> Any:
        """Return the answer's text, and why it is not whole, if so."""
        if isinstance(answer, ApiRefusal):
            return {"text": answer.message[:LONGEST_KEPT], "ended": REFUSED}
        text, ended = read_completion(answer.body)
        return {"text": text[-LONGEST_KEPT:], **({} if ended is None else {"ended": ended})}

    def as_meant(self, answer: ApiAnswer) -> ApiAnswer:
        with suppress(BadReplyError):
            if isinstance(answer, ApiReply):
                text, ended = read_completion(answer.body)
                if ended == REFUSED:
                    return ApiRefusal(" ".join(text.split())[:LONGEST_REFUSAL] or "(nothing)")
        return answer

    def is_refusal(self, value: Any) -> bool:
        return isinstance(value, dict) and str(value.get("ended", "")).startswith(REFUSED)

    def is_valid(self, prompt: Prompt, value: Any) -> bool:
        """Return whether a value from disk is an answer's text, perhaps with why it ended."""
        texts = (value.get("text"), value.get("ended", "")) if isinstance(value, dict) else (None,)
        return all(isinstance(text, str) for text in texts)

    def decisions(self, prompt: Prompt, values: Sequence[Any]) -> SplitDecisions:
        """Return the class that each image's answer names, and unreadable answers."""
        labels = [None if "ended" in answer else self._label(answer["text"]) for answer in values]
        return SplitDecisions(
            np.array([UNREADABLE if label is None else label for label in labels], dtype=np.int64),
            refused={
                index: answer["text"][:LONGEST_REFUSAL]
                for index, answer in enumerate(values)
                if self.is_refusal(answer)
            },
            unreadable={
                index: (f"({answer['ended']}) " if "ended" in answer else "")
                + (answer["text"].strip() or "(nothing)")
                for index, (answer, label) in enumerate(zip(values, labels, strict=True))
                if label is None and not self.is_refusal(answer)
            },
        )


def response_format(class_names: Sequence[str]) -> Mapping[str, Any]:
    """Return OpenAI's member of a request for JSON with one of the class names."""
    name = {"type": "string", "enum": list(dict.fromkeys(class_names))}
    schema = {
        "type": "object",
        "properties": {MEMBER: name},
        "required": [MEMBER],
        "additionalProperties": False,
    }
    return {
        "type": "json_schema",
        "json_schema": {"name": "classification", "strict": True, "schema": schema},
    }


class _Part(BaseModel):
    text: str = ""


class _Message(BaseModel):
    content: str | list[str | _Part] | None = None
    refusal: Any = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: Any = None


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


def read_completion(body: Any) -> tuple[str, str | None]:
    """Return a chat completion's text, and why it is not whole: cut, or refused; None if it is.

    Raises:
        BadReplyError: It is not a chat completion.
    """
    choice = parsed(_Completion, body, "a chat completion").choices[0]
    if isinstance(refusal := choice.message.refusal, str) and refusal:
        return refusal, REFUSED
    content = choice.message.content or ""
    text = "".join(part if isinstance(part, str) else part.text for part in content)
    return text, {"length": "cut", "content_filter": REFUSED}.get(str(choice.finish_reason))


SLOT = "{}"
LEAST_PROBABILITY = 1e-12
_HUB = "hf-inference"
_NO_LABEL = "[]"
"""An answer that names no class, such as that of a server with a threshold; as it is shown."""


class ZeroShotEvaluator(ImageByImageEvaluator):
    """Scores templates with an endpoint for zero-shot image classification, one image a request.

    Only the most likely class of each image is used, unless the objective looks at probabilities. An image
    that the endpoint refuses, or gives no label, counts as wrong; then all classes are equally probable.
    """

    def __init__(self, problem: RemoteProblem) -> None:
        super().__init__(problem)
        self._grey = problem.spec.objective in GREY_BOX
        # Hugging Face's router has the model in the path; elsewhere the address is the model's.
        at_hub = urlsplit(problem.url).path.rstrip("/").endswith(f"/{_HUB}")
        self.path = f"models/{problem.spec.model}" if at_hub else ""

    def prompt(self, candidate: str) -> Prompt:
        return Prompt(candidate, self.problem.class_names)

    def body(self, prompt: Prompt, picture: SentPicture) -> Mapping[str, Any]:
        template, texts = _sent(prompt)
        labels = list(dict.fromkeys(texts))
        return {
            "inputs": picture.base64,
            "parameters": {"candidate_labels": labels, "hypothesis_template": template},
        }

    def tokens(self, prompt: Prompt) -> tuple[int, int]:
        """Return 0: these endpoints bill by request or by time."""
        return 0, 0

    def value(self, prompt: Prompt, answer: ApiAnswer) -> Any:
        """Return the label, ``UNREADABLE`` for none, or a refusal.

        For grey-box objectives, return each class's log-probability in place of the label.
        """
        if isinstance(answer, ApiRefusal):
            return {REFUSED: answer.message[:LONGEST_REFUSAL]}
        texts = _sent(prompt)[1]  # classes of the same name are sent once; the first one gets the image
        labels = list(dict.fromkeys(texts))
        scores = read_scores(answer.body, labels)
        if not scores:
            return UNREADABLE
        best = max(scores, key=scores.__getitem__)
        if not self._grey:
            return texts.index(labels[best])
        if missing := len(labels) - len(scores):
            raise misformed(f"a score of each of {len(labels)} labels", f"{missing} fewer")
        return [math.log(max(scores[labels.index(text)], LEAST_PROBABILITY)) for text in texts]

    def is_refusal(self, value: Any) -> bool:
        return isinstance(value, dict)

    def is_valid(self, prompt: Prompt, value: Any) -> bool:
        """Return whether a value from disk is one that ``value`` returns."""
        classes = len(prompt.names)
        if isinstance(value, dict):
            return isinstance(value.get(REFUSED), str)
        if type(value) is int:
            return value == UNREADABLE or (not self._grey and 0 <= value < classes)
        return self._grey and isinstance(value, list) and list(map(type, value)) == [float] * classes

    def decisions(self, prompt: Prompt, values: Sequence[Any]) -> SplitDecisions:
        reasons = {index: value[REFUSED] for index, value in enumerate(values) if self.is_refusal(value)}
        unreadable = {index: _NO_LABEL for index, value in enumerate(values) if value == UNREADABLE}
        table = None
        if self._grey:
            even = [0.0] * len(prompt.names)
            rows = [value if isinstance(value, list) else even for value in values]
            table = np.array(rows, dtype=np.float64).reshape(-1, len(prompt.names))
            predicted = table.argmax(axis=1)
            predicted[[*reasons, *unreadable]] = UNREADABLE
        else:
            labels = [UNREADABLE if self.is_refusal(value) else value for value in values]
            predicted = np.array(labels, dtype=np.int64)
        return SplitDecisions(predicted, table, refused=reasons, unreadable=unreadable)

    async def predict_named(
        self, template: str, renamings: Sequence[Mapping[int, str]], *, split: str
    ) -> Predictions:
        images = await self._opened(split)
        prompts = [Prompt(template, self.problem.renamed(renaming)) for renaming in renamings]
        return predictions_of(await self.classify_prompts(prompts, [images]), images)


def _sent(prompt: Prompt) -> tuple[str, list[str]]:
    """Return the template and a label per class as sent; what the task's form cannot hold is filled here.

    Servers fill the template with Python's ``format`` and one label, so it has one slot and no other brace.
    """
    template = prompt.text
    if template.count(SLOT) == 1 and not set(template.replace(SLOT, "")) & set("{}"):
        return template, list(prompt.names)
    return SLOT, [template.replace(SLOT, name) for name in prompt.names]


class _ScoredLabel(BaseModel):
    label: str
    score: float = Field(1.0, ge=0, le=1.001, strict=True, allow_inf_nan=False)


def read_scores(body: Any, labels: Sequence[str]) -> dict[int, float]:
    """Return the scores of an answer by index in ``labels``, in the answer's order of equal scores.

    It is empty if the answer has no label. Scores may be left out: then the first label counts. A label may
    differ in case: some servers change it.

    Raises:
        BadReplyError: It is not a list of these labels with scores.
    """
    rows = body[0] if isinstance(body, list) and len(body) == 1 and isinstance(body[0], list) else body
    exact = {label: index for index, label in enumerate(labels)}
    folded: dict[str, int | None] = {}  # None for labels that differ in case alone
    for label, index in exact.items():
        key = label.casefold().strip()
        folded[key] = None if key in folded else index
    answered = parsed(list[_ScoredLabel], rows, 'a list of {"label", "score"}')
    with_score = ["score" in row.model_fields_set for row in answered]
    if not any(with_score):
        answered = answered[:1]
    elif not all(with_score):
        raise misformed("a score of every label, or of none", body)
    scores: dict[int, float] = {}
    for row in sorted(answered, key=lambda row: -row.score):
        label_index = exact.get(row.label, folded.get(row.label.casefold().strip()))
        if label_index is None:
            raise misformed("one of the labels that were sent", row.label)
        scores.setdefault(label_index, row.score)
    return scores
