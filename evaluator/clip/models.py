"""Load models: open_clip's, checkpoint files and the bundled ones.

open_clip is imported where a model is loaded: it takes longer than all that is done with kept features.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import ModelError
from ..files import CONFIG_NAME, SeenFiles, user_path
from ..spec import Report

if TYPE_CHECKING:
    from .model_files import Source

_DRAWING = {
    *(nn.init.normal_, nn.init.uniform_, nn.init.trunc_normal_),
    *(nn.init.kaiming_normal_, nn.init.kaiming_uniform_, nn.init.xavier_normal_, nn.init.xavier_uniform_),
    *(Tensor.normal_, Tensor.uniform_),
}
_FORM = re.compile(r"auto|cpu|mps|cuda(:\d+(,\d+)*)?")


def devices() -> list[str]:
    """Return every device of this machine, with GPU names."""
    names = ["cpu"]
    if torch.backends.mps.is_available():
        names.append("mps")
    names += [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    return names


def parse_devices(name: str) -> list[torch.device]:
    """Return the devices meant by ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``cuda:0,1`` or ``mps``."""
    if not _FORM.fullmatch(name):
        raise ModelError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:0, cuda:0,1 or mps")
    if name == "auto":
        if torch.cuda.is_available():
            return [torch.device("cuda", 0)]
        return [torch.device("mps" if torch.backends.mps.is_available() else "cpu")]
    kind, _, numbers = name.partition(":")
    chosen = [torch.device(kind, int(number)) for number in numbers.split(",") if number]
    chosen = chosen or [torch.device(kind, 0) if kind == "cuda" else torch.device(kind)]
    existing = ", ".join(devices())
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ModelError(f"there is no mps device here; there is {existing}")
    for device in chosen:
        if kind == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise ModelError(
                f"there is no device {device} here (torch {torch.__version__}); there is {existing}"
            )
    return chosen


def best_dtype(device: torch.device) -> torch.dtype:
    """Return the fastest type that the hardware multiplies without emulation."""
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if major >= 8 else torch.float16
    if device.type == "mps":
        return torch.float16
    # Versions of torch report the bf16 instructions of a CPU differently.
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    has_bf16 = any(bool(getattr(torch.cpu, name, lambda: False)()) for name in names)
    return torch.bfloat16 if has_bf16 else torch.float32


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What identifies a model; of a model that was loaded before, it is known without loading."""

    key: str  # content hash of checkpoint and architecture
    weights: str  # content hash of the checkpoint alone
    preprocessing: str  # in one line; with ``key`` it decides an image's features
    logit_scale: float
    corrections: tuple[str, ...] = ()  # settings that differ from the name's, a sentence each
    file: str = ""  # with the weights


_FACTS = TypeAdapter(ModelFacts)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel(ModelFacts):
    """An open_clip model in eval mode, with its tokenizer and preprocessing."""

    model: nn.Module
    preprocess: Callable[[Image.Image], Tensor]
    tokenizer: Any
    context_length: int
    device: torch.device


def load_model(
    name: str, pretrained: str, device: torch.device, *, report: Report = lambda _line: None
) -> LoadedModel:
    """Load a model and its weights in float32; ModelError if they are missing or do not match."""
    from .model_files import file_hash, resolve

    source = resolve(name, pretrained, report)
    overrides, corrections = _activation(source)
    with _quiet():
        model, preprocess = _create(source, overrides)
        tokenizer = _tokenizer(source)
    weights = file_hash(source.weights)
    settings = json.dumps(model.visual.preprocess_cfg, sort_keys=True, default=str)
    loaded = LoadedModel(
        model=model.to(device).eval().requires_grad_(False),
        preprocess=preprocess,
        tokenizer=tokenizer,
        context_length=int(getattr(tokenizer, "context_length", None) or model.context_length),
        # Hash the built architecture too: activations have no weights.
        key=hashlib.sha256(f"{weights}\n{model}".encode()).hexdigest(),
        weights=weights,
        preprocessing=settings,
        device=device,
        logit_scale=model.logit_scale.exp().item(),
        corrections=corrections,
        file=str(source.weights),
    )
    _report_model(name, loaded, device, report)
    return loaded


def _report_model(name: str, facts: ModelFacts, device: torch.device, report: Report) -> None:
    for correction in facts.corrections:
        report(f"corrected: {correction}")
    report(f"model: {name} with {facts.file} on {device}")


