"""llama.cpp through its C interface: one prompt, many lines side by side.

The prompt is read once, all but its last token; every line starts from a copy of that state, so a line
costs only its own tokens, and the lines of one call go through the model together. Nothing of a prompt is
kept for the next one: what a request answers must not depend on the requests before it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import EndpointError
from .generator import GenerationCancelledError, GenerationFailedError, Sample, Sampling

CONTEXT_TOKENS = 4096
MAX_LINES = 16
MAX_PROMPT_TOKENS = 2048
_PROMPT_STEP = 128  # tokens between two looks at whether the answer is still wanted
_SORTED_TOKENS = 1_000  # of 262,144: sorting all of them for top_p costs as much as a layer
_END_OF_LINE = b"\n"
_KEEP: list[Any] = []  # callbacks that the library may call at any time


def load_library() -> tuple[Any, Any]:
    """Return the C interface (ffi and library), silenced: llama.cpp logs to standard error otherwise.

    Raises:
        EndpointError: if the library cannot be loaded on this machine.
    """
    try:
        bindings: Any = importlib.import_module("llama_cpp_py_sync._cffi_bindings")
        ffi, lib = bindings.get_ffi(), bindings.get_lib()
    except (ImportError, OSError, RuntimeError) as error:
        raise EndpointError(f"llama.cpp cannot be loaded: {error}") from error
    if not _KEEP:
        _KEEP.append(ffi.callback("ggml_log_callback", lambda _level, _text, _data: None))
    lib.llama_log_set(_KEEP[0], ffi.NULL)
    return ffi, lib


@dataclass(slots=True)
class _Line:
    sequence: int
    sampler: Any
    text: bytes = b""
    tokens: int = 0
    row: int = 0
    complete: bool = False


class LlamaGenerator:
    """A gguf model on the CPU, used from one thread.

    Args:
        path: the model file.
        threads: CPU threads.

    Raises:
        EndpointError: if the model cannot be loaded.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        self._ffi, self._lib = load_library()
        self._model = self._context = None
        self._last: tuple[int, int] | None = None
        self._pieces: dict[int, bytes] = {}
        lib = self._lib
        lib.llama_backend_init()
        parameters = lib.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self._model = lib.llama_model_load_from_file(str(path).encode(), parameters)
        if self._model == self._ffi.NULL:
            self._model = None
            raise EndpointError(f"llama.cpp cannot load {path}: the file is not a model that it knows")
        self._vocabulary = lib.llama_model_get_vocab(self._model)
        options = lib.llama_context_default_params()
        options.n_ctx = CONTEXT_TOKENS
        options.n_batch = options.n_ubatch = _PROMPT_STEP
        options.n_seq_max = MAX_LINES + 1
        options.n_threads = options.n_threads_batch = threads
        options.kv_unified = True
        self._context = lib.llama_init_from_model(self._model, options)
        if self._context == self._ffi.NULL:
            self._context = None
            self.close()
            raise EndpointError("llama.cpp cannot make room for the local language model: too little memory?")
        self._memory = lib.llama_get_memory(self._context)

    def read(self, prompt: str, cancelled: Callable[[], bool]) -> int:
        """See ``agent.llm.local.generator.Generator``. The end of an overlong prompt is what counts."""
        tokens = self._tokens(prompt)
        if len(tokens) > MAX_PROMPT_TOKENS:
            tokens = tokens[:1] + tokens[1 - MAX_PROMPT_TOKENS :]
        self._lib.llama_memory_clear(self._memory, True)
        rows = [(token, place, 0, False) for place, token in enumerate(tokens[:-1])]
        for start in range(0, len(rows), _PROMPT_STEP):
            _look(cancelled)
            self._decode(rows[start : start + _PROMPT_STEP])
        self._last = (tokens[-1], len(tokens) - 1)
        return len(tokens)

    def lines(self, seeds: Sequence[int], sampling: Sampling, cancelled: Callable[[], bool]) -> list[Sample]:
        """See ``agent.llm.local.generator.Generator``; at most ``MAX_LINES`` at once."""
        if self._last is None or not 1 <= len(seeds) <= MAX_LINES:
            raise ValueError(f"1 to {MAX_LINES} lines can be drawn, after a prompt was read")
        token, place = self._last
        with self._samplers(seeds, sampling) as samplers:
            lines = [_Line(index + 1, sampler) for index, sampler in enumerate(samplers)]
            for line in lines:
                self._lib.llama_memory_seq_rm(self._memory, line.sequence, -1, -1)
                self._lib.llama_memory_seq_cp(self._memory, 0, line.sequence, -1, -1)
            rows = [(token, place, line.sequence, True) for line in lines]
            for row, line in enumerate(lines):
                line.row = row
            open_lines = lines
            for step in range(sampling.max_tokens):
                _look(cancelled)
                self._decode(rows)
                drawn = [(line, self._draw(line)) for line in open_lines]
                going = [(line, token) for line, token in drawn if not line.complete]
                open_lines = [line for line, _ in going]
                if not going:
                    break
                rows = [(token, place + step + 1, line.sequence, True) for line, token in going]
                for row, line in enumerate(open_lines):
                    line.row = row
        return [Sample(line.text.decode("utf-8", "replace"), line.tokens, line.complete) for line in lines]

    def close(self) -> None:
        """See ``agent.llm.local.generator.Generator``."""
        if self._context is not None:
            self._lib.llama_free(self._context)
            self._context = None
        if self._model is not None:
            self._lib.llama_model_free(self._model)
            self._model = None

    def _draw(self, line: _Line) -> int:
        token = int(self._lib.llama_sampler_sample(line.sampler, self._context, line.row))
        line.tokens += 1
        if self._lib.llama_vocab_is_eog(self._vocabulary, token):
            line.complete = True
            return token
        line.text += self._piece(token)
        if _END_OF_LINE in line.text:
            line.text = line.text.split(_END_OF_LINE, 1)[0]
            line.complete = True
        return token

    @contextmanager
    def _samplers(self, seeds: Sequence[int], sampling: Sampling) -> Iterator[list[Any]]:
        samplers: list[Any] = []
        try:
            for seed in seeds:
                samplers.append(self._sampler(seed, sampling))  # noqa: PERF401 (those made must be freed)
            yield samplers
        finally:
            for sampler in samplers:
                self._lib.llama_sampler_free(sampler)

    def _sampler(self, seed: int, sampling: Sampling) -> Any:
        lib = self._lib
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        if sampling.temperature <= 0:
            lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_greedy())
            return chain
        if sampling.top_p < 1:
            lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_top_k(_SORTED_TOKENS))
            lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_top_p(sampling.top_p, 1))
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_temp(sampling.temperature))
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_dist(seed))
        return chain

    def _decode(self, rows: Sequence[tuple[int, int, int, bool]]) -> None:
        """Run the model on rows of (token, place, sequence, whether its logits are wanted)."""
        batch = self._lib.llama_batch_init(len(rows), 0, 1)
        try:
            batch.n_tokens = len(rows)
            for row, (token, place, sequence, wanted) in enumerate(rows):
                batch.token[row], batch.pos[row] = token, place
                batch.n_seq_id[row], batch.seq_id[row][0] = 1, sequence
                batch.logits[row] = wanted
            result = self._lib.llama_decode(self._context, batch)
        finally:
            self._lib.llama_batch_free(batch)
        if result != 0:
            raise GenerationFailedError(f"llama.cpp failed to run the model (code {result})")

    def _tokens(self, text: str) -> list[int]:
        raw = text.encode("utf-8", "replace")
        most = len(raw) + 8
        tokens = self._ffi.new("llama_token[]", most)
        count = self._lib.llama_tokenize(self._vocabulary, raw, len(raw), tokens, most, True, False)
        return list(tokens[0:count])

    def _piece(self, token: int) -> bytes:
        if token not in self._pieces:
            room = self._ffi.new("char[]", 512)
            length = self._lib.llama_token_to_piece(self._vocabulary, token, room, 512, 0, False)
            self._pieces[token] = bytes(self._ffi.buffer(room, max(length, 0)))
        return self._pieces[token]


def _look(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise GenerationCancelledError
