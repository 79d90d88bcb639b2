"""Classify a folder of images without labels. Imports torch only when a model is opened."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from .classifier import Classifier
from .counts import counted
from .datasets.checks import OddImages, oddity_of
from .datasets.loading import toy_model_notes
from .datasets.readers.folders import named_kinds, walk
from .errors import DataError, UsageError
from .spec import EvaluatorSpec, Report


@dataclass(frozen=True, slots=True)
class PredictedImage:
    """The most likely classes of an image.

    Attributes:
        file: The image, relative to its folder.
        classes: Class names, the most likely first; empty if the image cannot be read.
        probabilities: Softmax over all classes, for each of ``classes``. Not calibrated. Empty for the
            scorers ``zero-shot`` and ``chat``, which give the class alone.
        error: What is wrong with the image or the answer; empty if nothing is.
        true_class: Its class in the data; None for an image without a label.
    """

    file: str
    classes: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    error: str = ""
    true_class: str | None = None

    def below(self, folder: Path) -> PredictedImage:
        """Return it with its path relative to a folder that it is in, also where ``error`` names it."""
        if not Path(self.file).is_relative_to(folder):
            return self
        file = os.fspath(Path(self.file).relative_to(folder))
        return replace(self, file=file, error=self.error.replace(self.file, file))


Decided: TypeAlias = tuple[Path, Sequence[int], Sequence[float], Exception | None]
"""An image, its labels and their probabilities, the most likely first, or why it has none."""


def check_images(path: Path) -> None:
    """Check that there is an image to classify, before a model is opened, which takes longer.

    Raises:
        DataError: There is no folder, or no image in it and below it.
    """
    if not path.exists():
        raise DataError(f"there is no folder or image {path}")
    if not (path.is_dir() or path.is_file()):
        raise DataError(f"{path} is neither a folder of images nor an image file")
    ignored, unread = Counter[str](), list[str]()
    if path.is_dir() and next(walk(path, ignored, lambda error: unread.append(str(error))), None) is None:
        why = "; ".join(filter(None, [named_kinds(ignored), *unread[:1]])) or "name another folder"
        raise DataError(f"there is no image in {path} or below it; {why}")


class ImagePredictor(ABC):
    """Classifies the images of folders.

    Attributes:
        class_names: By label.
        labelled: Real paths of the images by which it was made, as far as they are known.
    """

    spec: EvaluatorSpec
    class_names: tuple[str, ...]
    templates: tuple[str, ...]

    def __init__(
        self, spec: EvaluatorSpec, class_names: Sequence[str], templates: Sequence[str], report: Report
    ) -> None:
        if len(set(class_names)) < 2:
            raise UsageError("at least two different class names are needed to predict classes")
        self.spec, self.class_names, self.templates = spec, tuple(class_names), tuple(templates)
        self._report = report
        self.labelled: Container[str] = ()

    @abstractmethod
    def decide(self, images: Iterable[Path], top: int) -> Iterator[Decided]:
        """Yield the decision on each image, in order."""

    def predict(self, folder: Path, *, top: int = 1) -> Iterator[PredictedImage]:
        """Yield a prediction for each image in a folder and below it, or for one image, in order of names.

        Memory does not grow with the number of images. Hidden files are skipped.

        Raises:
            DataError: No image can be read.
        """
        ignored, odd, images_read, first = Counter[str](), OddImages(), 0, ""
        learned = 0
        images = walk(folder, ignored, lambda error: self._report(f"skipped: {error}"))
        root = folder if folder.is_dir() else folder.parent
        decided = self.decide(images if folder.is_dir() else [folder], top)
        for path, labels, probabilities, error in decided:
            image = PredictedImage(
                file=os.fspath(path),
                classes=tuple(self.class_names[label] for label in labels),
                probabilities=tuple(probabilities),
                error=str(error or ""),
            ).below(root)
            images_read, first = images_read + (error is None), first or image.error
            odd.add(path, oddity_of(path))
            learned += self.labelled != () and os.path.realpath(path) in self.labelled
            yield image
        if learned:
            self._report(
                f"note: {counted(learned, 'image is', 'images are')} among the labelled ones of the run: how "
                "well it classifies them says nothing about new images"
            )
        for note in odd.notes():
            self._report(f"note: {note}")
        if unread := named_kinds(ignored):
            self._report(f"skipped: {unread}")
        if first and not images_read:
            raise DataError(f"none of the images in {folder} can be classified; the first: {first}")


class FolderPredictor(ImagePredictor):
    """Classifies the images of folders with one model, class names and ensemble.

    Args:
        spec: Names the model, its precision and device; its data are not read.
        class_names: By label.
        templates: Each with a slot ``{}``; their text embeddings are averaged.
        report: Called with lines about the model, and folders that cannot be read.
        texts: Names in the templates' slots, by label; None for the class names.

    Raises:
        UsageError: The model, a template or the class names cannot be used.
    """

    def __init__(
        self,
        spec: EvaluatorSpec,
        class_names: Sequence[str],
        templates: Sequence[str],
        report: Report,
        *,
        texts: Sequence[str] | None = None,
    ) -> None:
        if not spec.is_clip:
            scorer = spec.custom_scorer or spec.model
            raise UsageError(f"{scorer} is {spec.scorer_name}; only a CLIP model predicts classes")
        if not templates:
            raise UsageError("there is no template to predict with")
        super().__init__(spec, class_names, templates, report)
        report(f"opening the model {spec.model} ...")
        from .clip.in_process import ImageClassifier

        self._classifier = ImageClassifier.of_texts(spec, texts or class_names, templates, report)
        _note_toy_model(spec, report)

    @property
    def weights(self) -> str:
        return self._classifier.weights

    def decide(self, images: Iterable[Path], top: int) -> Iterator[Decided]:
        return self._classifier.decide(images, top)


class SavedPredictor(ImagePredictor):
    """Classifies the images of folders with a classifier from a file.

    Args:
        classifier: The classifier; its model is opened when the first image is there.
        report: Called with lines about the model, and folders that cannot be read.
    """

    def __init__(self, classifier: Classifier, report: Report) -> None:
        about = classifier.about
        super().__init__(classifier.spec, about.classes, about.templates, report)
        self._classifier = classifier
        _note_toy_model(classifier.spec, report)

    def decide(self, images: Iterable[Path], top: int) -> Iterator[Decided]:
        yield from self._classifier.opened.decide(images, top)


def _note_toy_model(spec: EvaluatorSpec, report: Report) -> None:
    for note in toy_model_notes(spec.model_copy(update={"data": "images"})):
        report(note)
