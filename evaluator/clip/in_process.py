"""Open a CLIP evaluator in this process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ..datasets.checks import shots_hash
from ..datasets.hand_made import for_dataset
from ..datasets.loading import load_data, toy_model_notes
from ..datasets.values import FewShotData, Item
from ..files import cache_dir, seen_files
from ..pico.models import TOY_MODEL
from ..scoring import EvaluatorInfo
from ..spec import EvaluatorSpec, OpeningProgress, Report
from .images import RECIPE, Features, ImageEncoder
from .models import LoadedModel, best_dtype, load_model, parse_devices
from .open_clip_evaluator import OpenClipEvaluator
from .texts.text_encoder import Encoder, ReplicatedEncoder, TextEncoder
from .zero_shot import Labelled, classifier, decide

RESIDENT_BYTES = 2**30


def open_in_process(
    spec: EvaluatorSpec, report: Report, progress: OpeningProgress, *, look_ahead: bool = False
) -> tuple[OpenClipEvaluator, str]:
    """Open an evaluator in this process; see ``open_evaluator``. Also return its model's content hash."""
    devices = parse_devices(spec.device)
    data = load_data(spec)
    for note in (*data.chosen, *data.notes, *toy_model_notes(spec)):
        report(note)
    models = [load_model(spec.model, spec.pretrained, device, report=report) for device in devices]
    images = image_encoder(spec, models[0], report, progress)
    train_features, train = labelled(images, data.train, data)
    val_features, val = labelled(images, data.val, data)
    count = spec.augmentations_for(len(data.train) + len(data.val))
    views = augmented(images, (train, val), count)
    ahead = images.features(data.test.paths) if look_ahead else None
    encoder = build_encoder(spec, models, data.classes, report)
    notes = _notes(spec, encoder, models, data, train, report)

    def open_test() -> Labelled:
        return labelled(images, data.test.open(), data, ahead)[1]

    return OpenClipEvaluator(
        info=_info(spec, data, models[0], [train_features, val_features], ahead, notes, count),
        encoder=encoder,
        class_names=data.classes,
        train=_resident(train, devices[0]),
        val=_resident(val, devices[0]),
        views=_resident(views, devices[0]),
        open_test=open_test,
        objective=spec.objective,
        logit_scale=models[0].logit_scale,
    ), models[0].key


def image_encoder(
    spec: EvaluatorSpec, loaded: LoadedModel, report: Report, progress: OpeningProgress
) -> ImageEncoder:
    """Return the image encoder of a specification for a loaded model."""
    return ImageEncoder(
        loaded=loaded,
        folder=(spec.cache_dir or cache_dir()) / "features",
        batch=spec.image_batch,
        workers=spec.workers,
        on_bad_image=spec.on_bad_image,
        seen=seen_files(spec.cache_dir),
        report=report,
        progress=progress,
    )


def labelled(
    images: ImageEncoder, items: Sequence[Item], data: FewShotData, ahead: Features | None = None
) -> tuple[Features | None, Labelled]:
    """Return features (``ahead`` if given, None for an empty split) and labels of a split."""
    if not items:
        return None, Labelled.empty(len(data.classes))
    features = ahead or images.features([item.path for item in items])
    kept = [items[index] for index in features.kept]
    labels = torch.tensor([item.label for item in kept])
    paths = tuple(item.path for item in kept)
    return features, Labelled(
        features.vectors, labels, len(data.classes), features.bad, paths, features.images
    )


def augmented(images: ImageEncoder, splits: Sequence[Labelled], count: int) -> Labelled:
    """Return features and labels of ``count`` augmented copies of each image of some splits."""
    classes, some = splits[0].classes, [split for split in splits if len(split) and count]
    if not some:
        return Labelled.empty(classes)
    found = [images.features(split.paths, count) for split in some]
    labels = [split.labels[list(features.kept)] for split, features in zip(some, found, strict=True)]
    return Labelled(torch.cat([features.vectors for features in found]), torch.cat(labels), classes)


def _resident(split: Labelled, device: torch.device) -> Labelled:
    if device.type == "cpu" or split.features.nbytes > RESIDENT_BYTES:
        return split
    return replace(split, features=split.features.to(device))


