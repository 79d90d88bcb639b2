"""What a search returns: a classifier of images, kept in one safetensors file.

An image belongs to the class whose vector has the largest product with the image's features, of length 1,
under the model that the file names; likeness to labelled images adds to it where that was learned. Torch is
imported when an image is classified.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import safetensors
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .datasets.class_names import check_name
from .errors import DataError, ModelError, UsageError, reason_of
from .files import LONGEST_PATH, check_ending, replace_file, user_path
from .head import Head, Likeness
from .messages import first_problem, shown
from .regular_files import irregular, open_regular
from .scoring import SCORER_DIALECT, SCORER_IMAGE_SIZE, Form
from .spec import EMBEDDING_DIALECTS, EvaluatorSpec, Report

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from .clip.in_process import ImageClassifier
    from .head import Features
    from .scoring import FeatureEvaluator

ImageOrPath: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray[Any, np.dtype[np.uint8]]"
ENDING = ".safetensors"
TENSOR, KEYS, VALUES, CHECK = "classifier", "keys", "values", "check"
LARGEST_SCALE, LARGEST_NUMBER, LARGEST_SHARPNESS = 1e4, 1e6, 1e6
"""Beyond them, logits of a received file might be no finite numbers."""


class About(BaseModel):
    """What the file says of its classifier.

    Attributes:
        classes: The user's own class names, by label.
        names_in_texts: The names in the templates' slots, by label.
        templates: Those whose texts it is, or started from.
        form: ``template``, ``texts`` or ``with_images``.
        images: Labelled images that it learned from.
        scorer: ``embeddings`` for a model behind an API; empty for a CLIP model.
        scorer_dialect: The form in which that model was asked; empty for a CLIP model, or if unknown.
        scorer_image_size: Longest side, in pixels, of the images that were sent; None likewise.
        model: The model's name, as open_clip or the API has it.
        pretrained: Tag or file of its weights.
        weights: Their content hash.
        scale: Turns products into logits for probabilities.
        sharpness: How fast likeness to labelled images falls with distance; 0 without likeness.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    classes: tuple[str, ...] = Field(min_length=2)
    names_in_texts: tuple[str, ...]
    templates: tuple[str, ...] = Field(min_length=1)
    form: Form
    images: int = Field(default=0, ge=0)
    scorer: str = ""
    scorer_dialect: str = ""
    scorer_image_size: int | None = Field(default=None, ge=16, le=8192)
    model: str = Field(max_length=LONGEST_PATH)
    pretrained: str = Field(max_length=LONGEST_PATH)
    weights: str
    scale: float = Field(gt=0, le=LARGEST_SCALE)
    sharpness: float = Field(default=0.0, ge=0, le=LARGEST_SHARPNESS)
    dataset: str = ""
    fingerprint: str = ""


