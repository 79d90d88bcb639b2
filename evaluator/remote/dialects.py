"""Declare the forms in which endpoints take texts and images to embed, and read their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, StrictInt

from .evaluator import misformed, parsed
from .pictures import SentPicture

Body: TypeAlias = Mapping[str, Any]


class _Row(BaseModel):
    embedding: Any = None
    index: StrictInt = -1


class _Data(BaseModel):
    data: list[_Row]


class _OfCohere(BaseModel):
    class ByType(BaseModel):
        float: list[Any]

    embeddings: ByType | list[Any]


def read_data(body: Any, number: int) -> list[Any]:
    """Return the vectors of OpenAI's form, in the order of their ``index``."""
    what = f'"data" with {number} vectors, and "index" from 0 to {number - 1}, each once'
    rows = parsed(_Data, body, what).data
    by_index = {
        row.index if "index" in row.model_fields_set else position: row.embedding
        for position, row in enumerate(rows)
    }
    if len(rows) != number or by_index.keys() != set(range(number)):
        raise misformed(what, body)
    return [by_index[index] for index in range(number)]


def read_cohere(body: Any, number: int) -> list[Any]:
    """Return the vectors of Cohere's form."""
    what = f'"embeddings" with {number} vectors under "float"'
    embeddings = parsed(_OfCohere, body, what).embeddings
    vectors = embeddings if isinstance(embeddings, list) else embeddings.float
    if len(vectors) != number:
        raise misformed(what, body)
    return vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingDialect:
    """One form of requests for embeddings.

    Attributes:
        name: As the setting ``scorer_dialect`` takes it.
        path: Below the scorer's address.
        of_texts: Makes the body of a request for texts, from the model and the texts.
        of_images: The same for images.
        read: Returns the vectors of an answer, from its body and the number asked for.
        hosts: Hosts, or ends of them, that speak it.
        most_texts: Texts in one request at most.
        most_images: Images in one request at most.
        tried: It is tried at an address that is not known.
    """

    name: str
    path: str = "embeddings"
    of_texts: Callable[[str, Sequence[str]], Body]
    of_images: Callable[[str, Sequence[SentPicture]], Body]
    read: Callable[[Any, int], list[Any]] = read_data
    hosts: tuple[str, ...] = ()
    most_texts: int = 96
    most_images: int = 8
    tried: bool = False


def _openai(model: str, inputs: Sequence[Any], **more: str) -> Body:
    return {"model": model, "input": list(inputs), "encoding_format": "float", **more}


def _vllm_image(model: str, picture: SentPicture) -> Body:
    content = [{"type": "image_url", "image_url": {"url": picture.data_url}}]
    return {"model": model, "messages": [{"role": "user", "content": content}], "encoding_format": "float"}


def _jina(model: str, inputs: list[dict[str, str]]) -> Body:
    return {"model": model, "input": inputs, "embedding_type": "float"}


def _voyage(model: str, contents: list[dict[str, str]]) -> Body:
    return {"model": model, "inputs": [{"content": [content]} for content in contents]}


def _cohere(model: str, kind: str, **inputs: list[str]) -> Body:
    return {"model": model, "input_type": kind, **inputs, "embedding_types": ["float"]}


def _urls(pictures: Sequence[SentPicture]) -> list[str]:
    return [picture.data_url for picture in pictures]


_ALL = (
    # First, as many servers of OpenAI's form ignore the member "modality".
    EmbeddingDialect(
        name="infinity",
        of_texts=lambda model, texts: _openai(model, texts, modality="text"),
        of_images=lambda model, pictures: _openai(model, _urls(pictures), modality="image"),
        tried=True,
    ),
    EmbeddingDialect(
        name="openai",
        of_texts=_openai,
        of_images=lambda model, pictures: _openai(model, _urls(pictures)),
        tried=True,
    ),
    EmbeddingDialect(
        name="vllm",
        of_texts=_openai,
        of_images=lambda model, pictures: _vllm_image(model, pictures[0]),
        most_images=1,
        tried=True,
    ),
    EmbeddingDialect(
        name="jina",
        of_texts=lambda model, texts: _jina(model, [{"text": text} for text in texts]),
        of_images=lambda model, pictures: _jina(model, [{"image": picture.base64} for picture in pictures]),
        hosts=("api.jina.ai",),
        tried=True,
    ),
    EmbeddingDialect(
        name="voyage",
        path="multimodalembeddings",
        of_texts=lambda model, texts: _voyage(model, [{"type": "text", "text": text} for text in texts]),
        of_images=lambda model, pictures: _voyage(
            model, [{"type": "image_base64", "image_base64": url} for url in _urls(pictures)]
        ),
        hosts=("api.voyageai.com",),
    ),
    EmbeddingDialect(
        name="cohere",
        path="embed",
        of_texts=lambda model, texts: _cohere(model, "classification", texts=list(texts)),
        of_images=lambda model, pictures: _cohere(model, "image", images=_urls(pictures)),
        read=read_cohere,
        hosts=("api.cohere.com", "api.cohere.ai"),
        most_images=1,
    ),
)
DIALECTS: Mapping[str, EmbeddingDialect] = MappingProxyType({dialect.name: dialect for dialect in _ALL})
"""Every form, in the order in which they are tried."""


def costliest_dialect() -> EmbeddingDialect:
    """Return that form of those that are tried which takes the most requests."""
    return min((dialect for dialect in _ALL if dialect.tried), key=lambda dialect: dialect.most_images)


def dialect_of(url: str) -> EmbeddingDialect | None:
    """Return the form that an address is known to speak; None if it is not known."""
    host = urlsplit(url).hostname or ""
    return next((dialect for dialect in _ALL if host in dialect.hosts), None)
