"""Find and download a model's files, and read checkpoints without running code in them."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import open_clip
import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..counts import enumerated
from ..errors import ModelError, reason_of
from ..files import CONFIG_NAME, has_model_settings, user_path
from ..messages import shown
from ..network import hub_address, hub_offline, reachable
from ..pico.models import REAL_WEIGHTS, bundled_models
from ..settings import near
from ..spec import BUNDLED_WEIGHTS, Report


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"the checkpoint {path} cannot be read: {error.strerror}") from error


def read_state(path: Path) -> dict[str, Tensor]:
    """Return a checkpoint's tensors by name, on the CPU; nothing in the file is executed.

    Raises:
        ModelError: It is torn, not a checkpoint, or holds pickled objects other than tensors.
    """
    if not path.is_file() or path.stat().st_size == 0:
        raise ModelError(f"the checkpoint {path} is {'empty' if path.is_file() else 'not a file'}")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"the checkpoint {path} holds no dictionary of tensors")
    if not state:
        raise ModelError(f"the checkpoint {path} holds no tensors")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _read_safetensors(path: Path) -> Any:
    try:
        return load_file(path, device="cpu")
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"the checkpoint {path} is torn, or not a safetensors file: {error}{_download_again(path)}"
        ) from error


def _read_torch(path: Path) -> Any:
    if _is_torchscript(path):
        raise ModelError(
            f"the checkpoint {path} is a TorchScript archive, which holds code, and is refused. OpenAI's "
            "weights need none of it: open_clip has them under the tag openai. If there is no network and "
            "you trust the file, save its weights under a name with openai: safetensors.torch.save_file("
            f"open_clip.load_openai_model({str(path)!r}, device='cpu').state_dict(), 'openai.safetensors')"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"the checkpoint {path} holds pickled Python objects, or is torn, and is refused: loading it "
            f"could run code. Save its state_dict alone, best as safetensors: "
            f"safetensors.torch.save_file(model.state_dict(), 'weights.safetensors'){_download_again(path)}"
        ) from error
    except Exception as error:  # torch's unpickler raises anything on a torn file
        why = reason_of(error)
        raise ModelError(
            f"the checkpoint {path} is torn, or not a torch checkpoint: {why}{_download_again(path)}"
        ) from error


def _download_again(path: Path) -> str:
    """Return advice on a torn file in the hub's cache, which the hub's client would take again."""
    for folder in path.parents:
        if folder.name.startswith("models--"):
            return f". Remove {folder} and run again: then it is downloaded anew"
    return ""


def _is_torchscript(path: Path) -> bool:
    """Return whether a file is a module saved by ``torch.jit``; torch warns on opening one."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def first_mismatch(model: nn.Module, state: dict[str, Tensor]) -> str:
    """Return the first tensor of the model that a checkpoint lacks or has in another shape."""
    wanted = model.state_dict()
    for name, tensor in wanted.items():
        if name not in state:
            return f"it has no {name} {list(tensor.shape)}"
        if state[name].shape != tensor.shape:
            return f"{name} is {list(state[name].shape)} there and {list(tensor.shape)} in the model"
    extra = next((name for name in state if name not in wanted), None)
    return "its tensors fit by name and shape" if extra is None else f"the model has no {extra}"


HUB = "hf-hub:"
WEIGHTS_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def repository_files(repository: str, names: Sequence[str], report: Report) -> Path:
    """Return the first of ``names`` that a hub repository has, from the local cache or downloaded."""
    import huggingface_hub

    if (cached := _cached(repository, names)) is not None:
        return cached
    # Try one connection first: the hub's client would retry for a minute.
    host, port = hub_address()
    if hub_offline() or not reachable(host, port):
        why = "HF_HUB_OFFLINE is set" if hub_offline() else f"{host} cannot be reached"
        # A model of the hub needs its weights beside the configuration that is missing first.
        files = "" if CONFIG_NAME in names else f" {names[0]}"
        raise _not_here(
            f"{repository} is not in the hub's cache and {why}",
            f"run `hf download {repository}{files}` and copy the folder "
            f"models--{repository.replace('/', '--')} into {huggingface_hub.constants.HF_HUB_CACHE}",
        )
    failures = []
    for name in names:
        report(f"downloading {name} of {repository} from the hub")
        try:
            return Path(huggingface_hub.hf_hub_download(repository, name))
        except (OSError, ValueError, huggingface_hub.errors.HfHubHTTPError) as error:
            failures.append(f"{name}: {reason_of(error)}")
    raise ModelError(f"the hub gave no weights for {repository} ({'; '.join(failures)})")


