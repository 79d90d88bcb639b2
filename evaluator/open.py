"""Open the evaluator of a specification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .counts import counted
from .custom import as_evaluator, open_custom
from .errors import EvaluatorError
from .scoring import Evaluator, EvaluatorInfo
from .spec import EvaluatorSpec, OpeningProgress, Report

if TYPE_CHECKING:
    from pathlib import Path

    from .datasets.values import FewShotData
    from .remote.asking import ApiAsk


def open_evaluator(
    spec: EvaluatorSpec,
    custom: object | None = None,
    *,
    report: Report | None = None,
    progress: OpeningProgress | None = None,
    look_ahead: bool = False,
    encode: bool = True,
    needs_train: bool = True,
    lazily: bool = False,
    ask: ApiAsk | None = None,
    labels: Path | None = None,
) -> Evaluator:
    """Return the evaluator of a specification. Blocks, so call it in a thread; imports torch only here.

    For CLIP, load data and model and encode uncached images; for a custom scorer, call its factory. A model
    behind an API needs no torch.

    Args:
        spec: What to open; a search's config is one.
        custom: The user's own scorer, in place of what the specification names.
        report: Called with a line for each fact (data, model, corrections, what is left out), once.
        progress: Called after each batch with the number of images encoded and of all, and whether these
            count copies.
        look_ahead: Encode the test images now, without their labels, so that torn ones are found before a
            search is paid for; otherwise ``examine`` opens them.
        encode: False for a dry run of a CLIP: few-shot images are checked and not encoded. The evaluator then
            has its ``info`` and cannot score.
        needs_train: Whether data with test images alone are refused.
        lazily: Load a CLIP only when an image or a text is to be encoded whose features are not kept.
        ask: Gets requests to a model behind an API answered; needed for such a scorer.
        labels: The file that keeps what it answered, shared by threads and processes; None for memory only.

    Raises:
        ConfigError: The custom scorer cannot be opened, or the endpoint takes no known form of embeddings.
        EvaluatorError: There is no ``ask`` for a model behind an API.
        DataError: The data set cannot be used.
        ModelError: The model, its checkpoint, the device or the cluster cannot be used.
    """
    if custom is not None:
        return as_evaluator(custom, spec)
    report, progress = _once(report or (lambda _line: None)), progress or (lambda *_given: None)
    spec = spec.bare()
    if spec.custom_scorer is not None:
        return open_custom(spec.custom_scorer, spec)
    if spec.scorer != "clip":
        if ask is None:
            raise EvaluatorError(f"the scorer {spec.scorer} needs an `ask` that gets its requests answered")
        from .remote.opening import open_remote

        return open_remote(spec, ask, labels, report, look_ahead=look_ahead, needs_train=needs_train)
    from .datasets.loading import load_data

    # Before torch is imported, which takes longer than to find what is wrong with data.
    data = load_data(spec, needs_train=needs_train)
    images = f"{len(data.train):,} training, {len(data.val):,} validation and {data.test.size:,} test images"
    classes = counted(len(data.classes), "class", "classes")
    report(f"data: {data.name}, {classes}, {images}; opening the model {spec.model} ...")
    from .clip.in_process import open_in_process

    lazily = lazily and spec.ray is None
    local, model_key = open_in_process(
        spec, data, report, progress, look_ahead=look_ahead, encode=encode, lazily=lazily
    )
    if spec.ray is None:
        return local
    from .clip.ray_cluster import ClusterEvaluator

    return ClusterEvaluator(local, model_key, spec, report=report)


def _once(report: Report) -> Report:
    """Return a report that passes each line on once: loading and encoding both find torn test images."""
    lines = set[str]()

    def report_once(line: str) -> None:
        if line not in lines:
            lines.add(line)
            report(line)

    return report_once


def check_openable(specs: Sequence[EvaluatorSpec]) -> list[FewShotData]:
    """Check cheaply that evaluators can be opened later; return the data sets of all but custom scorers.

    Decodes few-shot images and looks for models; loads no weights, encodes nothing, runs no user code, and
    asks no endpoint.

    Raises:
        DataError: A data set cannot be used.
        ModelError: There is no such model, tag, file or device.
    """
    ours = [spec for spec in specs if spec.custom_scorer is None]
    if not ours:
        return []
    from .datasets.checks import check_readable
    from .datasets.loading import load_data

    loaded = []
    for spec in ours:
        loaded.append(data := load_data(spec))
        list(check_readable((*data.train, *data.val), skip=spec.on_bad_image == "skip"))
    if clips := [spec for spec in ours if spec.is_clip]:
        from .clip.model_files import check_named
        from .clip.models import parse_devices

        for model, pretrained in dict.fromkeys((spec.model, spec.pretrained) for spec in clips):
            check_named(model, pretrained)
        for device in dict.fromkeys(spec.device for spec in clips):
            parse_devices(device)
    return loaded


def describe_data(spec: EvaluatorSpec, report: Report) -> EvaluatorInfo:
    """Describe a CLIP's data without its weights: for a dry run, since the fingerprint is empty.

    ``report`` is called with a line for each fact.

    Raises:
        DataError: The data set cannot be used.
        ModelError: There is no such model, tag or device.
    """
    (data,) = check_openable([spec])
    for note in (*data.chosen, *data.notes):
        report(note)
    return EvaluatorInfo(
        dataset=data.name,
        classes=len(data.classes),
        class_names=tuple(data.classes),
        shots=data.shots,
        seed=data.seed,
        sizes={"train": len(data.train), "val": len(data.val), "test": data.test.size},
        model=spec.model,
        pretrained=spec.pretrained,
        fingerprint="",
        cheap=True,
    )


def missing_files(spec: EvaluatorSpec) -> tuple[str, ...]:
    """Return the data set and the weights of a specification that are downloaded when first needed."""
    if spec.custom_scorer is not None:
        return ()
    from .clip.model_files import HUB, must_download
    from .datasets.loading import data_root_or_default
    from .datasets.readers.torchvision_sets import to_download

    scheme, _colon, name = spec.data.partition(":")
    missing = []
    if scheme == "torchvision" and to_download(name, data_root_or_default(spec.data_root)):
        missing.append(spec.data)
    if spec.is_clip and must_download(spec.model, spec.pretrained):
        missing.append(spec.model if spec.model.startswith(HUB) else f"{spec.model} ({spec.pretrained})")
    return tuple(missing)
