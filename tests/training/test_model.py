"""The bundled models' configs, compact vocabulary and exported files."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image

from promptclimb.evaluator.pico.models import bundled_models
from training.model import NAMES, Vocabulary, build, encode_image, encode_text, export, token_ids

TEXTS = ["a photo of a cat", "tally marks for seven", "a zyzzyva, blurred; a photo of a cat"]


@pytest.fixture
def vocabulary() -> Vocabulary:
    """The words of two of the texts; the third holds words that are not in it."""
    return Vocabulary(token for text in TEXTS[:2] for token in token_ids(text))


def _loaded(name: str, folder: Path) -> tuple[torch.nn.Module, object, object]:
    open_clip.add_model_config(folder / f"{name}.json")
    model, _, transform = open_clip.create_model_and_transforms(
        name, pretrained=str(folder / f"{name}.safetensors")
    )
    return model.eval(), transform, open_clip.get_tokenizer(name)


@pytest.mark.parametrize("name", NAMES)
def test_plain_open_clip_gives_the_features_of_the_model_that_was_trained(
    name: str, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    """The exported file, loaded by open_clip alone, equals the compact model up to fp16."""
    torch.manual_seed(0)
    trained = build(name, vocabulary).eval()
    for parameter in trained.parameters():  # fresh zero weights would hide what is lost
        parameter.data += 0.02 * torch.randn_like(parameter)
    export(name, trained.state_dict(), vocabulary, tmp_path)
    plain, transform, tokenize = _loaded(name, tmp_path)
    pixels = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    images = torch.stack([transform(Image.fromarray(picture.numpy())) for picture in pixels])
    with torch.no_grad():
        ours = encode_text(trained, torch.from_numpy(vocabulary.encode(TEXTS)))
        torch.testing.assert_close(
            ours, plain.encode_text(tokenize(TEXTS), normalize=True), atol=5e-3, rtol=0
        )
        theirs = plain.encode_image(images, normalize=True)
        torch.testing.assert_close(encode_image(trained, pixels), theirs, atol=5e-3, rtol=0)


@pytest.mark.parametrize("entry", bundled_models(), ids=lambda entry: entry["name"])
def test_bundled_files_load_with_open_clip_alone(entry: dict[str, str]) -> None:
    """What `models` lists exists, and open_clip loads it with every weight in its place."""
    model, _, _ = _loaded(entry["name"], Path(entry["file"]).parent)
    assert Path(entry["config"]).parent == Path(entry["file"]).parent
    assert torch.isfinite(next(model.parameters())).all()