def _cached(repository: str, names: Sequence[str]) -> Path | None:
    import huggingface_hub

    paths = (huggingface_hub.try_to_load_from_cache(repository, name) for name in names)
    return next((Path(path) for path in paths if isinstance(path, str)), None)


def _not_here(why: str, remedy: str) -> ModelError:
    """Return the error of weights that cannot be downloaded: how to get them, and what works without."""
    bundled = enumerated(row["name"] for row in bundled_models())
    return ModelError(
        f"{why}. Where there is a network, {remedy}; or copy a folder DIR with the weights and "
        f'{CONFIG_NAME}, and give it as `model = "local-dir:DIR"`. To try the program without a download, '
        f'use a bundled toy model ({bundled}) with `pretrained = "{BUNDLED_WEIGHTS}"`'
    )


def tagged_file(tag: Mapping[str, Any], report: Report) -> Path:
    """Return the weights file of one of open_clip's tags."""
    if tag.get("hf_hub"):
        return repository_files(*_in_hub(tag), report)
    url = str(tag["url"])
    target = _download_target(url)
    if target.is_file():
        return target
    host = urlsplit(url).hostname or ""
    if hub_offline() or not reachable(host, 443):
        why = f"the weights are not here and {host} cannot be reached"
        raise _not_here(why, f"get {url} and put it at {target}")
    import open_clip.pretrained

    report(f"downloading {url}")
    try:
        return Path(open_clip.pretrained.download_pretrained_from_url(url))
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{url} could not be downloaded: {error}") from error


def must_download(model: str, pretrained: str) -> bool:
    """Return whether the weights are those of a tag or of the hub, and not in the caches yet."""
    if model.startswith(HUB):
        needed = ([CONFIG_NAME], WEIGHTS_NAMES)
        return any(_cached(model.removeprefix(HUB), names) is None for names in needed)
    tag = open_clip.get_pretrained_cfg(model.replace("/", "-"), pretrained)
    if not tag:
        return False
    if not tag.get("hf_hub"):
        return not _download_target(str(tag["url"])).is_file()
    return _cached(*_in_hub(tag)) is None


def _in_hub(tag: Mapping[str, Any]) -> tuple[str, Sequence[str]]:
    """Return the hub's repository of a tag, and the names that its weights may have there."""
    repository, _, name = str(tag["hf_hub"]).rpartition("/")
    stem, dot, ending = name.rpartition(".")
    safe = [f"{stem}.safetensors"] if dot and ending in {"bin", "pth", "pt"} else []
    return repository, [*safe, name] if name else WEIGHTS_NAMES


def _download_target(url: str) -> Path:
    return Path.home() / ".cache" / "clip" / url.rsplit("/", 1)[-1]


