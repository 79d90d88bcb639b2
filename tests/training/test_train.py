"""Rendering and training at toy size: what is resumed, what is exported, what the losses mean."""

from __future__ import annotations

import functools
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import structlog
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional

from training.batches import Pictures, render, shifted, shown
from training.loop import Recipe, TextTrainer, Trainer, contrastive, imitation, nearness
from training.model import Vocabulary, build, token_ids
from training.train import main
from training.world.art import Art
from training.world.scene import CONCEPTS, CORE, SENSES, Scene

pytestmark = pytest.mark.slow

PICTURES = 64
RECIPE = Recipe(name="RN-pico", steps=4, batch=16, save_every=3600.0)


@functools.cache
def plain_art() -> Art:
    """Art in which every thing is a coloured disc, so that nothing needs to be fetched."""
    names = [*CONCEPTS, *CORE, *(f"{name}/{kind}" for name, kinds in SENSES.items() for kind in kinds)]
    shipped = Art.shipped()
    rng = Random(0)
    discs = {name: [Image.new("RGBA", (72, 72), (*rng.randbytes(3), 255))] for name in names}
    return Art(discs, {}, shipped._fonts)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A few dozen rendered pictures in two shards."""
    folder = tmp_path_factory.mktemp("shards")
    return render(folder, PICTURES, seed=1, workers=1, shard=32, gather=plain_art)


@pytest.fixture(scope="module")
def pictures(shards: list[Path]) -> Pictures:
    """Those of them that models are taught from."""
    return Pictures(shards)


@pytest.fixture(scope="module")
def vocabulary(pictures: Pictures) -> Vocabulary:
    """The tokens of their captions."""
    return Vocabulary(token for text in pictures.captions(4, 1) for token in token_ids(text))


def _trainer(recipe: Recipe, pictures: Pictures, vocabulary: Vocabulary, folder: Path) -> Trainer:
    return Trainer(recipe, pictures, pictures, vocabulary, folder / recipe.name, folder / "export")


def test_rendering_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """A shard that is missing comes back as it was, and those that exist are not drawn again."""
    shards = render(tmp_path, 12, seed=3, workers=1, shard=5, gather=plain_art)
    before = [np.load(path) for path in shards]
    shards[1].unlink()
    new: list[int] = []
    again = render(tmp_path, 12, seed=3, workers=1, shard=5, progress=new.append, gather=plain_art)
    assert again == shards
    assert new == [5]
    assert all((np.load(path) == block).all() for path, block in zip(again, before, strict=True))
    assert [len(block) for block in before] == [5, 5, 2]


def test_pictures_are_one_whole_over_shards(shards: list[Path], pictures: Pictures) -> None:
    """Indices run over the taught scenes of all shards, and each has its own picture, scene and group."""
    lines = [
        json.loads(line) for path in shards for line in path.with_suffix(".jsonl").read_text().splitlines()
    ]
    pixels = np.concatenate([np.load(path) for path in shards])
    taught = [place for place, line in enumerate(lines) if shown(Scene(**line))]
    assert 32 < len(pictures) == len(taught) < PICTURES
    assert (pictures.pixels(np.arange(len(pictures))) == pixels[taught]).all()
    assert [pictures.scene(i) for i in range(len(pictures))] == [Scene(**lines[place]) for place in taught]
    members = {int(i): name for name, group in pictures.groups.items() for i in group}
    assert members == {i: pictures.scene(i).group for i in range(len(pictures))}


def test_captions_depend_on_the_generator_alone(pictures: Pictures) -> None:
    """The same generator state gives the same words; others come with another."""
    captions = [pictures.caption(0, Random(seed)) for seed in (*range(20), *range(20))]
    assert captions[:20] == captions[20:]
    assert len(set(captions)) > 1


def test_a_batch_holds_hard_negatives(pictures: Pictures) -> None:
    """Half of a batch comes from two groups of scenes."""
    batch = pictures.batch(16, np.random.default_rng(0))
    assert len(batch) == 16
    tail = {pictures.scene(int(i)).group for i in batch[8:]}
    assert len(tail) <= 2


def test_shifting_moves_whole_pictures_by_a_few_pixels() -> None:
    """Every shifted picture is some window of the padded one; not all windows are the same."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    moved = shifted(pixels, np.random.default_rng(1))
    assert moved.shape == pixels.shape
    inner = moved[:, 10:50, 10:50]
    offsets = {
        (y, x)
        for before, after in zip(pixels, inner, strict=True)
        for y in range(-3, 4)
        for x in range(-3, 4)
        if (before[10 + y : 50 + y, 10 + x : 50 + x] == after).all()
    }
    assert 1 < len(offsets) <= 8


