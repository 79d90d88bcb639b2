"""The requests that the server takes, as pydantic models. What they hold is untrusted."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

DEFAULT_HYPOTHESIS = "This is a photo of {}."
"""Hugging Face's own default."""
MOST_LABELS, MOST_INPUTS, MOST_MESSAGES, MOST_CHOICES = 2048, 2048, 256, 16
MOST_CHARACTERS = 100_000
IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp")
_DATA_URL = re.compile(r"data:([\w/+.-]*)(?:;[\w=.-]+)*?(;base64)?,")
BoundedText: TypeAlias = Annotated[str, StringConstraints(max_length=MOST_CHARACTERS)]


class BodyError(ValueError):
    """A request's content is wrong; ``str()`` is a sentence for its sender."""


def image_bytes(text: str) -> bytes:
    """Return the file of a data URL or of plain base64. No address is opened.

    Raises:
        BodyError: It is an address, another type or not base64.
    """
    start = 0
    if text[:5].lower() == "data:":
        found = _DATA_URL.match(text[:200])
        if found is None or found[2] is None:
            raise BodyError("an image's data URL is written data:image/png;base64,...")
        if found[1] not in IMAGE_TYPES:
            raise BodyError(f"an image is of type {found[1][:40]!r}; use one of {', '.join(IMAGE_TYPES)}")
        start = found.end()
    elif "://" in text[:40]:
        raise BodyError("this server opens no addresses; send the image as data:image/png;base64,...")
    try:
        return base64.b64decode(text[start:], validate=True)
    except (binascii.Error, ValueError) as error:
        raise BodyError("an image is not base64; send it as data:image/png;base64,...") from error


def is_image(text: str) -> bool:
    """Return whether a text among inputs means an image: a data URL."""
    return text[:5].lower() == "data:"


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, frozen=True)


class _Parameters(_Body):
    candidate_labels: list[BoundedText] = Field(min_length=1, max_length=MOST_LABELS)
    hypothesis_template: BoundedText | None = None

    @field_validator("candidate_labels", mode="before")
    @classmethod
    def _one_text(cls, given: Any) -> Any:
        return [part.strip() for part in given.split(",")] if isinstance(given, str) else given


class _LegacyInputs(_Body):
    image: str


class ZeroShotBody(_Body):
    """Zero-shot image classification in Hugging Face's form: one image, labels, and a template for them."""

    inputs: str | _LegacyInputs
    parameters: _Parameters

    @property
    def image(self) -> bytes:
        return image_bytes(self.inputs if isinstance(self.inputs, str) else self.inputs.image)

    @property
    def labels(self) -> list[str]:
        return self.parameters.candidate_labels

    @property
    def texts(self) -> list[str]:
        template = self.parameters.hypothesis_template or DEFAULT_HYPOTHESIS
        if "{}" not in template:
            raise BodyError("hypothesis_template has no {} for the label")
        return [template.replace("{}", label) for label in self.labels]


class _ImageUrl(_Body):
    url: str
    detail: Literal["low", "high", "auto"] = "auto"


class ContentPart(_Body):
    """A part of a message: a text or an image, in OpenAI's, Cohere's or Voyage's words."""

    type: Literal["text", "image_url", "image_base64", "image"] = "text"
    text: BoundedText | None = None
    image_url: _ImageUrl | str | None = None
    image_base64: str | None = None
    image: str | None = None

    @property
    def detail(self) -> str:
        """How closely the image is to be looked at."""
        return self.image_url.detail if isinstance(self.image_url, _ImageUrl) else "auto"

    @property
    def value(self) -> str | bytes:
        if self.type == "text":
            if self.text is None:
                raise BodyError("a part of type text has no text")
            return self.text
        url = self.image_url.url if isinstance(self.image_url, _ImageUrl) else self.image_url
        held = (
            url
            if self.type == "image_url"
            else self.image_base64
            if self.type == "image_base64"
            else self.image
        )
        if held is None:
            raise BodyError(f"a part of type {self.type} has no {self.type}")
        return image_bytes(held)


Content: TypeAlias = BoundedText | list[ContentPart] | None