_CHECKPOINTS = {".safetensors", ".pt", ".pth", ".bin", ".ckpt"}
_PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The files and settings that a model is made of."""

    name: str  # name for open_clip; may begin with ``local-dir:``
    weights: Path
    # deviations from the default preprocessing
    preprocessing: dict[str, Any] = field(default_factory=dict)
    quick_gelu: bool | None = None  # weights trained with QuickGELU; None if unknown


def pretrained_pairs() -> list[tuple[str, str]]:
    """Return every pair of model and tag that open_clip lists."""
    return [(name, tag) for name, tag in open_clip.list_pretrained()]


def resolve(model: str, pretrained: str, report: Report) -> Source:
    """Return the files behind a model and its weights.

    Args:
        model: One of open_clip's names, a bundled one, ``hf-hub:REPOSITORY`` or ``local-dir:FOLDER``.
        pretrained: A tag, ``pico``, or a checkpoint file; ignored with ``hf-hub:`` and ``local-dir:``.
        report: Called with a line for each download.
    """
    if model.startswith(HUB):
        repository = model.removeprefix(HUB)
        folder = repository_files(repository, [CONFIG_NAME], report).parent
        weights = repository_files(repository, WEIGHTS_NAMES, report)
        return Source(name=f"local-dir:{folder}", weights=weights, quick_gelu=None)
    if model.startswith("local-dir:"):
        return _local(user_path(model.removeprefix("local-dir:"), "`model`"))
    for row in bundled_models():
        if row["name"] == model:
            _register(model, row["config"])
            if pretrained == row["pretrained"]:
                quick_gelu = bool((open_clip.get_model_config(model) or {}).get("quick_gelu", False))
                return Source(name=model, weights=_file(row["file"]), quick_gelu=quick_gelu)
    return _named(model, pretrained, report)


def check_named(model: str, pretrained: str) -> None:
    """Check, without downloading, that a model and its weights exist; hub names are not checked."""
    listed = open_clip.get_pretrained_cfg(model.replace("/", "-"), pretrained)
    if not listed and not model.startswith(HUB):
        resolve(model, pretrained, lambda _line: None)


def _named(typed: str, pretrained: str, report: Report) -> Source:
    model = typed.replace("/", "-")  # as open_clip does, for ViT-B/32
    if model not in open_clip.list_models():
        if has_model_settings(pretrained):
            return Source(name=f"local-dir:{Path(pretrained).parent}", weights=_file(pretrained))
        raise _unknown(typed)
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
        if not tags:
            raise ModelError(
                f"open_clip has no weights for {model}: give a checkpoint as `pretrained = FILE`"
            )
        raise ModelError(f"{model} needs its weights: give `pretrained = TAG`, {_some_of(tags, model)}")
    looks_like_file = os.sep in pretrained or Path(pretrained).suffix in _CHECKPOINTS
    if looks_like_file or user_path(pretrained, "`pretrained`").exists():
        return Source(name=model, weights=_file(pretrained), quick_gelu=_file_says(Path(pretrained)))
    advice = f"give one {_some_of(tags, model)}" if tags else "open_clip has no weights for it"
    if others := [name for name, tag in pretrained_pairs() if tag == pretrained]:
        advice = f"it is one of {enumerated(others)}: give `model` too"
    hint = near(pretrained, tags) or f"; {advice}"
    raise ModelError(f"{shown(pretrained)} is neither a tag of {model} nor a file{hint}")


def _some_of(tags: Sequence[str], model: str) -> str:
    example = REAL_WEIGHTS if REAL_WEIGHTS in tags else tags[0]
    return f"such as {example}; `promptclimb models` with `grep = {model}` lists them"


def _unknown(typed: str) -> ModelError:
    model_names = [*open_clip.list_models(), *(row["name"] for row in bundled_models())]
    return ModelError(
        f"unknown model {shown(typed)}{near(typed.replace('/', '-'), model_names) or ';'} "
        "`promptclimb models` lists them. "
        'Others are hf-hub:OWNER/NAME on Hugging Face\'s hub, `model = "local-dir:DIR"` for a folder, and '
        "`pretrained = FILE` with the name of its architecture for a checkpoint"
    )


def _local(folder: Path) -> Source:
    config = folder / CONFIG_NAME
    if not config.is_file():
        raise ModelError(f"there is no {CONFIG_NAME} in {folder}")
    _model_settings(config)
    files = sorted(
        path for ending in ("safetensors", "bin", "pth", "pt") for path in folder.glob(f"*.{ending}")
    )
    preferred = [path for name in WEIGHTS_NAMES for path in files if path.name == name]
    if not files:
        raise ModelError(f"there are no weights (.safetensors, .bin, .pth, .pt) in {folder}")
    return Source(name=f"local-dir:{folder}", weights=(preferred or files)[0])


def _register(name: str, config: str) -> None:
    """Make a bundled model known to open_clip."""
    if name not in open_clip.list_models():
        if not Path(config).is_file():
            raise ModelError(f"the bundled model {name} is not complete: {config} is missing; install again")
        open_clip.add_model_config(config)


def _file(name: str) -> Path:
    path = user_path(name, "`pretrained`")
    if not path.is_file():
        raise ModelError(f"there is no checkpoint file {name}")
    return path


def _file_says(weights: Path) -> bool | None:
    """Return whether a checkpoint's neighbouring files show QuickGELU; None if unknown."""
    if (beside := weights.parent / CONFIG_NAME).is_file():
        return bool(_model_settings(beside).get("quick_gelu", False))
    return True if "openai" in weights.resolve().as_posix().lower().rsplit("/", 1)[-1] else None


def _model_settings(config: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(config.read_text(encoding="utf-8"))["model_cfg"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{config} is not an open_clip configuration: {error!r}") from error