def test_loss_without_shared_texts_is_that_of_clip() -> None:
    """With a text for every picture it is the mean of both cross-entropies."""
    logits, order = torch.randn(6, 6), torch.randperm(6)
    labels = torch.arange(6)
    expected = (
        functional.cross_entropy(logits[:, order], labels)
        + functional.cross_entropy(logits[:, order].T, labels)
    ) / 2
    assert contrastive(logits, order).item() == pytest.approx(expected.item(), rel=1e-5)


def test_loss_takes_pictures_of_the_same_text_as_equally_right() -> None:
    """A text that both pictures have costs nothing one way, and ln 2 the other."""
    logits = torch.zeros(2, 1)
    assert contrastive(logits, torch.tensor([0, 0])).item() == pytest.approx(np.log(2) / 2)


def test_learning_from_a_teacher_ends_when_both_agree() -> None:
    """Both distances are 0 for equals and above 0 otherwise."""
    rows = functional.normalize(torch.randn(5, 8), dim=-1)
    other = functional.normalize(torch.randn(5, 8), dim=-1)
    for distance in (nearness, imitation):
        assert distance(rows, rows).item() == pytest.approx(0, abs=1e-4)
        assert distance(other, rows).item() > 0.01


def test_training_lowers_the_loss(pictures: Pictures, vocabulary: Vocabulary, tmp_path: Path) -> None:
    """A dozen steps on one batch of pictures bring its loss down."""
    trainer = _trainer(replace(RECIPE, steps=100), pictures, vocabulary, tmp_path)
    batch = trainer._batch(0)
    trainer._batch = lambda step: batch  # type: ignore[method-assign]
    losses = [trainer._advance() for _ in range(14)]
    assert losses[-1] < 0.8 * losses[0]


def test_a_killed_training_ends_with_the_same_weights(
    pictures: Pictures, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    """Stopped after two of four steps and started anew, it exports the weights of an uninterrupted one."""
    whole = _trainer(RECIPE, pictures, vocabulary, tmp_path / "whole")
    whole.run()
    first = _trainer(RECIPE, pictures, vocabulary, tmp_path / "cut")
    first.model.train()
    for _ in range(2):
        first._advance()
    first.keep()
    second = _trainer(RECIPE, pictures, vocabulary, tmp_path / "cut")
    assert second.step == 2
    second.run()
    weights = [load_file(tmp_path / name / "RN-pico" / "average.safetensors") for name in ("whole", "cut")]
    for key, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][key], atol=1e-4, rtol=1e-3, msg=key)


def test_vit_learns_beside_its_teacher(pictures: Pictures, vocabulary: Vocabulary, tmp_path: Path) -> None:
    """A ViT takes over the teacher's text tower, trains its own image tower, and can be resumed."""
    _trainer(replace(RECIPE, steps=1), pictures, vocabulary, tmp_path).run()
    recipe = replace(
        RECIPE,
        name="ViT-pico",
        steps=2,
        patch_dropout=0.5,
        teacher=tmp_path / "RN-pico" / "average.safetensors",
    )
    vit = _trainer(recipe, pictures, vocabulary, tmp_path)
    vit.run()
    teacher = load_file(tmp_path / "RN-pico" / "average.safetensors")
    student = load_file(tmp_path / "ViT-pico" / "average.safetensors")
    assert torch.equal(student["text_projection"], teacher["text_projection"])
    again = _trainer(replace(recipe, steps=3), pictures, vocabulary, tmp_path)
    again.run()
    assert again.step == 3