@dataclass(frozen=True, repr=False)
class Classifier:
    """Classifies images with the model that it was made for.

    Attributes:
        head: What decides.
        about: Class names, model and where it comes from.
        device: Where the model computes: ``auto``, ``cpu``, ``cuda:0``, ...
        report: Called with lines about the model.
        file: Where it was read, if its model is the one that the file names; else None.
        check: What a model behind an API gave for one text, by which it is recognised: float32 [dimensions].
            None for a CLIP model, and in files of earlier versions.
    """

    head: Head
    about: About
    device: str = "auto"
    report: Report = lambda _line: None
    file: Path | None = None
    check: Features | None = None

    @classmethod
    def of(cls, features: FeatureEvaluator, head: Head, **about: Any) -> Self:
        """Return a classifier by an evaluator's features; ``about`` has what else the file says of it."""
        info = features.info
        return cls(
            head,
            About(
                sharpness=0.0 if head.likeness is None else head.likeness.sharpness,
                classes=info.class_names,
                scorer=str(info.notes.get("scorer", "")),
                scorer_dialect=str(info.notes.get(SCORER_DIALECT, "")),
                scorer_image_size=info.notes.get(SCORER_IMAGE_SIZE),
                model=info.model,
                pretrained=str(info.pretrained),
                weights=info.content.get("weights", ""),
                dataset=info.dataset,
                fingerprint=info.fingerprint,
                **about,
            ),
            check=getattr(features, "model_check", None),
        )

    def __repr__(self) -> str:
        about = self.about
        return f"<Classifier of {len(about.classes)} classes for {about.model} ({about.pretrained})>"

    def check_clip(self) -> None:
        """Raise UsageError unless its model is one that can be opened here."""
        if self.about.scorer:
            raise UsageError(
                f"this classifier needs image vectors of {self.about.model}, a model behind an API: use "
                "predict(..., run_dir=...) or the command `promptclimb predict`"
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The user's own class names, in the order of the columns of ``predict_proba``."""
        return self.about.classes

    def predict(self, images: Iterable[ImageOrPath]) -> list[str]:
        """Return the class name of each image.

        Args:
            images: Paths of files, Pillow images, or arrays of uint8 [height, width, 3].

        Raises:
            DataError: An image cannot be read.
            ModelError: The model cannot be used.
        """
        return [self.class_names[labels[0]] for labels, _ in self._decided(images, top=1)]

    def predict_proba(self, images: Iterable[ImageOrPath]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the probability of each class for each image: [images, classes]; see ``predict``."""
        import numpy as np

        decided = list(self._decided(images, top=len(self.class_names)))
        rows = np.zeros((len(decided), len(self.class_names)))
        for row, (labels, probabilities) in zip(rows, decided, strict=True):
            row[list(labels)] = probabilities
        return rows

    def save(self, file: str | os.PathLike[str]) -> Path:
        """Write the classifier into one file, which ``load`` reads without anything else; return its path.

        Raises:
            UsageError: It cannot be written, or its name has the ending of another format.
        """
        path = user_path(file, "file")
        check_ending(path, ENDING, str(path))
        try:
            if path.exists() and irregular(path) is not None:
                raise UsageError(f"{path} is {irregular(path)}; name a file")
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, self.to_bytes(), mode=0o644)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
        return path

    def to_bytes(self) -> bytes:
        """Return the content of the file; it is the same for equal classifiers."""
        import numpy as np
        from safetensors.numpy import save

        about = self.about.model_dump(mode="json")
        metadata = {
            name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for name, value in about.items()
        }
        tensors: dict[str, Features] = {TENSOR: self.head.vectors}
        likeness = self.head.likeness
        if likeness is not None:
            tensors |= {KEYS: likeness.keys, VALUES: likeness.values}
        if self.check is not None:
            tensors[CHECK] = self.check
        contiguous = {name: np.ascontiguousarray(rows, dtype=np.float32) for name, rows in tensors.items()}
        content = save(contiguous, metadata=metadata)
        # The library writes the metadata in another order each time.
        end = 8 + int.from_bytes(content[:8], "little")
        header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        return len(header).to_bytes(8, "little") + header + content[end:]

    @classmethod
    def load(cls, file: Path, *, device: str = "auto", report: Report = lambda _line: None) -> Self:
        """Read a classifier from a file.

        Raises:
            UsageError: It is not such a file.
        """
        if (what := irregular(file)) is not None:
            raise UsageError(f"{file} is {what}; name a file that holds a classifier")
        if not file.exists():
            raise UsageError(
                f"there is no {file}; name the folder of a run, or a file that holds a classifier"
            )
        try:
            open_regular(file).close()  # a tensor without end may be promised, and would be allocated
            with safetensors.safe_open(file, framework="np") as opened:
                metadata, vectors = opened.metadata() or {}, opened.get_tensor(TENSOR)
                about = About.model_validate({name: _value(name, text) for name, text in metadata.items()})
                likeness, names = None, opened.keys()
                if about.sharpness or KEYS in names:
                    keys, values = opened.get_tensor(KEYS), opened.get_tensor(VALUES)
                    likeness = Likeness(keys, values, about.sharpness)
                head = Head(vectors, likeness)
                check = opened.get_tensor(CHECK) if CHECK in names else None
        except (
            OSError,
            safetensors.SafetensorError,
            ValueError,
            KeyError,
            TypeError,
        ) as error:
            what = first_problem(error) if isinstance(error, ValidationError) else reason_of(error)
            raise UsageError(
                f"{file} holds no classifier of this program: {what}; `export` and `evaluate` write one, "
                f"as FILE{ENDING}"
            ) from error
        if fault := _fault(head, about, check):
            raise UsageError(f"{file} holds no classifier of this program: {fault}")
        return cls(head, about, device, report, file, check)

    def _decided(
        self, images: Iterable[ImageOrPath], *, top: int
    ) -> Iterable[tuple[Sequence[int], Sequence[float]]]:
        if isinstance(images, str | os.PathLike):
            raise UsageError(f"give a list of image files, as in predict([{os.fspath(images)!r}])")
        if not isinstance(images, Iterable):
            raise UsageError(f"give a list of images, not {type(images).__qualname__}")
        decided = self.opened.decide(map(_source_of, images, count()), top)
        for index, (_image, labels, probabilities, error) in enumerate(decided):
            if error is not None:
                raise DataError(f"images[{index}]: {error}") from error
            yield labels, probabilities

    @property
    def spec(self) -> EvaluatorSpec:
        """Names the model."""
        return EvaluatorSpec(model=self.about.model, pretrained=self.about.pretrained, device=self.device)

    @cached_property
    def opened(self) -> ImageClassifier:
        """The classifier with its model, which is loaded when first asked for."""
        self.check_clip()
        from .clip.in_process import ImageClassifier

        about = self.about
        try:
            return ImageClassifier.of_head(
                self.spec, self.head, scale=about.scale, weights=about.weights, report=self.report
            )
        except UsageError as error:
            if self.file is None:
                raise
            # Somebody else may have written the file, and with it the path of weights.
            named = f"the model {shown(about.model)} with the weights {shown(about.pretrained)}"
            raise ModelError(f"{self.file} names {named}: {error}") from error


def _fault(head: Head, about: About, check: Features | None) -> str:
    """Return why a file's values cannot classify images; an empty text if they can."""
    import numpy as np

    vectors, likeness = head.vectors, head.likeness
    parts = [vectors] if likeness is None else [vectors, likeness.keys, likeness.values]
    for rows in parts:
        if rows.dtype != np.float32 or rows.ndim != 2 or not np.isfinite(rows).all():
            return "its vectors are no numbers"
        if np.abs(rows).max(initial=0) > LARGEST_NUMBER:
            return f"its vectors have numbers beyond {LARGEST_NUMBER:,.0f}"
    if check is not None and (
        check.dtype != np.float32
        or check.shape != vectors.shape[1:]
        or not np.isclose(np.linalg.norm(check), 1, atol=1e-3)
    ):
        return "the vector by which its model is recognised is none of length 1"
    if likeness is not None:
        images, (classes, dimensions) = len(likeness.keys), vectors.shape
        if (likeness.keys.shape, likeness.values.shape) != ((images, dimensions), (images, classes)):
            return "its labelled images are of another classifier"
        if not images or not likeness.sharpness:
            return (
                "it has no labelled images, or does not say how sharply likeness to them falls; it was edited"
            )
    if not len(vectors) == len(about.classes) == len(about.names_in_texts):
        return f"{len(vectors)} vectors and {len(about.classes)} class names; it was edited"
    if not vectors.any(axis=1).all():
        return "the vector of a class has no number but 0"
    return _fault_in_words(about)


def _fault_in_words(about: About) -> str:
    """Return what is wrong with the names that a file holds; an empty text if nothing is."""
    if not f"{about.model}{about.pretrained}".isprintable():  # both are printed
        return "the name of its model, or of the weights, holds a control character"
    # A published list may give two classes one name.
    if len(set(about.classes)) < 2:
        return f"all its classes are called {shown(about.classes[0])}"
    if about.scorer_dialect not in ("", *EMBEDDING_DIALECTS):
        return f"this version knows no form of embeddings {shown(about.scorer_dialect)}"
    try:
        for name in (*about.classes, *about.names_in_texts):
            check_name(name, name, where="its metadata")
    except DataError as error:
        return error.message
    return ""


def _source_of(image: object, index: int) -> Path | Image.Image:
    """Return what images are decoded from: a path, or a Pillow image in RGB; errors name its index."""
    import numpy as np
    from PIL import Image

    from .datasets.pictures import open_rgb

    if isinstance(image, str | os.PathLike):
        return Path(image)
    what = type(image).__qualname__
    if isinstance(image, np.ndarray):
        if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size:
            image = Image.fromarray(image)
        else:
            what = f"{image.dtype} {list(image.shape)}"
    if isinstance(image, Image.Image):
        if all(image.size):
            try:
                return open_rgb(image)
            except DataError as error:
                raise DataError(f"images[{index}]: {error}") from error
        what = "one without pixels"
    raise UsageError(
        f"images[{index}]: an image is the path of its file, one of Pillow's, or an array of uint8 [height, "
        f"width, 3], not {what}"
    )


def _value(name: str, text: str) -> object:
    """Return a member of the metadata: a text, or the value that a text holds as JSON."""
    if name not in About.model_fields or About.model_fields[name].annotation in (str, Form):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: {error}") from error
