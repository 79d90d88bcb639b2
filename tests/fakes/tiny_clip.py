"""Tiny open_clip models of every family, with random weights: built in milliseconds, true in structure."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from torch import nn

VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2}

# Families whose text tower is causal and read at the end of text, and those where it is not.
FAST: dict[str, dict[str, Any]] = {
    "clip": {},
    "quickgelu": {"quick_gelu": True},
    "custom-text": {"custom_text": True},
    "custom-text-eos": {"custom_text": True, "text": {"pool_type": "eos", "eos_id": 49407}},
    "short-context": {"text": {"context_length": 16}},
    "large-vocabulary": {"text": {"vocab_size": 50000}},
    "layer-scale": {"text": {"ls_init_value": 0.3}},
    "projection-bias": {"custom_text": True, "text": {"proj_bias": True}},
    "no-projection": {"embed_dim": 64, "custom_text": True, "text": {"proj_type": "none"}},
    "norm-epsilon": {"text": {"norm_kwargs": {"eps": 1e-3}}},
    "other-cleaning": {"text": {"tokenizer_kwargs": {"clean": "canonicalize"}}},
    "odd-mlp": {"text": {"mlp_ratio": 3.3}},
    "resnet": {"vision": {"layers": [1, 1, 1, 1], "width": 8, "patch_size": None, "head_width": 8}},
}
PLAIN: dict[str, dict[str, Any]] = {
    "bidirectional-last": {"custom_text": True, "text": {"no_causal_mask": True, "pool_type": "last"}},
    "causal-last": {"custom_text": True, "text": {"pool_type": "last"}},
    "query-key-norm": {"text": {"qk_norm": True}},
    "coca": {
        "custom_text": True,
        "text": {"embed_cls": True, "output_tokens": True, "context_length": 76},
        "vision": {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
        "multimodal_cfg": {"context_length": 76, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 1},
    },
}


def config(family: str) -> dict[str, Any]:
    """An open_clip model configuration of a family."""
    changes = dict((FAST | PLAIN)[family])
    text, vision = TEXT | changes.pop("text", {}), VISION | changes.pop("vision", {})
    return {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text} | changes


def register(name: str, content: dict[str, Any], folder: Path) -> None:
    """Makes a configuration known to open_clip under a name."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content))
    open_clip.add_model_config(path)


@cache
def _folder() -> Path:
    import tempfile

    return Path(tempfile.mkdtemp(prefix="tiny-clip-"))


@cache
def tiny(family: str) -> tuple[nn.Module, Any]:
    """A model of a family in eval mode, and its tokenizer; the same one every time."""
    name = f"tiny-{family}"
    if name not in open_clip.list_models():
        register(name, config(family), _folder())
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = open_clip.create_model(name, load_weights=False)
        _shake(model)
    return model.eval().requires_grad_(False), tokenizer_of(family)


def tokenizer_of(family: str) -> Any:
    """The tokenizer of a family; one for all that read texts alike, since its words take long to load."""
    text = config(family)["text_cfg"]
    return _tokenizer(text["context_length"], text.get("tokenizer_kwargs", {}).get("clean", "lower"))


@cache
def _tokenizer(context_length: int, clean: str) -> Any:
    return open_clip.SimpleTokenizer(context_length=context_length, clean=clean)


def save_weights(family: str, path: Path) -> Path:
    """The family's weights as a safetensors file that open_clip loads."""
    model, _ = tiny(family)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
    return path


def local_dir(folder: Path, family: str = "clip") -> Path:
    """A folder with a family's configuration and weights, as open_clip reads it by ``local-dir:``."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {"model_cfg": config(family), "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(document), "utf-8")
    save_weights(family, folder / "open_clip_model.safetensors")
    return folder


def _shake(model: nn.Module) -> None:
    """Norms, biases and scales start at zero or one, where a mistake with them would not show."""
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
        elif parameter.ndim > 1 and parameter.data.std() < 0.02:
            parameter.data += 0.05 * torch.randn_like(parameter)
