"""Open a CLIP in this process: as an evaluator, or as a classifier of any images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from ..datasets.checks import check_readable, shots_hash
from ..datasets.hand_made import for_dataset
from ..datasets.loading import toy_model_notes
from ..datasets.values import FewShotData, Item
from ..errors import DataError, ModelError, UsageError
from ..files import cache_dir, seen_files
from ..pico.models import TOY_MODEL
from ..scoring import CHOSEN, EvaluatorInfo
from ..spec import EvaluatorSpec, OpeningProgress, Report
from ..tally import likeliest
from .images import RECIPE, Features, ImageEncoder, Source
from .models import LoadedModel, ModelFacts, best_dtype, known_model, load_model, parse_devices
from .open_clip_evaluator import KeptTexts, OpenClipEvaluator
from .text_encoder import TextEncoder
from .zero_shot import SCALE, Labelled, classifier, decide, products

if TYPE_CHECKING:
    from ..head import Head, Likeness

RESIDENT_BYTES = 2**30


def open_in_process(
    spec: EvaluatorSpec,
    data: FewShotData,
    report: Report,
    progress: OpeningProgress,
    *,
    look_ahead: bool = False,
    encode: bool = True,
    lazily: bool = False,
) -> tuple[OpenClipEvaluator, str]:
    """Open an evaluator in this process; see ``open_evaluator``. Also return its model's content hash."""
    devices = parse_devices(spec.device)
    for note in (*data.chosen, *data.notes, *toy_model_notes(spec)):
        report(note)
    lazily = lazily and len(devices) == 1 and spec.precision == "fp32"
    model = spec.model, spec.pretrained
    loaded = [] if lazily else [load_model(*model, device, report=report) for device in devices]
    facts, load = (
        known_model(*model, devices[0], seen_files(spec.cache_dir), report)
        if lazily
        else (loaded[0], lambda: loaded[0])
    )
    copies = spec.augmentations_for(len(data.train) + len(data.val))
    size = (len(data.train) + len(data.val)) * (1 + copies) + (data.test.size if look_ahead else 0)
    images = image_encoder(spec, facts, load, report, _added_up(progress, size, with_copies=copies > 0))
    if not encode:
        for note in check_readable((*data.train, *data.val), skip=spec.on_bad_image == "skip"):
            report(note)
    splits = {"train": data.train, "val": data.val}
    train, val = (labelled(images, split, items if encode else (), data) for split, items in splits.items())
    augmented = _augmented(images, (train, val), copies)
    ahead = images.features(data.test.paths, kind="images of test") if look_ahead and data.test.size else None

    def open_encoder() -> TextEncoder:
        return build_encoder(spec, loaded or [load()], data.classes, report)

    encoder = open_encoder if lazily else open_encoder()
    notes: dict[str, Any] = {CHOSEN: list(data.chosen)} if data.chosen else {}
    if not callable(encoder):
        notes = _notes(spec, encoder, loaded, data, train, report)

    def open_test() -> Labelled:
        counted_anew = replace(images, progress=_added_up(progress, data.test.size, with_copies=False))
        return labelled(counted_anew, "test", data.test.open(), data, ahead)

    return OpenClipEvaluator(
        info=_info(spec, data, facts, devices[0], (train, val), ahead, notes, copies),
        encoder=encoder,
        class_names=data.classes,
        train=_resident(train, devices[0]),
        val=_resident(val, devices[0]),
        augmented=_resident(augmented, devices[0]),
        open_test=open_test,
        objective=spec.objective,
        logit_scale=facts.logit_scale,
        kept=KeptTexts(images.folder, facts.key, data.classes, report) if lazily else None,
    ), facts.key


def _added_up(progress: OpeningProgress, size: int, *, with_copies: bool) -> Callable[[int], None]:
    """Return a function that adds up how many more of ``size`` images are encoded, and reports the sum."""
    done = 0

    def encoded(images: int) -> None:
        nonlocal done
        done += images
        progress(done, max(done, size), with_copies)

    return encoded


def image_encoder(
    spec: EvaluatorSpec,
    facts: ModelFacts,
    load: Callable[[], LoadedModel],
    report: Report,
    progress: Callable[[int], None],
) -> ImageEncoder:
    """Return the image encoder of a specification for a model, which is loaded where it is needed."""
    return ImageEncoder(
        facts=facts,
        load=load,
        folder=(spec.cache_dir or cache_dir()) / "features",
        workers=spec.workers,
        on_bad_image=spec.on_bad_image,
        seen=seen_files(spec.cache_dir),
        report=report,
        progress=progress,
    )