def test_a_text_tower_is_trained_for_a_locked_image_tower(
    pictures: Pictures, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    """The image tower stays to the bit, the loss falls, and a killed training ends with the same weights."""
    tower = save_tower(tmp_path)
    recipe = replace(RECIPE, name="ViT-pico", steps=30, image_tower=tower)

    def trainer(name: str) -> TextTrainer:
        folder = tmp_path / name
        return TextTrainer(recipe, pictures, pictures, vocabulary, folder / "state", folder / "export")

    whole = trainer("whole")
    fresh = whole.model.text_projection.detach().clone()
    losses = [whole._advance() for _ in range(30)]
    whole.keep()
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    cut = trainer("cut")
    for _ in range(2):
        cut._advance()
    cut.keep()
    again = trainer("cut")
    assert again.step == 2
    again.run()
    files = [load_file(tmp_path / name / "state" / "average.safetensors") for name in ("whole", "cut")]
    for key, value in files[0].items():
        torch.testing.assert_close(value, files[1][key], atol=1e-4, rtol=1e-3, msg=key)
    given = load_file(tower)
    assert not torch.equal(files[0]["text_projection"], fresh)
    for key, value in given.items():
        if key.startswith("visual."):
            assert torch.equal(files[0][key], value.float()), key


def save_tower(folder: Path) -> Path:
    """Write a fresh ViT-pico."""
    torch.manual_seed(7)
    path = folder / "tower.safetensors"
    save_file({key: value.contiguous() for key, value in build("ViT-pico").state_dict().items()}, path)
    return path


def one_step(
    tower: Path, pictures: Pictures, vocabulary: Vocabulary, folder: Path
) -> tuple[Recipe, Pictures, Pictures, Vocabulary, Path, Path]:
    """What a text tower of ViT-pico is trained with, for one step."""
    recipe = replace(RECIPE, name="ViT-pico", steps=1, image_tower=tower)
    return recipe, pictures, pictures, vocabulary, folder / "state", folder / "export"


def test_a_text_tower_is_not_resumed_for_another_image_tower(
    pictures: Pictures, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    """Another model's image tower, none, and another one than before: each is an error."""
    tower = save_tower(tmp_path)
    given = one_step(tower, pictures, vocabulary, tmp_path)
    TextTrainer(*given).run()
    moved = {key: value + 1 for key, value in load_file(tower).items()}
    save_file(moved, tower)
    with pytest.raises(ValueError, match="another image tower; remove it"):
        TextTrainer(*given)
    given = *given[:4], tmp_path / "new", tmp_path / "export"
    save_file({key: value for key, value in moved.items() if "conv1" not in key}, tower)
    with pytest.raises(ValueError, match="not one of ViT-pico"):
        TextTrainer(*given)
    save_file({"text_projection": moved["text_projection"]}, tower)
    with pytest.raises(ValueError, match="holds no image tower"):
        TextTrainer(*given)


def test_features_of_another_image_tower_are_not_taken(
    pictures: Pictures, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    """Begun anew in the same folder with another image tower, a training looks at its pictures anew."""
    tower = save_tower(tmp_path)
    given = one_step(tower, pictures, vocabulary, tmp_path)
    first = TextTrainer(*given)
    assert np.array_equal(TextTrainer(*given)._features, first._features)
    weights = load_file(tower)
    save_file(weights | {"visual.proj": weights["visual.proj"].flip(1).contiguous()}, tower)
    other = TextTrainer(*given)
    np.testing.assert_allclose(other._features, first._features[..., ::-1], atol=2e-3)
    assert not np.allclose(other._features, first._features, atol=2e-3)


def test_state_of_other_pictures_is_refused(
    pictures: Pictures, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    """A state with another vocabulary is not resumed; the error says what to do."""
    _trainer(replace(RECIPE, steps=1), pictures, vocabulary, tmp_path).run()
    fewer = Vocabulary(vocabulary.known[:-1])
    with pytest.raises(ValueError, match="other pictures; remove it"):
        _trainer(RECIPE, pictures, fewer, tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [["--images", "0"], ["--model", "RN-nano"], ["--minutes", "-1"], ["--image-tower", "no.safetensors"]],
)
def test_wrong_options_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong option is named, and nothing is started."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_log_follows_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged after the command goes to what standard error is by then."""
    earlier, later = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", earlier)
    try:
        with pytest.raises(SystemExit):
            main(["--images", "0"])
        earlier.close()
        monkeypatch.setattr(sys, "stderr", later)
        structlog.get_logger().info("training.saved")
    finally:
        structlog.reset_defaults()
    assert "training.saved" in later.getvalue()
