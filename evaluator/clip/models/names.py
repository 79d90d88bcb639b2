"""Names of models and of their weights: which files are meant, and what was meant where there are none."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import open_clip

from ...errors import ModelError
from ...pico import models as bundled_models
from ...spec import Report
from ...user_paths import user_path
from .hub import CONFIG_NAME, WEIGHTS_NAMES, repository_files, tagged_file

_PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a model comes from.

    Attributes:
        name: What open_clip is asked for: a name it knows, or ``local-dir:``.
        weights: The checkpoint file.
        preprocessing: What the tag says about preprocessing, where that differs from the default.
        quick_gelu: Whether the weights were trained with QuickGELU; None where nobody says.
    """

    name: str
    weights: Path
    preprocessing: dict[str, Any] = field(default_factory=dict)
    quick_gelu: bool | None = None


def pretrained_pairs() -> list[tuple[str, str]]:
    """Return every pair of model and tag that open_clip lists."""
    return [(name, tag) for name, tag in open_clip.list_pretrained()]


def resolve(model: str, pretrained: str, report: Report) -> Source:
    """Return the files behind a model and its weights.

    Args:
        model: One of open_clip's names, a bundled one, ``hf-hub:REPOSITORY`` or ``local-dir:FOLDER``.
        pretrained: A tag, ``pico``, or a checkpoint file; not read with ``hf-hub:`` and ``local-dir:``.
        report: Told of downloads.

    Raises:
        ModelError: There is no such model, tag or file.
    """
    if model.startswith("hf-hub:"):
        repository = model.removeprefix("hf-hub:")
        folder = repository_files(repository, [CONFIG_NAME], report).parent
        weights = repository_files(repository, WEIGHTS_NAMES, report)
        return Source(name=f"local-dir:{folder}", weights=weights, quick_gelu=None)
    if model.startswith("local-dir:"):
        return _local(user_path(model.removeprefix("local-dir:"), "--model local-dir:"))
    for row in bundled_models():
        if row["name"] == model and pretrained == row["pretrained"]:
            _register(row["name"], row["config"])
            return Source(name=model, weights=_file(row["file"]), quick_gelu=_config_says(model))
    return _named(model.replace("/", "-"), pretrained, report)


def check_named(model: str, pretrained: str) -> None:
    """Make sure that there is such a model, and such weights for it, without downloading any.

    What only the hub knows is left alone.

    Raises:
        ModelError: There is no such model, tag or file.
    """
    listed = open_clip.get_pretrained_cfg(model.replace("/", "-"), pretrained)
    if not listed and not model.startswith("hf-hub:"):
        resolve(model, pretrained, lambda _line: None)


def _named(model: str, pretrained: str, report: Report) -> Source:
    for row in bundled_models():
        if row["name"] == model:
            _register(model, row["config"])
    if model not in open_clip.list_models():
        beside = Path(pretrained).parent / CONFIG_NAME
        if _looks_like_file(pretrained) and beside.is_file():
            return Source(name=f"local-dir:{beside.parent}", weights=_file(pretrained))
        known = [*open_clip.list_models(), *(row["name"] for row in bundled_models())]
        raise ModelError(f"unknown model {model!r}{_nearest(model, known)}; `models` lists them")
    tag: dict[str, Any] = open_clip.get_pretrained_cfg(model, pretrained)
    if tag:
        settings: dict[str, Any] = {key: tag[key] for key in _PREPROCESSING if key in tag}
        return Source(
            name=model,
            weights=tagged_file(tag, report),
            preprocessing=settings,
            quick_gelu=bool(tag.get("quick_gelu", False)),
        )
    tags = open_clip.list_pretrained_tags_by_model(model)
    bundled = {row["pretrained"] for row in bundled_models()}
    if pretrained in bundled and not Path(pretrained).is_file():
        raise ModelError(_without_weights(model, tags))
    if _looks_like_file(pretrained):
        return Source(name=model, weights=_file(pretrained), quick_gelu=_file_says(Path(pretrained)))
    listed = f"; open_clip has {', '.join(tags)}" if tags else "; open_clip has no weights for it"
    raise ModelError(
        f"{pretrained!r} is neither a tag of {model} nor a file{_nearest(pretrained, tags)}{listed}"
    )


def _without_weights(model: str, tags: Sequence[str]) -> str:
    """Say what to give with a model whose weights were not named: the default is a bundled model's."""
    if not tags:
        return f"open_clip has no weights for {model}: give a checkpoint as --pretrained FILE"
    return f"{model} needs its weights: give --pretrained TAG, one of open_clip's: {', '.join(tags)}"


def _local(folder: Path) -> Source:
    config = folder / CONFIG_NAME
    if not config.is_file():
        raise ModelError(f"there is no {CONFIG_NAME} in {folder}")
    try:
        json.loads(config.read_text(encoding="utf-8"))["model_cfg"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{config} is no open_clip configuration: {error!r}") from error
    files = sorted(
        path for ending in ("safetensors", "bin", "pth", "pt") for path in folder.glob(f"*.{ending}")
    )
    preferred = [path for name in WEIGHTS_NAMES for path in files if path.name == name]
    if not files:
        raise ModelError(f"there are no weights (.safetensors, .bin, .pth, .pt) in {folder}")
    return Source(name=f"local-dir:{folder}", weights=(preferred or files)[0])


def _register(name: str, config: str) -> None:
    if name not in open_clip.list_models():
        if not Path(config).is_file():
            raise ModelError(f"the bundled model {name} is not complete: {config} is missing; install again")
        open_clip.add_model_config(config)


def _file(name: str) -> Path:
    path = user_path(name, "--pretrained")
    if not path.is_file():
        raise ModelError(f"there is no checkpoint file {name}")
    return path


def _looks_like_file(name: str) -> bool:
    return user_path(name, "--pretrained").exists() or os.sep in name or Path(name).suffix in {
        ".safetensors", ".pt", ".pth", ".bin", ".ckpt",
    }  # fmt: skip


def _config_says(model: str) -> bool:
    return bool((open_clip.get_model_config(model) or {}).get("quick_gelu", False))


def _file_says(weights: Path) -> bool | None:
    """Return whether a file's surroundings say that it was trained with QuickGELU, as OpenAI's all were."""
    beside = weights.parent / CONFIG_NAME
    if beside.is_file():
        try:
            return bool(json.loads(beside.read_text(encoding="utf-8"))["model_cfg"].get("quick_gelu", False))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{beside} is no open_clip configuration: {error!r}") from error
    return True if "openai" in weights.resolve().as_posix().lower().rsplit("/", 1)[-1] else None


def _nearest(name: str, known: Iterable[str]) -> str:
    by_lower = {one.lower(): one for one in known}
    near = [by_lower[one] for one in difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)]
    return f" (did you mean {' or '.join(near)}?)" if near else ""
