from __future__ import annotations

import json
import pickle
import shutil
import socket
import time
import warnings
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from promptclimb.evaluator import network
from promptclimb.evaluator.clip import model_files as names
from promptclimb.evaluator.clip.model_files import check_named, read_state
from promptclimb.evaluator.clip.models import (
    LoadedModel,
    ModelFacts,
    best_dtype,
    devices,
    known_model,
    load_model,
    parse_devices,
)
from promptclimb.evaluator.errors import ModelError
from promptclimb.evaluator.files import SeenFiles
from tests.fakes.tiny_clip import config, register, save_weights, tiny

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_weights("clip", tmp_path_factory.mktemp("weights") / "clip.safetensors")


def load(name: str, pretrained: str | Path) -> LoadedModel:
    return load_model(name, str(pretrained), CPU)


def encode(model: Any, text: str) -> torch.Tensor:
    return model.encode_text(open_clip.get_tokenizer("tiny-clip")([text]))


def test_a_checkpoint_file_is_loaded_as_open_clip_would(weights: Path) -> None:
    """Same vectors for texts and images as by open_clip's own loading."""
    ours = load("tiny-clip", weights)
    theirs, _, preprocess = open_clip.create_model_and_transforms("tiny-clip", pretrained=str(weights))
    assert torch.equal(encode(ours.model, "a cat"), encode(theirs.eval(), "a cat"))
    picture = Image.effect_noise((50, 40), 60).convert("RGB")
    assert torch.equal(ours.preprocess(picture), preprocess(picture))
    assert ours.context_length == 77
    assert ours.logit_scale == pytest.approx(theirs.logit_scale.exp().item())