def parts_of(content: Content) -> Sequence[ContentPart]:
    """Return the parts of a message's content."""
    if content is None:
        return ()
    return [ContentPart(text=content)] if isinstance(content, str) else content


class ChatMessage(_Body):
    """A message of a conversation."""

    role: str = "user"
    content: Content = None


class _TextOrImage(_Body):
    """Jina's form of an input."""

    text: BoundedText | None = None
    image: str | None = None

    @property
    def value(self) -> str | bytes:
        if (self.text is None) == (self.image is None):
            raise BodyError('an input is {"text": ...} or {"image": ...}')
        return image_bytes(self.image) if self.image is not None else self.text or ""


class EmbeddingBody(_Body):
    """Texts and images to embed: OpenAI's form, and those of Jina, Infinity and vLLM on the same path."""

    model: str | None = None
    input: str | list[str | _TextOrImage] | None = Field(default=None)
    messages: list[ChatMessage] | None = Field(default=None, max_length=MOST_MESSAGES)
    modality: Literal["text", "image"] | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None

    @property
    def inputs(self) -> list[str | bytes]:
        """What is to be embedded, in order."""
        if (self.input is None) == (self.messages is None):
            raise BodyError("give input, or messages, to embed")
        if self.messages is not None:
            return [one_content([part for message in self.messages for part in parts_of(message.content)])]
        listed = [self.input] if isinstance(self.input, str) else self.input or []
        if not 1 <= len(listed) <= MOST_INPUTS:
            raise BodyError(f"input has {len(listed):,} entries; send 1 to {MOST_INPUTS:,}")
        return [self._value(one) for one in listed]

    def _value(self, one: str | _TextOrImage) -> str | bytes:
        if not isinstance(one, str):
            return one.value
        return image_bytes(one) if self.modality == "image" or is_image(one) else one


def one_content(parts: Sequence[ContentPart]) -> str | bytes:
    """Return the only image, or the texts as one: a CLIP model embeds one or the other."""
    values = [part.value for part in parts]
    images = [value for value in values if isinstance(value, bytes)]
    texts = [value for value in values if isinstance(value, str) and value]
    if len(images) > 1 or (images and texts) or not values:
        raise BodyError("a CLIP model embeds one text or one image at a time; send them as separate inputs")
    return images[0] if images else "\n".join(texts)


class _Interleaved(_Body):
    content: list[ContentPart] = Field(min_length=1, max_length=MOST_MESSAGES)


class InterleavedBody(_Body):
    """Voyage's ``multimodalembeddings``, and Cohere's ``v2/embed``, whose texts or images may stand alone."""

    model: str | None = None
    inputs: list[_Interleaved] = Field(default_factory=list, max_length=MOST_INPUTS)
    texts: list[BoundedText] = Field(default_factory=list, max_length=MOST_INPUTS)
    images: list[str] = Field(default_factory=list, max_length=MOST_INPUTS)
    embedding_types: list[str] | None = None

    @property
    def values(self) -> list[str | bytes]:
        """What is to be embedded, in order."""
        mixed = [one_content(one.content) for one in self.inputs]
        found = [*mixed, *self.texts, *(image_bytes(one) for one in self.images)]
        if not found:
            raise BodyError("give inputs to embed")
        return found


class _ResponseFormat(_Body):
    type: str = "text"


class ChatBody(_Body):
    """A chat request with an instruction and an image."""

    model: str | None = None
    messages: list[ChatMessage] = Field(min_length=1, max_length=MOST_MESSAGES)
    temperature: float | None = Field(default=None, ge=0, le=10)
    seed: int | None = None
    n: int | None = Field(default=None, ge=1, le=MOST_CHOICES)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stream: bool | None = None
    logprobs: bool | None = None
    response_format: _ResponseFormat | None = None

    @property
    def parts(self) -> list[ContentPart]:
        """All parts of the messages of the user and the system, in order."""
        wanted = (one for one in self.messages if one.role != "assistant")
        return [part for message in wanted for part in parts_of(message.content)]

    @property
    def wants_json(self) -> bool:
        return self.response_format is not None and self.response_format.type.startswith("json")
