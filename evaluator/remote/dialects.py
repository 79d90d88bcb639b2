"""Declare the forms in which endpoints take texts and images to embed, and read their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from .evaluator import misformed
from .pictures import SentPicture

Body: TypeAlias = Mapping[str, Any]


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
    path: str
    of_texts: Callable[[str, Sequence[str]], Body]
    of_images: Callable[[str, Sequence[SentPicture]], Body]
    read: Callable[[Any, int], list[Any]]
    hosts: tuple[str, ...] = ()
    most_texts: int = 96
    most_images: int = 8
    tried: bool = False


def _openai_texts(model: str, texts: Sequence[str]) -> Body:
    return {"model": model, "input": list(texts), "encoding_format": "float"}


def _openai_images(model: str, pictures: Sequence[SentPicture]) -> Body:
    return _openai_texts(model, [picture.data_url for picture in pictures])


def _infinity_texts(model: str, texts: Sequence[str]) -> Body:
    return {**_openai_texts(model, texts), "modality": "text"}


def _infinity_images(model: str, pictures: Sequence[SentPicture]) -> Body:
    return {**_openai_images(model, pictures), "modality": "image"}


def _vllm_images(model: str, pictures: Sequence[SentPicture]) -> Body:
    content = [{"type": "image_url", "image_url": {"url": picture.data_url}} for picture in pictures]
    return {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "encoding_format": "float",
    }


def _jina(model: str, inputs: list[dict[str, str]]) -> Body:
    return {"model": model, "input": inputs, "embedding_type": "float"}


def _voyage(model: str, contents: list[dict[str, str]]) -> Body:
    return {"model": model, "inputs": [{"content": [content]} for content in contents]}


def _cohere_texts(model: str, texts: Sequence[str]) -> Body:
    return {
        "model": model,
        "input_type": "classification",
        "texts": list(texts),
        "embedding_types": ["float"],
    }


def _cohere_images(model: str, pictures: Sequence[SentPicture]) -> Body:
    images = [picture.data_url for picture in pictures]
    return {"model": model, "input_type": "image", "images": images, "embedding_types": ["float"]}


def read_data(body: Any, number: int) -> list[Any]:
    """Return the vectors of OpenAI's form, in the order of their ``index``."""
    rows = body.get("data") if isinstance(body, dict) else None
    if not isinstance(rows, list) or len(rows) != number or not all(isinstance(row, dict) for row in rows):
        raise misformed(f'"data" with {number} vectors', body)
    indices = [row.get("index", position) for position, row in enumerate(rows)]
    if any(type(index) is not int for index in indices) or sorted(indices) != list(range(number)):
        raise misformed(f'"index" from 0 to {number - 1}, each once', indices)
    vectors = dict(zip(indices, (row.get("embedding") for row in rows), strict=True))
    return [vectors[index] for index in range(number)]


def read_cohere(body: Any, number: int) -> list[Any]:
    """Return the vectors of Cohere's form."""
    embeddings = body.get("embeddings") if isinstance(body, dict) else None
    vectors = embeddings.get("float") if isinstance(embeddings, dict) else embeddings
    if not isinstance(vectors, list) or len(vectors) != number:
        raise misformed(f'"embeddings" with {number} vectors under "float"', body)
    return vectors


_ALL = (
    # First, as many servers of OpenAI's form ignore the member "modality".
    EmbeddingDialect(
        name="infinity",
        path="embeddings",
        of_texts=_infinity_texts,
        of_images=_infinity_images,
        read=read_data,
        tried=True,
    ),
    EmbeddingDialect(
        name="openai",
        path="embeddings",
        of_texts=_openai_texts,
        of_images=_openai_images,
        read=read_data,
        tried=True,
    ),
    EmbeddingDialect(
        name="vllm",
        path="embeddings",
        of_texts=_openai_texts,
        of_images=_vllm_images,
        read=read_data,
        most_images=1,
        tried=True,
    ),
    EmbeddingDialect(
        name="jina",
        path="embeddings",
        of_texts=lambda model, texts: _jina(model, [{"text": text} for text in texts]),
        of_images=lambda model, pictures: _jina(model, [{"image": picture.base64} for picture in pictures]),
        read=read_data,
        hosts=("api.jina.ai",),
        tried=True,
    ),
    EmbeddingDialect(
        name="voyage",
        path="multimodalembeddings",
        of_texts=lambda model, texts: _voyage(model, [{"type": "text", "text": text} for text in texts]),
        of_images=lambda model, pictures: _voyage(
            model, [{"type": "image_base64", "image_base64": picture.data_url} for picture in pictures]
        ),
        read=read_data,
        hosts=("api.voyageai.com",),
    ),
    EmbeddingDialect(
        name="cohere",
        path="embed",
        of_texts=_cohere_texts,
        of_images=_cohere_images,
        read=read_cohere,
        hosts=("api.cohere.com", "api.cohere.ai"),
        most_images=1,
    ),
)
DIALECTS: Mapping[str, EmbeddingDialect] = MappingProxyType({dialect.name: dialect for dialect in _ALL})
"""Every form, in the order in which they are tried."""


def costliest_dialect() -> EmbeddingDialect:
    """Return that form of those that are tried which takes the most requests."""
    tried = (dialect for dialect in _ALL if dialect.tried)
    return min(tried, key=lambda dialect: (dialect.most_images, dialect.most_texts))


def dialect_of(url: str) -> EmbeddingDialect | None:
    """Return the form that an address is known to speak; None if it is not known."""
    host = urlsplit(url).hostname or ""
    return next((dialect for dialect in _ALL if host in dialect.hosts), None)