def test_a_known_model_is_not_loaded_for_its_facts(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What identifies it is kept as long as its file is the same; its loader loads it once."""
    file, lines = tmp_path / "own.safetensors", list[str]()
    shutil.copy(weights, file)
    seen = SeenFiles(tmp_path / "seen", clock=lambda: time.time_ns() + 10**11)

    def known() -> tuple[ModelFacts, Callable[[], LoadedModel]]:
        return known_model("tiny-clip", str(file), CPU, seen, lines.append)

    facts, load = known()
    loaded = load()
    for fact in fields(ModelFacts):
        assert getattr(facts, fact.name) == getattr(loaded, fact.name)
    with monkeypatch.context() as patch:
        patch.setattr(open_clip, "create_model_and_transforms", None)
        facts_again, load_again = known()
    assert facts_again == facts
    assert torch.equal(encode(load_again().model, "a cat"), encode(loaded.model, "a cat"))
    assert load_again() is load_again()
    assert lines == 2 * [f"model: tiny-clip with {file} on cpu"]
    state = load_file(weights)
    save_file({name: tensor + 1 for name, tensor in state.items()}, file)
    assert known()[0].weights != facts.weights


def test_a_torch_checkpoint_is_loaded_too(weights: Path, tmp_path: Path) -> None:
    """A state dict saved by torch, wrapped or not, in half precision or not, is read."""
    state = load_file(weights)
    torch.save(
        {"state_dict": {f"module.{name}": tensor.half() for name, tensor in state.items()}}, tmp_path / "c.pt"
    )
    assert torch.allclose(
        encode(load("tiny-clip", tmp_path / "c.pt").model, "a cat"),
        encode(tiny("clip")[0], "a cat"),
        atol=2e-2,
    )


def test_the_key_follows_content_not_names(weights: Path, tmp_path: Path) -> None:
    """A copy of the weights has the same key; one changed number or another activation has not."""
    state = load_file(weights)
    save_file(state, tmp_path / "copy.safetensors")
    state["logit_scale"] = state["logit_scale"] + 1
    save_file(state, tmp_path / "changed.safetensors")
    first = load("tiny-clip", weights).key
    assert load("tiny-clip", tmp_path / "copy.safetensors").key == first
    assert load("tiny-clip", tmp_path / "changed.safetensors").key != first
    tiny("quickgelu")
    assert load("tiny-quickgelu", weights).key != first


class Dangerous:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, ("run",)


def saved(save: Callable[[Any, Path], Any], name: str, state: Any) -> Callable[[Path, Path], Path]:
    """Makes a checkpoint of a state, or of what a function makes of the right one."""

    def make(weights: Path, folder: Path) -> Path:
        save(state(load_file(weights)) if callable(state) else state, folder / name)
        return folder / name

    return make


def torn_torch(weights: Path, folder: Path) -> Path:
    torch.save(load_file(weights), folder / "whole.pt")
    (folder / "torn.pt").write_bytes((folder / "whole.pt").read_bytes()[:5000])
    return folder / "torn.pt"


def write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


mismatched = saved(
    save_file, "a.safetensors", lambda s: {**s, "visual.conv1.weight": torch.zeros(8, 3, 4, 4)}
)
lacking = saved(
    save_file, "a.safetensors", lambda s: {name: s[name] for name in s if name != "ln_final.weight"}
)
torn = saved(write, "a.safetensors", lambda _state: b"\x99\0\0\0\0\0\0\0" + bytes(900))
empty = saved(write, "empty.pt", b"")
pickled = saved(write, "evil.pt", pickle.dumps({"state_dict": Dangerous()}, protocol=2))
torch_pickled = saved(torch.save, "evil2.pt", {"state_dict": Dangerous()})
no_tensors = saved(torch.save, "epoch.pt", {"epoch": 3})


def torchscript(_weights: Path, folder: Path) -> Path:
    with warnings.catch_warnings(action="ignore"):  # torch advises against it
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), folder / "RN50.pt")
    return folder / "RN50.pt"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (mismatched, r"visual\.conv1\.weight is \[8, 3, 4, 4\] there and \[32, 3, 16, 16\] in the model"),
        (lacking, r"it has no ln_final\.weight \[64\]"),
        (torn, "torn, or not a safetensors file"),
        (torn_torch, "torn"),
        (empty, "is empty"),
        (pickled, "pickled Python objects, or is torn, and is refused"),
        (torch_pickled, "pickled Python objects, or is torn, and is refused"),
        (no_tensors, "no dictionary of tensors"),
        (torchscript, r"TorchScript.*tag openai\. .*load_openai_model\('.*RN50\.pt', device='cpu'\)"),
    ],
)
def test_bad_checkpoints_are_refused_with_one_clear_line(
    make: Any, message: str, weights: Path, tmp_path: Path
) -> None:
    """Torn, foreign and dangerous files are named, and nothing in them is run."""
    path = make(weights, tmp_path)
    with pytest.raises(ModelError, match=message) as caught:
        load("tiny-clip", path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_torn_download_is_said_to_be_fetched_anew(weights: Path, tmp_path: Path) -> None:
    """The hub's client would take the file in its cache again, so its folder must go."""
    folder = tmp_path / "models--timm--resnet50_clip.openai"
    inside = folder / "snapshots" / "abc"
    inside.mkdir(parents=True)
    for make, name in ((torn, "a.safetensors"), (torn_torch, "torn.pt")):
        assert make(weights, inside) == inside / name
        with pytest.raises(ModelError, match=r"torn.*\. Remove .*resnet50_clip\.openai and run again"):
            read_state(inside / name)


@given(
    start=st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04", b"\x10\0\0\0\0\0\0\0"]),
    rest=st.binary(max_size=80),
)
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_any_bytes_are_a_checkpoint_or_a_clear_error(
    ending: str, start: bytes, rest: bytes, tmp_path: Path
) -> None:
    """No file content gets past the reader but as tensors or as one clear line."""
    path = tmp_path / f"any.{ending}"
    path.write_bytes(start + rest)
    with pytest.raises(ModelError, match="the checkpoint"):
        read_state(path)


@pytest.mark.parametrize(
    ("name", "pretrained", "message"),
    [
        ("Vit-b32", "openai", "unknown model 'Vit-b32'; did you mean ViT-B-32"),
        ("RN-picо", "pico", "did you mean RN-pico"),
        ("ViT-B-32", "laion2b_s34b_b79", "did you mean laion2b_s34b_b79k"),
        ("ViT-B-32", "zzz", "is neither a tag of ViT-B-32 nor a file; give one such as laion2b_s34b_b79k; "),
        ("ViT-B-32", "no/such/file.pt", "there is no checkpoint file no/such/file.pt"),
        ("tiny-clip", "zzz", "open_clip has no weights for it"),
        (
            "ViT-B-32",
            "pico",
            "ViT-B-32 needs its weights: give `pretrained = TAG`, such as laion2b_s34b_b79k; ",
        ),
        ("RN50", "pico", "such as openai; `promptclimb models` with `grep = RN50` lists them"),
        ("tiny-clip", "pico", "no weights for tiny-clip: give a checkpoint as `pretrained = FILE`"),
        ("openai/clip-vit-base-patch32", "openai", "`promptclimb models` lists them. Others are hf-hub:"),
        ("/", "openai", '`model = "local-dir:DIR"` for a folder'),
        ("local-dir:/no/such", "", "there is no open_clip_config.json in /no/such"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(name: str, pretrained: str, message: str) -> None:
    """A name that is not known is an error that helps."""
    tiny("clip")
    with pytest.raises(ModelError) as caught:
        load(name, pretrained)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "pretrained"),
    [("ViT-B-32", "laion2b_s34b_b79k"), ("RN50", "openai"), ("hf-hub:timm/some-model", "")],
)
def test_without_a_network_the_file_and_its_place_are_named(name: str, pretrained: str) -> None:
    """Offline, the error comes at once and says what to fetch and where to put it."""
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set") as caught:
        load(name, pretrained)
    assert "hf download" in str(caught.value)
    assert "local-dir:DIR" in str(caught.value)
    assert "models--" in str(caught.value)
    assert "(RN-pico, ViT-pico, Tags-pico and Captions-pico) with `pretrained" in str(caught.value)
    assert ("hf download timm/some-model`" in str(caught.value)) == name.startswith("hf-hub:")


def test_an_unreachable_hub_is_noticed_without_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """One refused connection is enough."""
    asked: list[Any] = []

    def refuse(address: Any, timeout: float) -> socket.socket:
        asked.append((address, timeout))
        raise OSError("no network")

    for proxy in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setattr(network.socket, "create_connection", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(ModelError, match="cannot be reached"):
        load("ViT-B-32", "laion2b_s34b_b79k")
    assert len(asked) == 1
    assert asked[0][1] <= 5


def local_folder(folder: Path, family: str) -> Path:
    content = {
        "model_cfg": config(family),
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    save_weights(family, folder / "open_clip_model.safetensors")
    return folder


def test_a_folder_with_its_own_configuration_is_a_model(tmp_path: Path) -> None:
    """`local-dir:` takes architecture, weights and preprocessing from the folder."""
    folder = local_folder(tmp_path, "quickgelu")
    loaded = load(f"local-dir:{folder}", "")
    assert torch.equal(encode(loaded.model, "a cat"), encode(tiny("quickgelu")[0], "a cat"))
    assert '"mean": [0.5, 0.5, 0.5]' in loaded.preprocessing
    same = load("my-own-model", folder / "open_clip_model.safetensors")
    assert same.key == loaded.key


def test_a_cached_hub_repository_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in the hub's cache is found there."""
    folder = local_folder(tmp_path, "clip")
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache", lambda _repository, name: str(folder / name)
    )
    loaded = load("hf-hub:somebody/some-clip", "")
    assert torch.equal(encode(loaded.model, "a cat"), encode(tiny("clip")[0], "a cat"))


@pytest.mark.parametrize(
    ("model", "tag_says", "expected"), [("tiny-clip", True, "quickgelu"), ("tiny-quickgelu", False, "clip")]
)
def test_an_activation_mismatch_is_put_right(
    model: str, tag_says: bool, expected: str, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights whose tag says QuickGELU get it whatever the model's name says, and the other way round."""
    tiny("quickgelu")
    tag = {
        "file": str(weights),
        "quick_gelu": tag_says,
        "hf_hub": "somebody/weights/",
        "mean": (0.1, 0.2, 0.3),
    }
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda _model, _tag: tag)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda _repository, _name: str(weights))
    lines: list[str] = []
    loaded = load_model(model, "sometag", CPU, report=lines.append)
    assert lines[0].startswith("corrected: these weights were trained with")
    assert lines[0] == f"corrected: {loaded.corrections[0]}"
    activation: Any = tiny(expected)[0].transformer.resblocks[0].mlp.gelu
    gelu: Any = loaded.model.transformer.resblocks[0].mlp.gelu
    assert type(gelu) is type(activation)
    assert '"mean": [0.1, 0.2, 0.3]' in loaded.preprocessing


def test_an_openai_file_gets_its_activation(weights: Path, tmp_path: Path) -> None:
    """A file named after OpenAI is loaded with QuickGELU under a name without it."""
    path = tmp_path / "ViT-B-32.openai.safetensors"
    path.write_bytes(weights.read_bytes())
    lines: list[str] = []
    load_model("tiny-clip", str(path), CPU, report=lines.append)
    assert "QuickGELU" in lines[0]


def test_a_configuration_that_open_clip_cannot_build_is_an_error(tmp_path: Path, weights: Path) -> None:
    """A broken architecture is named as such."""
    register("tiny-broken", config("clip") | {"no_such_setting": 1}, tmp_path)
    with pytest.raises(ModelError, match="open_clip cannot build tiny-broken"):
        load("tiny-broken", weights)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:99", "cpu:1", "CUDA"])
def test_devices_that_are_not_there_are_refused(name: str) -> None:
    """A wrong device is an error that lists the right ones."""
    with pytest.raises(ModelError, match="cpu"):
        parse_devices(name)


def test_the_processor_is_always_there() -> None:
    """`cpu` and `auto` always mean something, and bf16 is taken only where the hardware has it."""
    assert "cpu" in devices()
    assert parse_devices("cpu") == [CPU]
    assert len(parse_devices("auto")) == 1
    assert best_dtype(CPU) in (torch.bfloat16, torch.float32)


def test_names_are_checked_without_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a tag or the hub would bring is left to the search; what nothing can bring is refused."""

    def downloading(*_given: object) -> None:
        raise AssertionError("nothing is downloaded")

    monkeypatch.setattr(names, "tagged_file", downloading)
    monkeypatch.setattr(names, "repository_files", downloading)
    for model, pretrained in (
        ("ViT-B-32", "laion2b_s34b_b79k"),
        ("ViT-B/32", "openai"),
        ("hf-hub:a/b", ""),
        ("RN-pico", "pico"),
    ):
        check_named(model, pretrained)
    for model, pretrained in (
        ("ViT-B-33", "openai"),
        ("ViT-B-32", "nope"),
        ("RN-pico", "nope"),
        ("local-dir:/nope", ""),
    ):
        with pytest.raises(ModelError):
            check_named(model, pretrained)
