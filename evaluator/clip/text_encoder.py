"""Encode templates to class vectors: by the fast path where it is exact, else by the model's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import chain, product
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..batching import is_out_of_memory
from ..scoring import Rejection
from ..spec import Report
from .tokens import Filler, Reader, Tokenizer
from .tower import NotCausalError, Text, Tower, encode, pack, read_tower

TOLERANCE = 1e-5
PLAIN_BATCH = 64
ROWS_CPU, NUMBERS_CPU = 2048, 2**22
ROWS_GPU = 16384
QUANTUM_GPU = 512
FEWEST_ROWS = 128
# Fewest elements that torch's CPU kernels give one thread, and elements per vector instruction.
_GRAIN, _VECTOR = 32768, 64
_CHECKED = ("a photo of a {}.", "{}", "a sketch of the {} seen from above, {}")

TokenRow: TypeAlias = tuple[Text, ...]


class TextEncoder:
    """Encodes templates for one model and one list of class names, each independently of the others.

    Attributes:
        path: ``fast`` or ``plain``, and why.
        replicas: Encoders of the same model on other devices, which get their share of each batch.

    Args:
        dtype: Type of the matrix products.
        max_rows: Tokens that go through the tower at once; None to fit the device.
        report: Called with the path that is taken, and why.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,
        class_names: Sequence[str],
        context_length: int,
        *,
        dtype: torch.dtype = torch.float32,
        max_rows: int | None = None,
        report: Report = lambda _line: None,
    ) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        self._filler = Filler(tokenizer, class_names, context_length)
        self._classes = len(class_names)
        self.replicas: Sequence[TextEncoder] = ()
        self._dtype = dtype
        self._max_rows = max_rows or 0
        self._together = True
        self._tower: Tower | None = None
        self.path = self._choose_path()
        if self._tower is None:
            report(f"texts: {self.path}")

    def check(self, template: str) -> Rejection | None:
        """Return why the model cannot read the template, if so; runs no model."""
        return self._filler.check(template)

    def vectors(self, templates: Sequence[str]) -> Tensor:
        """Return normalised embeddings of checked templates with every class name: [T, C, E], float32."""
        if not self.replicas:
            return self._vectors(templates)
        encoders = (self, *self.replicas)
        share = -(-len(templates) // len(encoders))
        shares = [templates[start : start + share] for start in range(0, len(templates), share)]
        vectors = list(self._pool.map(TextEncoder._vectors, encoders, shares))
        return torch.cat([of_share.to(self._device) for of_share in vectors])

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1 + len(self.replicas), thread_name_prefix="replica")

    def _vectors(self, templates: Sequence[str]) -> Tensor:
        with torch.inference_mode():
            if self._tower is None:
                return torch.stack([self._plain(template) for template in templates])
            rows = [tuple(self._filler.texts(template, self._reader)) for template in templates]
            encoded = self._encode_rows(self._tower, list(dict.fromkeys(rows)))
            return torch.stack([encoded[row] for row in rows])

    def check_name(self, template: str, name: str) -> Rejection | None:
        """Return why the model cannot read a checked template with another name; runs no model."""
        return self._filler.check_name(template, name)

    def named(self, templates: Sequence[str], names: Sequence[str]) -> Tensor:
        """Return normalised embeddings of templates with other, checked names: [T, N, E].

        Each is independent of the others.
        """
        with torch.inference_mode():
            if self._tower is None:
                padded = [self._filler.padded(template, names) for template in templates]
                tokens = torch.cat(padded).to(self._device)
                vectors = [self._plain_vectors(text) for text in torch.split(tokens, 1)]
            else:
                filled = product(templates, names)
                texts = [self._filler.named(template, name, self._reader) for template, name in filled]
                groups = [texts] if self._together else [[text] for text in texts]
                vectors = [self._pass_all(self._tower, group) for group in groups]
            return torch.cat(vectors).view(len(templates), len(names), -1)

    @property
    def tower(self) -> Tower | None:
        """The text tower of the fast path; None on the plain path."""
        return self._tower

    def texts(self, template: str) -> list[Text]:
        """Return a checked template's class texts for the fast path; needs a ``tower``."""
        return self._filler.texts(template, self._reader)

    def _plain(self, template: str) -> Tensor:
        """Encode with the model's own forward, [C, E]; the batches depend on the template alone."""
        tokens = self._filler.padded(template).to(self._device)
        return torch.cat([self._plain_vectors(batch) for batch in torch.split(tokens, PLAIN_BATCH)])

    def _plain_vectors(self, tokens: Tensor) -> Tensor:
        model: Any = self._model
        low = self._dtype != torch.float32
        with torch.autocast(self._device.type, self._dtype if low else torch.bfloat16, enabled=low):
            return functional.normalize(model.encode_text(tokens).float(), dim=-1)

    def _encode_rows(self, tower: Tower, rows: Sequence[TokenRow]) -> dict[TokenRow, Tensor]:
        """Return the class vectors [C, E] of each row of class texts; equal texts are encoded once."""
        vectors_by_row: dict[TokenRow, Tensor] = {}
        for group in [rows] if self._together else [[row] for row in rows]:
            index_by_text: dict[Text, int] = {}
            for text in chain.from_iterable(group):
                index_by_text.setdefault(text, len(index_by_text))
            encoded = self._pass_all(tower, list(index_by_text))
            for row in group:
                vectors_by_row[row] = encoded[[index_by_text[text] for text in row]]
        return vectors_by_row

    def _pass_all(self, tower: Tower, texts: Sequence[Text]) -> Tensor:
        while True:
            try:
                return self._passes(tower, texts)
            except RuntimeError as error:
                if not is_out_of_memory(error) or self._max_rows <= FEWEST_ROWS:
                    raise
                self._max_rows //= 2
                if self._device.type == "cuda":
                    torch.cuda.empty_cache()

    def _passes(self, tower: Tower, texts: Sequence[Text]) -> Tensor:
        width = tower.width if tower.projection is None else tower.projection.weight.shape[0]
        vectors = torch.empty(len(texts), width, device=self._device)
        for batch in pack(texts, max_rows=self._max_rows, quantum=self._quantum, device=self._device):
            vectors[torch.from_numpy(batch.order).to(self._device)] = encode(tower, batch, self._quantum)
        return vectors

    def _choose_path(self) -> str:
        """Take the fast path if the tower can be read and agrees with the model; return the path and why."""
        try:
            tower = read_tower(self._model)
            self._reader = _reader(self._model)
        except NotCausalError as reason:
            return f"plain path, since {reason}"
        self._max_rows = self._max_rows or most_rows(tower.mlp_width, self._device)
        self._quantum = row_quantum(tower.mlp_width, self._device)
        largest = self._self_check(tower)
        if largest > TOLERANCE:
            return f"plain path: the fast one was off by {largest:.1e} in a check with this very model"
        self._tower = tower if self._dtype == torch.float32 else tower.cast(self._dtype)
        self._together = self._independent(self._tower)
        how = "" if self._together else ", one template at a time to keep scores independent of each other"
        return f"fast path (checked against the model's own: {largest:.0e}){how}"

    def _samples(self) -> list[str]:
        return [template for template in _CHECKED if self._filler.check(template) is None]

    def _self_check(self, tower: Tower) -> float:
        """Return the largest difference between the fast path in float32 and the model, on a few texts."""
        model: Any = self._model
        largest = 0.0
        with torch.inference_mode():
            for template in self._samples():
                count = min(8, self._classes)
                texts = self._filler.texts(template, self._reader)[:count]
                distinct = list(dict.fromkeys(texts))
                ours = self._passes(tower, distinct)[[distinct.index(text) for text in texts]]
                tokens = self._filler.padded(template)[:count].to(self._device)
                theirs = functional.normalize(model.encode_text(tokens).float(), dim=-1)
                largest = max(largest, (ours - theirs).abs().max().item())
        return largest

    def _independent(self, tower: Tower) -> bool:
        """Return whether a text's vector is bit for bit the same alone and in a pass, on this machine."""
        with torch.inference_mode():
            rows = [self._filler.texts(template, self._reader)[:32] for template in self._samples()]
            texts = list(dict.fromkeys(text for row in rows for text in row))
            # Texts of arbitrary tokens fill the rest of a pass.
            length, vocabulary = min(8, len(tower.positions)), len(tower.tokens)
            free_rows = max(0, self._max_rows - 2 * sum(len(text.tokens) for text in texts))
            company = [
                Text((0, *((7919 * number + 31 * index) % vocabulary for index in range(1, length))), 1)
                for number in range(free_rows // (length - 1))
            ]
            together = self._passes(tower, [*company, *texts])[len(company) :]
            chosen = range(0, len(texts), max(1, len(texts) // 8))
            return all(torch.equal(self._passes(tower, [texts[i]])[0], together[i]) for i in chosen)


def most_rows(mlp_width: int, device: torch.device) -> int:
    """Return the rows of a pass; on a CPU a tensor of them stays below 32 MiB, so that glibc reuses it."""
    return min(ROWS_CPU, NUMBERS_CPU // mlp_width) if device.type == "cpu" else ROWS_GPU


def row_quantum(mlp_width: int, device: torch.device) -> int:
    """Return the multiple that a pass's rows are padded to, so that no result depends on their number.

    On a CPU, every thread then gets whole vectors in elementwise functions (remainders round differently),
    and matrix products have enough rows to use the same kernel.
    """
    if device.type != "cpu":
        return QUANTUM_GPU
    whole = _VECTOR // math.gcd(mlp_width, _VECTOR)
    rows = max(16, -(-_GRAIN // mlp_width))
    return torch.get_num_threads() * -(-rows // whole) * whole


def _reader(model: nn.Module) -> Reader:
    text: Any = getattr(model, "text", model)
    pool = getattr(text, "pool_type", getattr(text, "text_pool_type", None))
    return Reader(getattr(text, "eos_id", getattr(text, "text_eos_id", None)) if pool == "eos" else None)