def labelled(
    images: ImageEncoder, split: str, items: Sequence[Item], data: FewShotData, ahead: Features | None = None
) -> Labelled:
    """Return features (``ahead`` if given) and labels of a split."""
    if not items:
        return Labelled.empty(len(data.classes))
    features = ahead or images.features([item.path for item in items], kind=f"images of {split}")
    readable = [items[index] for index in features.kept]
    labels = torch.tensor([item.label for item in readable])
    paths = tuple(item.path for item in readable)
    return Labelled(
        features.vectors, labels, len(data.classes), features.bad, paths, features.images, features.kept
    )


def _augmented(images: ImageEncoder, splits: Sequence[Labelled], copies: int) -> Labelled:
    """Return features and labels of ``copies`` augmented copies of each image."""
    classes = splits[0].classes
    copied = [(split, images.features(split.paths, copies)) for split in splits if len(split) and copies]
    if not copied:
        return Labelled.empty(classes)
    labels = [split.labels[list(features.kept)] for split, features in copied]
    return Labelled(torch.cat([features.vectors for _, features in copied]), torch.cat(labels), classes)


def _resident(split: Labelled, device: torch.device) -> Labelled:
    if device.type == "cpu" or split.features.nbytes > RESIDENT_BYTES:
        return split
    return replace(split, features=split.features.to(device))


def build_encoder(
    spec: EvaluatorSpec, models: Sequence[LoadedModel], names: Sequence[str], report: Report
) -> TextEncoder:
    """Return the text encoder of a specification, with a replica for each model but the first."""
    encoder, *replicas = [
        TextEncoder(
            loaded.model,
            loaded.tokenizer,
            names,
            loaded.context_length,
            dtype=_dtype(spec, loaded.device),
            report=report,
        )
        for loaded in models
    ]
    encoder.replicas = replicas
    return encoder


def _dtype(spec: EvaluatorSpec, device: torch.device) -> torch.dtype:
    return torch.float32 if spec.precision == "fp32" else best_dtype(device)


def _notes(
    spec: EvaluatorSpec,
    encoder: TextEncoder,
    models: Sequence[LoadedModel],
    data: FewShotData,
    train: Labelled,
    report: Report,
) -> dict[str, Any]:
    notes: dict[str, Any] = {
        "texts": encoder.path,
        "device": ", ".join(str(loaded.device) for loaded in models),
    }
    if data.chosen:
        notes[CHOSEN] = list(data.chosen)
    if data.notes:
        notes["data"] = list(data.notes)
    for line in toy_model_notes(spec):
        notes[TOY_MODEL] = line
    if models[0].corrections:
        notes["model"] = list(models[0].corrections)
    dtype = _dtype(spec, models[0].device)
    if dtype == torch.float32 or not len(train):
        return notes
    # How many decisions on the training images does the lower precision change?
    full = TextEncoder(models[0].model, models[0].tokenizer, data.classes, models[0].context_length)
    firsts = dict.fromkeys(templates[0] for templates in for_dataset(data.name).values())
    templates = [template for template in firsts if full.check(template) is None][:8]
    changed = 0
    for template in templates:
        with torch.inference_mode():
            low, high = (
                decide(train, classifier(text_encoder.vectors([template])))
                for text_encoder in (encoder, full)
            )
        changed += int((low != high).sum())
    report(f"precision: {dtype} turns {changed} of {len(train) * len(templates)} decisions on train")
    notes["precision"] = {
        "type": str(dtype).removeprefix("torch."),
        "decisions": len(train) * len(templates),
        "differ_from_fp32": changed,
        "templates": templates,
    }
    return notes


