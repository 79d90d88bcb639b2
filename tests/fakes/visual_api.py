"""An ``ApiAsk`` that speaks the three protocols of scorers behind an API, and sees mean colours."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from promptclimb.evaluator.errors import AskingEndedError
from promptclimb.evaluator.remote.asking import ApiAnswer, ApiRefusal, ApiReply, ApiRequest
from promptclimb.evaluator.remote.embeddings import TRIAL_TEXT

COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (200, 30, 30),
    "green": (30, 200, 30),
    "blue": (30, 30, 200),
}
Change = Callable[[int, ApiRequest, Any], Any]


@cache
def colour_of(data: str) -> np.ndarray[Any, Any]:
    """The mean colour of an image in base64, or in a data URL; length 1."""
    with Image.open(io.BytesIO(base64.b64decode(data.rpartition(",")[2], validate=True))) as image:
        mean = np.asarray(image.convert("RGB"), dtype=np.float64).mean(axis=(0, 1))
    return mean / np.linalg.norm(mean)


CHECKED = json.dumps(TRIAL_TEXT)


class VisualApi:
    """Answers every request by a small rule, in any order; counts what it was asked.

    A text has the colour that it names, blurred by a little of its hash: so templates differ.

    Args:
        change: Called with the request's number, the request and the body to answer with; returns the body,
            or an ``ApiRefusal``.
        ends_after: Requests after which it ends with an AskingEndedError.
        concurrency: How many requests it takes before it answers them, the last one first.
        blur: How much of a text's hash is in its colour.
        reads_images: Whether it embeds images, or takes them for texts.
        enforces: Whether it answers by the schema that a chat request has.
        says: What a chat answer is otherwise; ``{}`` stands for the class.

    Attributes:
        requests: All but those by which a model is recognised, which are ``checks``.
        changes_checks: Whether ``change`` is called for ``checks``, too.
    """

    changes_checks = False

    def __init__(
        self, *, change: Change | None = None, ends_after: int | None = None, concurrency: int = 1,
        blur: float = 0.0, reads_images: bool = True, enforces: bool = False, says: str = "{}",
    ) -> None:  # fmt: skip
        self.requests: list[ApiRequest] = []
        self.checks: list[ApiRequest] = []
        self.ends_after = ends_after
        self.change = change
        self.concurrency, self._blur, self._reads_images = concurrency, blur, reads_images
        self._enforces, self._says = enforces, says
        self._arrived = 0

    def place(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def __call__(self, request: ApiRequest) -> ApiAnswer:
        self._arrived += 1
        for _ in range(-self._arrived % self.concurrency):
            await asyncio.sleep(0)
        number = len(self.requests)
        if self.ends_after is not None and number >= self.ends_after:
            raise AskingEndedError("the limit of calls is reached")
        is_check = CHECKED in json.dumps(request.body, allow_nan=False) and not request.is_trial
        (self.checks if is_check else self.requests).append(request)
        body = self.body(request)
        if self.change is not None and (self.changes_checks or not is_check):
            body = self.change(number, request, body)
        return body if isinstance(body, ApiRefusal) else ApiReply(body)

    def body(self, request: ApiRequest) -> Any:
        body = request.body
        if "max_tokens" in body:
            return self._chat(body)
        if "inputs" in body and "parameters" in body:
            return self._zero_shot(body)
        return self._embeddings(request.path, body)

    def _chat(self, body: Mapping[str, Any]) -> Any:
        text, image = body["messages"][0]["content"]
        colour = colour_of(image["image_url"]["url"])
        names = [name for name in COLOURS if name in text["text"]]
        best = max(names, key=lambda name: float(self.text(name) @ colour))
        content = self._says.format(best.title())
        if self._enforces and "response_format" in body:
            (member,) = body["response_format"]["json_schema"]["schema"]["properties"]
            content = json.dumps({member: best})
        choice = {"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        return {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 1}}

    def _zero_shot(self, body: Mapping[str, Any]) -> Any:
        asked, colour = body["parameters"], colour_of(body["inputs"])
        template = asked["hypothesis_template"]
        labels = asked["candidate_labels"]
        logits = np.array([20 * float(self.text(template.format(label)) @ colour) for label in labels])
        shares = np.exp(logits - logits.max())
        rows = zip(labels, (shares / shares.sum()).tolist(), strict=True)
        ranked = sorted(rows, key=lambda row: -row[1])
        return [{"label": label, "score": share} for label, share in ranked]

    def _embeddings(self, path: str, body: Mapping[str, Any]) -> Any:
        if path == "embed":
            vectors = [self.text(text) for text in body.get("texts", ())]
            vectors += [colour_of(image) for image in body.get("images", ())]
            return {"id": "1", "embeddings": {"float": [vector.tolist() for vector in vectors]}}
        vectors = [self._vector(content) for content in _inputs(body)]
        rows = [{"embedding": vector.tolist(), "index": index} for index, vector in enumerate(vectors)]
        return {"object": "list", "data": rows[::-1]}

    def _vector(self, content: Any) -> np.ndarray[Any, Any]:
        if isinstance(content, str):
            image = content.startswith("data:image/") and self._reads_images
            return colour_of(content) if image else self.text(content)
        if "text" in content or not self._reads_images:
            return self.text(content.get("text") or str(content))
        return colour_of(content.get("image") or content.get("image_base64") or content["image_url"]["url"])

    def text(self, text: str) -> np.ndarray[Any, Any]:
        return colour_of_text(text, self._blur)


@cache
def colour_of_text(text: str, blur: float) -> np.ndarray[Any, Any]:
    """The colour that a text names, blurred; length 1."""
    noise = np.frombuffer(hashlib.sha256(text.encode()).digest()[:3], np.uint8) / 255.0 - 0.5
    named = [colour for name, colour in COLOURS.items() if name in text]
    mean = np.mean(named or [(100, 100, 100)], axis=0)
    vector = mean / np.linalg.norm(mean) + blur * noise
    return vector / np.linalg.norm(vector)


def _inputs(body: Mapping[str, Any]) -> Sequence[Any]:
    if "messages" in body:
        return [body["messages"][0]["content"][0]]
    if "inputs" in body:
        return [row["content"][0] for row in body["inputs"]]
    inputs: Sequence[Any] = body["input"]
    return inputs