def build_encoder(
    spec: EvaluatorSpec, models: Sequence[LoadedModel], names: Sequence[str], report: Report
) -> Encoder:
    """Return the text encoder of a specification, with one replica per model."""
    replicas = [
        TextEncoder(
            loaded.model,
            loaded.tokenizer,
            names,
            loaded.context_length,
            dtype=_dtype(spec, loaded),
            max_rows=spec.text_rows,
            report=report,
        )
        for loaded in models
    ]
    return replicas[0] if len(replicas) == 1 else ReplicatedEncoder(replicas)


def _dtype(spec: EvaluatorSpec, loaded: LoadedModel) -> torch.dtype:
    return torch.float32 if spec.precision == "fp32" else best_dtype(loaded.device)


def _notes(
    spec: EvaluatorSpec,
    encoder: Encoder,
    models: Sequence[LoadedModel],
    data: FewShotData,
    train: Labelled,
    report: Report,
) -> dict[str, Any]:
    notes: dict[str, Any] = {
        "texts": encoder.statistics().path,
        "device": ", ".join(str(loaded.device) for loaded in models),
    }
    if data.notes:
        notes["data"] = list(data.notes)
    for line in toy_model_notes(spec):
        notes[TOY_MODEL] = line
    if models[0].corrections:
        notes["model"] = list(models[0].corrections)
    dtype = _dtype(spec, models[0])
    if dtype == torch.float32:
        return notes
    full = TextEncoder(models[0].model, models[0].tokenizer, data.classes, models[0].context_length)
    firsts = dict.fromkeys(templates[0] for templates in for_dataset(data.name).values())
    templates = [template for template in firsts if full.check(template) is None][:8]
    changed = sum(
        int((_decide(encoder, template, train) != _decide(full, template, train)).sum())
        for template in templates
    )
    report(f"precision: {dtype} turns {changed} of {len(train) * len(templates)} decisions on train")
    notes["precision"] = {
        "type": str(dtype).removeprefix("torch."),
        "decisions": len(train) * len(templates),
        "differ_from_fp32": changed,
        "templates": templates,
    }
    return notes


def _decide(encoder: Encoder, template: str, split: Labelled) -> torch.Tensor:
    with torch.inference_mode():
        return decide(split, classifier(encoder.vectors([template])))


def _info(
    spec: EvaluatorSpec,
    data: FewShotData,
    loaded: LoadedModel,
    features: Sequence[Features | None],
    ahead: Features | None,
    notes: dict[str, Any],
    views: int,
) -> EvaluatorInfo:
    precision = str(_dtype(spec, loaded)).removeprefix("torch.").replace("float32", "fp32")
    sizes = [0 if one is None else len(one.kept) for one in features]
    hashes = [None if one is None else one.images for one in features]
    fingerprint = _fingerprint(data, loaded, features, precision, views)
    return EvaluatorInfo(
        dataset=data.name,
        classes=len(data.classes),
        class_names=tuple(data.classes),
        shots=data.shots,
        seed=data.seed,
        sizes={"train": sizes[0], "val": sizes[1], "test": len(ahead.kept) if ahead else data.test.size},
        model=spec.model,
        pretrained=spec.pretrained,
        fingerprint=fingerprint,
        baselines=for_dataset(data.name),
        precision=precision,
        notes=notes,
        cheap=True,
        views=views,
        files=data.files,
        content={"shots": shots_hash(data, *hashes), "weights": loaded.weights},
    )


def _fingerprint(
    data: FewShotData, loaded: LoadedModel, features: Sequence[Features | None], precision: str, views: int
) -> str:
    identity = repr(
        (
            [None if one is None else one.images for one in features],
            [None if one is None else one.kept for one in features],
            [item.label for item in (*data.train, *data.val)],
            data.classes,
            data.test.size,
            loaded.key,
            loaded.preprocessing,
            precision,
            *((f"{views} views, recipe {RECIPE}",) if views else ()),
        )
    )
    return hashlib.sha256(identity.encode()).hexdigest()
