"""Serve a CLIP model on this machine, to try ``--scorer zero-shot`` and ``--scorer embeddings``.

Run it by ``python examples/clip_server.py --model RN-pico --port 8000``. It answers zero-shot classification
in Hugging Face's form at ``/v1``, and embeddings of texts and of images as data URLs in OpenAI's form at
``/v1/embeddings``. It is for trying: one request at a time, no key, this machine only.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import torch
from aiohttp import web
from PIL import Image
from torch import Tensor
from torch.nn import functional

from promptclimb.evaluator.clip.models import load_model

LARGEST_BODY = 64 * 2**20


class ClipServer:
    """Answer requests with one model, which works in a thread of its own."""

    def __init__(self, model: str, pretrained: str = "pico") -> None:
        self._loaded = load_model(model, pretrained, torch.device("cpu"))
        self._model: Any = self._loaded.model
        self._thread = ThreadPoolExecutor(1)
        # A search sends the same images with every template, and each template with many images.
        self._image_vector = lru_cache(4096)(self._embed_image)
        self._text_vectors = lru_cache(64)(self._embed_texts)

    def application(self, *middlewares: Any) -> web.Application:
        """Return the application; ``middlewares`` stand before its handlers."""
        application = web.Application(middlewares=[*middlewares, _bad_request], client_max_size=LARGEST_BODY)
        application.router.add_post("/v1", self._zero_shot)
        application.router.add_post("/v1/embeddings", self._embeddings)
        return application

    async def _zero_shot(self, request: web.Request) -> web.Response:
        body = await request.json()
        labels, template = body["parameters"]["candidate_labels"], body["parameters"]["hypothesis_template"]
        texts = tuple(template.replace("{}", label) for label in labels)
        scores = await self._run(self._probabilities, body["inputs"], texts)
        ranked = sorted(zip(labels, scores, strict=True), key=lambda row: -row[1])
        return web.json_response([{"label": label, "score": score} for label, score in ranked])

    async def _embeddings(self, request: web.Request) -> web.Response:
        body = await request.json()
        inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
        vectors = await self._run(self._embed, inputs)
        data = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(vectors)
        ]
        tokens = sum(map(len, inputs)) // 4
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return web.json_response({"object": "list", "model": body["model"], "data": data, "usage": usage})

    async def _run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _probabilities(self, image: str, texts: tuple[str, ...]) -> list[float]:
        logits = self._loaded.logit_scale * self._text_vectors(texts) @ self._image_vector(image)
        probabilities: list[float] = logits.softmax(dim=0).tolist()
        return probabilities

    def _embed(self, inputs: list[str]) -> list[list[float]]:
        texts = tuple(text for text in inputs if not text.startswith("data:"))
        text_vectors = iter(self._text_vectors(texts) if texts else ())
        return [
            (self._image_vector(text) if text.startswith("data:") else next(text_vectors)).tolist()
            for text in inputs
        ]

    @torch.inference_mode()
    def _embed_image(self, encoded: str) -> Tensor:
        """Return the vector of an image in base64 or in a data URL: [E], length 1."""
        content = base64.b64decode(encoded.rpartition(",")[2], validate=True)
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP")) as image:
            pixels = self._loaded.preprocess(image.convert("RGB"))
        return functional.normalize(self._model.encode_image(pixels[None]), dim=-1)[0]

    @torch.inference_mode()
    def _embed_texts(self, texts: tuple[str, ...]) -> Tensor:
        """Return the vectors of n texts: [n, E], length 1."""
        return functional.normalize(self._model.encode_text(self._loaded.tokenizer(list(texts))), dim=-1)


@web.middleware
async def _bad_request(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        message = f"{type(error).__name__}: {error}"
        return web.json_response({"error": {"message": message, "type": "invalid_request_error"}}, status=400)


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Serve a CLIP model on this machine.")
    parser.add_argument("--model", default="RN-pico", help="open_clip's name, or RN-pico or ViT-pico")
    parser.add_argument("--pretrained", default="pico", help="open_clip's tag, or a checkpoint file")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    server = ClipServer(given.model, given.pretrained)
    web.run_app(server.application(), host="127.0.0.1", port=given.port, access_log=None)


if __name__ == "__main__":
    main()
