"""Declare data and scorer as one frozen, validated value. Imports no torch."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BeforeValidator, field_validator, model_validator

from .files import NameOrPath, UserPath, checked_path
from .network import check_url
from .scoring import ALL, COUNTED, GREY_BOX, OBJECTIVES, EvaluatorInfo, Objective, Shots
from .settings import Group, Scope, Settings, applying_to, one_of, setting, technical

COLUMNS = ("path", "label", "split")
FORM = "path=NAME,label=NAME, and split=NAME where there is one"

Report = Callable[[str], object]
OpeningProgress = Callable[[int, int, bool], None]
"""Called with the number of images encoded, and of all of every split, and whether these count copies."""

DEFAULT_DATA = "backgrounds"
DEFAULT_SHOTS, MOST_SHOTS = 16, 1_000_000
"""Training images per class: default, if the smallest class has so many, and maximum."""
DEFAULT_AUGMENTATIONS, MOST_AUGMENTATIONS = 8, 32
"""Augmented copies per image: default, if the images are few, and maximum."""
FREE_AUGMENTATIONS = 8192
"""Most augmented copies of all images together by default."""
BUNDLED_WEIGHTS = "pico"
SAMPLE: tuple[Scope, ...] = ("few-shot sample",)
IMAGES: tuple[Scope, ...] = ("reading images",)
CHOICE: tuple[Scope, ...] = ("choice of templates",)
CLIP: tuple[Scope, ...] = ("CLIP models",)
API: tuple[Scope, ...] = ("models behind an API",)
_DECIDING_API: Mapping[str, Any] = {"decides": True, "applies_to": API}
BY_IMAGE = ("chat", "zero-shot")
"""Scorers of which each candidate takes a request an image."""
EMBEDDING_DIALECTS = ("infinity", "openai", "vllm", "jina", "voyage", "cohere")
"""Forms of requests for embeddings."""
_OF_ONE_SCORER: Mapping[str, str] = MappingProxyType(
    {
        "scorer_dialect": "embeddings",
        "scorer_answer_tokens": "chat",
    }
)


def check_shots(value: Any) -> Any:
    """Return a number of shots, ALL or None; raise ValueError for any other value."""
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if number is None or number == ALL or (type(number) is int and 0 <= number <= MOST_SHOTS):
        return number
    raise ValueError(f"it must be a whole number from 0 to {MOST_SHOTS:,}, or {ALL}")


CheckedShots: TypeAlias = Annotated[Shots, BeforeValidator(check_shots)]


def parse_columns(text: str | None) -> Mapping[str, str]:
    """Return the table's own column names by meaning; a name with a comma is in double quotes with it."""
    if text is None:
        return {}
    try:
        rows = list(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ValueError(f"{error}; write {FORM}") from error
    names: dict[str, str] = {}
    for cell in (cell for row in rows for cell in row):
        meaning, _equals, name = (word.strip() for word in cell.partition("="))
        if meaning not in COLUMNS or not name:
            raise ValueError(f"{cell.strip()!r} says nothing of a column; write {FORM}")
        if meaning in names:
            raise ValueError(f"{meaning} is named twice; write {FORM}")
        names[meaning] = name
    if not names:
        raise ValueError(f"it is empty; write {FORM}")
    return names


class DataSettings(Settings):
    """Which images, with which labels and class names."""

    group: ClassVar[Group] = "Data"

    data: NameOrPath = setting(
        DEFAULT_DATA,
        "data set by name (see `datasets`), folder DIR/CLASS/*.jpg, table, hf:NAME or torchvision:NAME",
        decides=True,
        first=1,
        show="NAME|DIR|FILE",
        reads="file or folder",
        min_length=1,
    )
    data_root: UserPath | None = setting(
        None, "folder of the data sets that have a name (default: $DATA)", reads="folder"
    )
    shots: CheckedShots | None = setting(
        None,
        f"training images per class, with up to 4 more for validation (default: {DEFAULT_SHOTS}, or as many "
        "as the smallest class has for training); all: every labelled image, and each class counts equally",
        decides=True,
        applies_to=SAMPLE,
        first=5,
        show="N|all",
        from_data=True,
    )
    seed: int = setting(
        1,
        "seed that draws the labelled images, and all else that a search draws",
        decides=True,
        applies_to=SAMPLE,
        ge=0,
        lt=2**63,
    )
    class_names: NameOrPath | None = setting(
        None,
        "split: the data set's own (default); openai: open_clip's ImageNet names; or a file: FOLDER=NAME "
        "lines, or one name per line in the order of the labels, also JSON or TOML",
        decides=True,
        show="openai|split|FILE",
        reads="file",
        min_length=1,
    )
    columns: str | None = setting(
        None,
        "columns of a table that are not called path, label and split, such as path=file,label=species",
        show="path=NAME,label=NAME",
    )
    test_images: int | None = setting(
        None,
        "test images to evaluate on, a sample with the proportions of the classes (default: all)",
        decides=True,
        ge=1,
        le=10**9,
    )
    allow_leak: bool = setting(
        False, "continue although the same image is in train and in test", decides=True, applies_to=IMAGES
    )
    on_bad_image: Literal["fail", "skip"] = setting(
        "fail", "what to do with an image that cannot be read", applies_to=IMAGES, file_only=True
    )

    @field_validator("columns")
    @classmethod
    def _columns(cls, text: str | None) -> str | None:
        parse_columns(text)
        return text


def _only_for_clip(name: str, scorer: str) -> str:
    return f"`{name}` applies to CLIP models; leave it out with {scorer}"


class ScorerSettings(Settings):
    """What scores templates, and by which measure."""

    group: ClassVar[Group] = "Model"

    model: str = setting(
        "RN-pico",
        "open_clip's name of the model, a bundled toy model (RN-pico, ViT-pico, Tags-pico, Captions-pico), "
        "hf-hub:OWNER/NAME or local-dir:FOLDER",
        decides=True,
        first=2,
        show="NAME",
        min_length=1,
    )
    pretrained: NameOrPath = setting(
        BUNDLED_WEIGHTS,
        "the model's weights: open_clip's tag, or a checkpoint file",
        decides=True,
        first=3,
        show="TAG|FILE",
        reads="file",
        min_length=1,
    )
    precision: Literal["fp32", "best"] = setting(
        "fp32", "precision of the model: fp32, or best: the fastest that the device has", decides=True
    )
    device: str = setting(
        "auto", "where the model runs: auto, cpu, cuda, cuda:1, cuda:0,1 or mps", show="DEVICE", min_length=1
    )
    scorer: Literal["clip", "chat", "zero-shot", "embeddings"] = setting(
        "clip",
        "what classifies the images: clip, an open_clip model; or a model behind an API: chat, zero-shot or "
        "embeddings",
        decides=True,
        first=13,
    )
    scorer_url: str | None = setting(
        None,
        "address of the model behind an API, such as http://127.0.0.1:8000/v1; its key is in SCORER_API_KEY",
        applies_to=API,
        first=14,
        show="URL",
        repr=False,
    )
    scorer_dialect: str | None = setting(
        None,
        f"form of the requests for embeddings: {', '.join(EMBEDDING_DIALECTS)} (default: by the address, "
        "else by its answers)",
        applies_to=API,
        show="NAME",
        file_only=True,
    )
    scorer_image_size: int = setting(
        512,
        "longest side, in pixels, of images that are sent",
        **_DECIDING_API,
        ge=16,
        le=8192,
        file_only=True,
    )
    scorer_answer_tokens: int = setting(
        64, "tokens per answer at most (chat)", **_DECIDING_API, ge=1, le=100_000, file_only=True
    )
    custom_scorer: str | None = setting(
        None,
        "a custom scorer: a class, a function that makes one, or a function of templates, from a module or "
        "FILE.py",
        decides=True,
        show="MODULE:FACTORY",
    )
    ray: str | None = setting(
        None,
        "score on a Ray cluster; without ADDRESS, on the one that is running",
        applies_to=CLIP,
        show="[ADDRESS]",
        min_length=1,
    )
    objective: Objective = setting(
        "accuracy",
        "what is maximised: accuracy or class_mean; logprob and margin look at logits, "
        "so the model is no longer a black box",
        decides=True,
        applies_to=CHOICE,
        show="NAME",
        file_only=True,
    )
    augmentations: int | None = setting(
        None,
        "augmented copies of each labelled image, by which templates are chosen and from which the result "
        f"learns (default: {DEFAULT_AUGMENTATIONS}, fewer if there are many images; 0: none)",
        decides=True,
        applies_to=(*SAMPLE, *CHOICE, *CLIP),
        from_data=True,
        ge=0,
        le=MOST_AUGMENTATIONS,
    )

    cache_dir: UserPath | None = technical(None, "folder for features; None for the user's cache")
    workers: int = technical(4, "threads that decode images", ge=1, le=1024)

    _objective = field_validator("objective", mode="before")(one_of("objective", OBJECTIVES))
    _scorer_url = field_validator("scorer_url")(check_url)
    _dialect = field_validator("scorer_dialect")(one_of("form of embeddings", EMBEDDING_DIALECTS))

    @field_validator("custom_scorer")
    @classmethod
    def _custom_scorer(cls, name: str | None) -> str | None:
        source, _, factory = (name or "").rpartition(":")
        if name is not None and not (source and factory.isidentifier()):
            raise ValueError("write MODULE:FACTORY or FILE.py:FACTORY, such as my_scorers:make")
        if source.endswith(".py"):
            checked_path(source)
        return name

    @property
    def is_clip(self) -> bool:
        """Whether an open_clip model in this process, or on a Ray cluster, is the scorer."""
        return self.custom_scorer is None and self.scorer == "clip"

    @property
    def scorer_name(self) -> str | None:
        """A custom scorer, or a model behind an API, in words; None for a CLIP model."""
        if self.custom_scorer is not None:
            return "a custom scorer"
        return None if self.is_clip else "a model behind an API"

    def unused_beside(self, custom: str) -> str:
        """Return that a setting has no effect on a custom scorer, which is called ``custom``; else empty."""
        names = (name for name in applying_to(ScorerSettings, "CLIP models") if getattr(self, name))
        return next((_only_for_clip(name, custom) for name in names), "")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.custom_scorer is not None and (unused := self.unused_beside("`custom_scorer`")):
            raise ValueError(unused)
        if self.scorer != "clip":
            self._fits_api()
        for name in applying_to(type(self), "models behind an API") if self.scorer == "clip" else ():
            if self._is_set(name):
                raise ValueError(
                    f"`{name}` applies to models behind an API; leave it out, or name one with "
                    '`scorer = "chat"`, zero-shot or embeddings',
                )
        if self.augmentations and self.objective not in COUNTED:
            raise ValueError(
                "`augmentations` is for accuracy and class_mean; leave it out with this objective",
            )
        return self

    def _fits_api(self) -> None:
        chosen = f'`scorer = "{self.scorer}"`'
        if self.custom_scorer is not None:
            raise ValueError(f"`custom_scorer` and {chosen} name two scorers; leave one out")
        if self.scorer_url is None:
            raise ValueError(f"{chosen} is a model behind an API: give `scorer_url = URL`, its address")
        if "model" not in self.model_fields_set:
            raise ValueError(
                f"{chosen} needs `model = NAME`, the model's name at `scorer_url`",
            )
        for name in ("pretrained", "precision", "device", "ray", "augmentations"):
            if self._is_set(name) and getattr(self, name):
                raise ValueError(_only_for_clip(name, chosen))
        for name, owner in _OF_ONE_SCORER.items():
            if self._is_set(name) and owner != self.scorer:
                owning = f'`scorer = "{owner}"`'
                raise ValueError(f"`{name}` applies to {owning}; leave it out with {chosen}")
        if self.scorer == "chat" and self.objective in GREY_BOX:
            raise ValueError(
                f"{chosen} gives no probabilities, which the objective {self.objective} needs; use accuracy "
                "or class_mean",
            )

    def _is_set(self, name: str) -> bool:
        return bool(getattr(self, name) != type(self).model_fields[name].default)


class EvaluatorSpec(ScorerSettings, DataSettings):
    """Everything that decides what an evaluator is, and how it runs.

    By default, ``shots`` is None until the data are read, then 16 or the size of the smallest class: with one
    image per class (the paper's setting) the selected template is mostly luck. With all images, ``objective``
    is class_mean unless it is set.
    """

    if TYPE_CHECKING:

        def __init__(self, **settings: Any) -> None: ...  # a path or a price may be a text

    @model_validator(mode="before")
    @classmethod
    def _classes_weigh_equally(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("shots") == ALL and not values.get("custom_scorer"):
            return {"objective": "class_mean", **values}
        return values

    def with_shots(self, shots: Shots = DEFAULT_SHOTS) -> Self:
        """Return the specification with so many shots, if it has none."""
        if self.shots is not None:
            return self
        is_usable = shots == ALL or 1 <= int(shots) <= MOST_SHOTS
        return self.model_copy(update={"shots": shots if is_usable else DEFAULT_SHOTS})

    def augmentations_for(self, images: int) -> int:
        """Return the number of augmented copies per image for so many few-shot images."""
        if not self.is_clip or self.objective not in COUNTED or not images:
            return 0
        if self.augmentations is not None:
            return self.augmentations
        most = min(DEFAULT_AUGMENTATIONS, FREE_AUGMENTATIONS // images)
        # One copy is not worth its cost.
        return most if most > 1 else 0

    def as_opened(self, info: EvaluatorInfo) -> Self:
        """Return the specification with the shots and augmented copies in use, if it has none."""
        used = info.copies if 0 <= info.copies <= MOST_AUGMENTATIONS else 0
        augmentations = used if self.augmentations is None else self.augmentations
        return self.with_shots(info.shots).model_copy(update={"augmentations": augmentations})

    def without_choice(self) -> Self:
        """Return the specification for scoring alone, without what only serves selection."""
        return self.model_copy(update={"augmentations": 0})

    def bare(self) -> EvaluatorSpec:
        """Return the specification alone, without a search's own settings."""
        return EvaluatorSpec(**{name: getattr(self, name) for name in EvaluatorSpec.model_fields})
