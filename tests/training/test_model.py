"""The bundled models' configs, compact vocabulary and exported files."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import open_clip
import pytest
import torch
from PIL import Image

from promptclimb.evaluator.pico.models import bundled_models
from training.model import (
    LONGEST,
    NAMES,
    STANDARD_ROWS,
    UNKNOWN_ROWS,
    Vocabulary,
    build,
    config_of,
    encode_image,
    encode_text,
    export,
    token_ids,
)

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


def test_token_ids_are_the_standard_tokenizer_s() -> None:
    """Word by word gives what the tokenizer gives for the whole text."""
    texts = [*TEXTS, "It's a dog's kennel -- isn't it? (no. 12)", "ÉCLAIR  naïve 日本語 3.5x"]
    standard = open_clip.tokenizer._tokenizer
    assert [token_ids(text) for text in texts] == [standard.encode(text) for text in texts]


def test_vocabulary_gives_every_token_a_row_and_the_end_mark_the_highest(vocabulary: Vocabulary) -> None:
    """Known tokens have rows of their own, others share the unknown ones, none lies outside the table."""
    rows = [vocabulary.row(token) for token in range(STANDARD_ROWS)]
    known = [vocabulary.row(token) for token in vocabulary.known]
    assert len(set(known)) == len(known)
    assert min(known) > UNKNOWN_ROWS
    assert max(rows) == rows[-1] == vocabulary.size - 1
    assert set(rows) == set(range(1, vocabulary.size))


def test_encoding_cuts_long_texts_and_keeps_both_marks(vocabulary: Vocabulary) -> None:
    """A text of any length starts and ends with its mark, and is at most LONGEST long."""
    table = vocabulary.encode(["cat " * 100, ""])
    assert table.shape == (2, LONGEST)
    assert table[0, 0] == table[1, 0] == vocabulary.size - 2
    assert table[0, -1] == table[1, 1] == vocabulary.size - 1


def test_noise_puts_unknown_words_in_and_leaves_the_rest(vocabulary: Vocabulary) -> None:
    """With noise, a text gains one or two unknown rows; without them it is what it was."""
    clean = vocabulary.encode(TEXTS[:1])[0].tolist()
    noisy = vocabulary.encode(TEXTS[:1], noise=1.0, rng=Random(0))[0].tolist()
    assert len(clean) < len(noisy) <= len(clean) + 2
    assert [row for row in noisy if not 1 <= row <= UNKNOWN_ROWS] == clean


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


@pytest.mark.parametrize("name", NAMES)
def test_exported_file_is_fp16_and_within_its_size(name: str, vocabulary: Vocabulary, tmp_path: Path) -> None:
    """At most 20 MB, readable by others, and the config beside it."""
    path = export(name, build(name, vocabulary).state_dict(), vocabulary, tmp_path)
    assert path.stat().st_size <= 20_000_000
    assert path.stat().st_mode & 0o044 == 0o044
    assert json.loads((tmp_path / f"{name}.json").read_text()) == config_of(name)


def test_unknown_name_is_refused() -> None:
    """A name that is not bundled is named in the error, with those that are."""
    with pytest.raises(ValueError, match=r"'RN-nano'.*RN-pico, ViT-pico"):
        config_of("RN-nano")


@pytest.mark.parametrize("entry", bundled_models(), ids=lambda entry: entry["name"])
def test_bundled_files_load_with_open_clip_alone(entry: dict[str, str]) -> None:
    """What `models` lists exists, and open_clip loads it with every weight in its place."""
    model, _, _ = _loaded(entry["name"], Path(entry["file"]).parent)
    assert Path(entry["config"]).parent == Path(entry["file"]).parent
    assert torch.isfinite(next(model.parameters())).all()