def _info(
    spec: EvaluatorSpec,
    data: FewShotData,
    facts: ModelFacts,
    device: torch.device,
    splits: Sequence[Labelled],
    ahead: Features | None,
    notes: dict[str, Any],
    copies: int,
) -> EvaluatorInfo:
    """Describe an evaluator; ``splits`` are train and val."""
    precision = str(_dtype(spec, device)).removeprefix("torch.").replace("float32", "fp32")
    images_of_rows = [split.kept if split.image_set else None for split in splits]
    drawn = (data.train, data.val)
    sizes = [len(items if rows is None else rows) for rows, items in zip(images_of_rows, drawn, strict=True)]
    hashes = [split.image_set or None for split in splits]
    # Everything that decides a score.
    identity = repr(
        (
            hashes,
            images_of_rows,
            [item.label for item in (*data.train, *data.val)],
            data.classes,
            data.test.size,
            facts.key,
            facts.preprocessing,
            precision,
            *((f"{copies} views, recipe {RECIPE}",) if copies else ()),
        )
    )
    return EvaluatorInfo(
        dataset=data.name,
        classes=len(data.classes),
        class_names=tuple(data.classes),
        shots=data.shots,
        seed=data.seed,
        sizes={"train": sizes[0], "val": sizes[1], "test": len(ahead.kept) if ahead else data.test.size},
        model=spec.model,
        pretrained=spec.pretrained,
        fingerprint=hashlib.sha256(identity.encode()).hexdigest(),
        baselines=for_dataset(data.name),
        precision=precision,
        notes=notes,
        cheap=True,
        copies=copies,
        files=data.files,
        labelled_files=data.labelled_files,
        content={"shots": shots_hash(data, *hashes), "weights": facts.weights},
    )


class ImageClassifier:
    """Classifies image files with a loaded model by one vector for each class, [C, E], and likeness."""

    def __init__(
        self,
        spec: EvaluatorSpec,
        loaded: LoadedModel,
        vectors: Tensor,
        scale: float,
        report: Report,
        likeness: Likeness | None = None,
    ) -> None:
        self._loaded, self._vectors, self._scale = loaded, vectors.float(), scale
        self._likeness = likeness
        self._images = image_encoder(spec, loaded, lambda: loaded, report, lambda *_given: None)

    @classmethod
    def of_texts(
        cls, spec: EvaluatorSpec, class_names: Sequence[str], templates: Sequence[str], report: Report
    ) -> Self:
        """Open a model whose classes are the averaged text embeddings of an ensemble.

        Raises:
            ModelError: The model, its checkpoint or the device cannot be used.
            UsageError: A template cannot be read by this model.
        """
        loaded = load_model(spec.model, spec.pretrained, parse_devices(spec.device)[0], report=report)
        encoder = build_encoder(spec, [loaded], class_names, report)
        for template in templates:
            if (rejection := encoder.check(template)) is not None:
                raise UsageError(f"{template!r} cannot be used with this model: {rejection.message}")
        with torch.inference_mode():
            vectors = classifier(encoder.vectors(list(templates)))
        return cls(spec, loaded, vectors, loaded.logit_scale, report)

    @classmethod
    def of_head(cls, spec: EvaluatorSpec, head: Head, *, scale: float, weights: str, report: Report) -> Self:
        """Open the model that a classifier was made for.

        Args:
            spec: Names the model.
            head: What decides.
            scale: Turns products into logits.
            weights: Content hash of the weights that they were made for; empty if unknown.
            report: Called with lines about the model.

        Raises:
            ModelError: The model, its checkpoint or the device cannot be used, or has other weights.
        """
        loaded = load_model(spec.model, spec.pretrained, parse_devices(spec.device)[0], report=report)
        if not weights:
            report(f"warning: the classifier does not say which weights of {spec.model} it was made for")
        elif loaded.weights != weights:  # its features would be others, and its classes wrong
            raise ModelError(
                f"{spec.pretrained} has other weights than those that the classifier was made for; use those "
                f"weights, or search again with {spec.pretrained}"
            )
        vectors = torch.from_numpy(head.vectors).to(loaded.device)
        return cls(spec, loaded, vectors, scale, report, head.likeness)

    @property
    def weights(self) -> str:
        return self._loaded.weights

    def decide(
        self, paths: Iterable[Source], top: int
    ) -> Iterator[tuple[Source, list[int], list[float], DataError | None]]:
        """Yield each image's ``top`` labels, most likely first, with probabilities, or what is wrong with it.

        Probabilities are the softmax of the logits over all classes.
        """
        for images, features in self._images.batches(paths):
            rows = iter(zip(*self._best(features, top), strict=True)) if len(features) else iter(())
            for path, error in images:
                labels, probabilities = ([], []) if error is not None else next(rows)
                yield path, labels, probabilities, error

    def _best(self, features: torch.Tensor, top: int) -> tuple[list[list[int]], list[list[float]]]:
        if features.shape[1] != self._vectors.shape[1]:
            raise ModelError(
                f"the model's features have {features.shape[1]} numbers and the classifier's vectors "
                f"{self._vectors.shape[1]}: it was made for another model"
            )
        with torch.inference_mode():
            logits = products(features, self._vectors, self._likeness)
        labels, probabilities = likeliest(logits.cpu().numpy(), self._scale / SCALE, top)
        return labels.tolist(), probabilities.tolist()