def known_model(
    name: str, pretrained: str, device: torch.device, seen: SeenFiles, report: Report
) -> tuple[ModelFacts, Callable[[], LoadedModel]]:
    """Return a model's facts and its loader; loads nothing while files and libraries are unchanged.

    Raises:
        ModelError: As ``load_model``.
    """
    load = cache(partial(load_model, name, pretrained, device, report=report))
    if name.startswith("local-dir:"):  # its settings are several files
        return load(), load

    def find() -> list[str]:
        return [_FACTS.dump_json(load()).decode()]

    specs = map(importlib.util.find_spec, ("open_clip", "torch"))
    libraries = [Path(__file__), *(Path(spec.origin) for spec in specs if spec and spec.origin)]
    path = user_path(pretrained, "`pretrained`")
    question = f"model {name} {path.absolute() if path.is_file() else pretrained}"
    # First by the name, to learn where its files are, then by these files.
    file = Path(_FACTS.validate_json(seen.known(question, libraries, find)[0]).file)
    beside = [config] if (config := file.parent / CONFIG_NAME).is_file() else []
    facts = _FACTS.validate_json(seen.known(question, [*libraries, file, *beside], find)[0])
    if load.cache_info().currsize:
        return facts, load
    _report_model(name, facts, device, report)
    return facts, cache(partial(load_model, name, pretrained, device))


def _create(source: Source, overrides: dict[str, Any]) -> tuple[Any, Callable[[Image.Image], Tensor]]:
    import open_clip

    from .model_files import first_mismatch, read_state

    settings = {f"image_{key}": value for key, value in source.preprocessing.items()}
    try:
        with _NoRandomWeights():
            model, _, preprocess = open_clip.create_model_and_transforms(
                source.name, load_weights=False, pretrained_text=False, **settings, **overrides
            )
    except (ImportError, RuntimeError, ValueError, TypeError, KeyError, OSError, AssertionError) as error:
        raise ModelError(f"open_clip cannot build {source.name}: {error}") from error
    read_state(source.weights)
    try:
        open_clip.load_checkpoint(model, str(source.weights))
    except (RuntimeError, KeyError, ValueError, AttributeError, IndexError, AssertionError) as error:
        mismatch = first_mismatch(model, read_state(source.weights))
        raise ModelError(f"{source.weights} does not fit {source.name}: {mismatch}") from error
    return model, preprocess


class _NoRandomWeights(TorchFunctionMode):
    """Build modules with zeros for random weights, which take as long to draw as the rest of loading.

    A checkpoint has a value for every weight, or it is refused.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _DRAWING:
            with torch.no_grad():
                return (args[0] if args else (kwargs or {})["tensor"]).zero_()
        return func(*args, **(kwargs or {}))


def _tokenizer(source: Source) -> Any:
    import open_clip

    try:
        config = open_clip.get_model_config(source.name)
        if config is None:  # of a hub or a folder: what is there may change
            return open_clip.get_tokenizer(source.name)
        return _tokenizer_of(source.name, json.dumps(config, sort_keys=True))
    except ImportError as error:
        raise ModelError(
            f"the tokenizer of {source.name} needs a package: pip install transformers ({error})"
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"the tokenizer of {source.name} cannot be had: {error}") from error


@lru_cache(maxsize=4)
def _tokenizer_of(name: str, _config: str) -> Any:
    import open_clip

    return open_clip.get_tokenizer(name)


def _activation(source: Source) -> tuple[dict[str, Any], tuple[str, ...]]:
    import open_clip

    config = open_clip.get_model_config(source.name) or {}
    named = bool(config.get("quick_gelu", False))
    if source.quick_gelu is None or source.quick_gelu == named:
        return {}, ()
    right, wrong = ("QuickGELU", "GELU") if source.quick_gelu else ("GELU", "QuickGELU")
    fact = f"these weights were trained with {right}, and {source.name} would have used {wrong}"
    return {"quick_gelu": source.quick_gelu}, (fact,)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence open_clip's warning about random weights, which are loaded afterwards."""
    root = logging.getLogger()

    def drop(record: logging.LogRecord) -> bool:
        return "open_clip" not in record.pathname

    root.addFilter(drop)
    try:
        yield
    finally:
        root.removeFilter(drop)
