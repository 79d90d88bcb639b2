"""Open a scorer behind an API: read the data, find the labels on disk, and choose the protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..counts import enumerated
from ..datasets.checks import image_set_hash, note_on_unusable, shots_hash
from ..datasets.hand_made import for_dataset
from ..datasets.loading import load_data
from ..datasets.values import FewShotData, Item
from ..errors import DataError
from ..files import seen_files
from ..scoring import BARE_NAME, BASELINE_DEFAULT, CHOSEN, DEFAULT_INSTRUCTION, EvaluatorInfo
from ..spec import EvaluatorSpec, Report
from .asking import ApiAsk
from .embeddings import EmbeddingsEvaluator
from .evaluator import ImageSet, RemoteEvaluator, RemoteProblem, label_parameters
from .image_by_image import ChatEvaluator, ZeroShotEvaluator
from .labels import LabelStore
from .pictures import RECIPE, PictureReader

MOST_BASELINE_TEXTS = 20_000
"""Most texts of one list of templates to compare with."""


def open_remote(
    spec: EvaluatorSpec,
    ask: ApiAsk,
    labels: Path | None,
    report: Report,
    *,
    look_ahead: bool = False,
    needs_train: bool = True,
) -> RemoteEvaluator:
    """Return the evaluator of a scorer behind an API; see ``open_evaluator``.

    Asks for nothing.
    """
    data = load_data(spec, needs_train=needs_train)
    for note in (*data.chosen, *data.notes):
        report(note)
    pictures = PictureReader(spec.scorer_image_size, seen_files(spec.cache_dir))
    train, val = (_images(spec, pictures, name, getattr(data, name), report) for name in ("train", "val"))
    ahead = _images(spec, pictures, "test", data.test.open(), report) if look_ahead else None

    def open_test() -> ImageSet:
        return ahead or _images(spec, pictures, "test", data.test.open(), report)

    info = _info(spec, data, train, val, len(ahead) if ahead else data.test.size)
    return _of_protocol(spec, info, ask, labels, pictures, train=train, val=val, open_test=open_test)


def open_unlabelled(
    spec: EvaluatorSpec, class_names: Sequence[str], ask: ApiAsk, labels: Path | None
) -> RemoteEvaluator:
    """Return an evaluator without images of its own, for ``RemoteEvaluator.classify`` on ``unlabelled`` ones.

    Asks for nothing until then.
    """
    info = EvaluatorInfo(
        dataset="images",
        classes=len(class_names),
        class_names=tuple(class_names),
        shots=0,
        seed=spec.seed,
        sizes={},
        model=spec.model,
        pretrained="",
        fingerprint="",
        notes={"scorer": spec.scorer},
    )
    pictures = PictureReader(spec.scorer_image_size, seen_files(spec.cache_dir))
    return _of_protocol(spec, info, ask, labels, pictures)


def unlabelled(evaluator: RemoteEvaluator, paths: Sequence[Path]) -> ImageSet:
    """Return readable images without labels; they all count as of class 0."""
    pictures = evaluator.problem.pictures
    return ImageSet(
        split="train",
        paths=tuple(paths),
        labels=np.zeros(len(paths), dtype=np.int64),
        contents=tuple(map(pictures.content, pictures.digests(paths))),
    )


def _of_protocol(
    spec: EvaluatorSpec,
    info: EvaluatorInfo,
    ask: ApiAsk,
    labels: Path | None,
    pictures: PictureReader,
    **images: Any,
) -> RemoteEvaluator:
    store = LabelStore(labels)
    problem = RemoteProblem(spec=spec, info=info, ask=ask, store=store, pictures=pictures, **images)
    if spec.scorer == "chat":
        return ChatEvaluator(problem)
    return ZeroShotEvaluator(problem) if spec.scorer == "zero-shot" else EmbeddingsEvaluator(problem)


def _images(
    spec: EvaluatorSpec, pictures: PictureReader, split: str, items: Sequence[Item], report: Report
) -> ImageSet:
    complaints = list(zip(items, pictures.complaints([item.path for item in items]), strict=True))
    readable = [item for item, complaint in complaints if not complaint]
    if unusable := [(item.path, complaint) for item, complaint in complaints if complaint]:
        report(note_on_unusable(unusable, len(items), f"images of {split}", skip=spec.on_bad_image == "skip"))
        if not readable:
            raise DataError(f"none of the {len(items)} images can be read; the first: {unusable[0][1]}")
    digests = pictures.digests([item.path for item in readable])
    return ImageSet(
        split=split,
        paths=tuple(item.path for item in readable),
        labels=np.array([item.label for item in readable], dtype=np.int64),
        contents=tuple(map(pictures.content, digests)),
        left_out=tuple(complaint for _path, complaint in unusable),
        mark=image_set_hash(digests),
    )


def _info(spec: EvaluatorSpec, data: FewShotData, train: ImageSet, val: ImageSet, test: int) -> EvaluatorInfo:
    baselines = _baselines(spec, data)
    lists = () if spec.scorer == "chat" else for_dataset(data.name)
    left = [name for name in lists if name not in baselines]
    hashes = [images.mark if len(images) else None for images in (train, val)]
    model = hashlib.sha256(repr((spec.scorer, spec.model)).encode()).hexdigest()
    return EvaluatorInfo(
        dataset=data.name,
        classes=len(data.classes),
        class_names=tuple(data.classes),
        shots=data.shots,
        seed=data.seed,
        sizes={"train": len(train), "val": len(val), "test": test},
        model=spec.model,
        pretrained="",
        fingerprint=_fingerprint(spec, data, train, val),
        baselines=baselines,
        precision="",
        notes={
            "scorer": spec.scorer,
            **({CHOSEN: list(data.chosen)} if data.chosen else {}),
            **({"data": list(data.notes)} if data.notes else {}),
            **(
                {"hand_made": f"not measured, as it takes too many requests: {enumerated(left)}"}
                if left
                else {}
            ),
        },
        cheap=spec.scorer == "embeddings",
        paid=True,
        files=data.files,
        labelled_files=data.labelled_files,
        content={"shots": shots_hash(data, *hashes), "weights": model},
    )


def _fingerprint(spec: EvaluatorSpec, data: FewShotData, train: ImageSet, val: ImageSet) -> str:
    identity = repr(
        (
            spec.scorer,
            spec.model,
            sorted(label_parameters(spec).items()),
            (spec.scorer_image_size, RECIPE),
            # The order of the classes in an instruction follows from the seed.
            spec.seed if spec.scorer == "chat" else None,
            train.mark,
            val.mark,
            [*train.labels.tolist(), *val.labels.tolist()],
            data.classes,
            data.test.size,
        )
    )
    return hashlib.sha256(identity.encode()).hexdigest()


def _baselines(spec: EvaluatorSpec, data: FewShotData) -> dict[str, tuple[str, ...]]:
    """Return the candidates to compare with, as far as this scorer can measure them at a fair price."""
    if spec.scorer == "chat":
        return {BASELINE_DEFAULT: (DEFAULT_INSTRUCTION,)}
    baselines = for_dataset(data.name)
    if spec.scorer == "zero-shot":
        # It cannot average templates, and each template takes a request per test image.
        baselines.pop(BARE_NAME)
    most = 1 if spec.scorer == "zero-shot" else MOST_BASELINE_TEXTS // len(data.classes)
    return {name: templates for name, templates in baselines.items() if len(templates) <= most}
