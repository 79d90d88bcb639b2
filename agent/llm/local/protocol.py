"""OpenAI's chat protocol, as far as this server speaks it: requests, answers, errors."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .answering import Answer

DEFAULT_TOP_P = 0.95
"""Where a request does not say: a small model draws nonsense from the last twentieth."""

DEFAULT_MAX_TOKENS = 512
MAX_CHOICES = 8
MAX_MESSAGES = 1_000


class RequestError(Exception):
    """A request that cannot be answered, with what the reply says of it."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code

    def body(self) -> dict[str, Any]:
        """Return the reply's JSON, as OpenAI's endpoints form it."""
        kind = "invalid_request_error" if self.status < 429 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


class _Part(BaseModel):
    type: Literal["text"]
    text: str


class ChatTurn(BaseModel):
    """One message; its content is text, or a list of text parts."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part] | None = None

    @property
    def text(self) -> str:
        """The content as one string."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class ChatBody(BaseModel):
    """The body of a chat request; members that are not named here are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str
    messages: list[ChatTurn] = Field(min_length=1, max_length=MAX_MESSAGES)
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    n: int | None = Field(default=None, ge=1, le=MAX_CHOICES)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    tools: list[Any] | None = None
    logprobs: bool | None = None

    @field_validator("stop")
    @classmethod
    def _stops(cls, value: str | list[str] | None) -> str | list[str] | None:
        stops = [value] if isinstance(value, str) else value or []
        if len(stops) > 4 or not all(stops):
            raise ValueError("at most 4 strings, none of them empty")
        return value

    @property
    def stops(self) -> Sequence[str]:
        """The strings that end an answer."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def tokens_allowed(self) -> int:
        """The most tokens that one choice may take."""
        return self.max_completion_tokens or self.max_tokens or DEFAULT_MAX_TOKENS


def read_body(raw: bytes, model: str) -> ChatBody:
    """Check a request's JSON.

    Raises:
        RequestError: naming the member that is wrong; 404 for another model.
    """
    try:
        body = ChatBody.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        param = ".".join(str(part) for part in first["loc"]) or None
        raise RequestError(400, f"{param or 'the body'}: {first['msg']}", param=param) from error
    if body.model != model:
        message = f"the model {body.model[:100]!r} does not exist here; there is {model!r}"
        raise RequestError(404, message, param="model", code="model_not_found")
    for name in ("stream", "tools", "logprobs"):
        if getattr(body, name):
            raise RequestError(
                400, f"{name} is not supported by this server", param=name, code="unsupported_value"
            )
    return body


def completion(model: str, answers: Sequence[Answer], stops: Sequence[str]) -> dict[str, Any]:
    """Return the reply's JSON: one choice for each answer; the prompt is counted once."""
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": _until(answer.text, stops), "refusal": None},
            "finish_reason": answer.finish_reason,
            "logprobs": None,
        }
        for index, answer in enumerate(answers)
    ]
    prompt_tokens = answers[0].prompt_tokens
    completion_tokens = sum(answer.completion_tokens for answer in answers)
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": choices,
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def model_card(model: str) -> dict[str, Any]:
    """One entry of the list of models."""
    return {"id": model, "object": "model", "created": 0, "owned_by": "local"}


def _until(text: str, stops: Sequence[str]) -> str:
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else text
