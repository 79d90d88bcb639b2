"""Adapt a custom scorer to ``Evaluator``; check its answers and make plain values of them on arrival."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import json
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from .errors import (
    ConfigError,
    EvaluatorError,
    PromptclimbError,
    ScoringEndedError,
    TemplateRejectedError,
    named,
    place_of,
)
from .messages import shown
from .scoring import (
    BASELINE_DEFAULT,
    DEFAULT_TEMPLATE,
    LONGEST_UNREADABLE,
    MOST_CONFUSED,
    MOST_UNREADABLE,
    Evaluator,
    EvaluatorInfo,
    FeatureEvaluator,
    Predictions,
    Rejection,
    Score,
    SplitScores,
    Verdict,
    batches_at_once,
    checked,
)
from .spec import DEFAULT_DATA, DEFAULT_SHOTS, EvaluatorSpec
from .threads import turns_of

T = TypeVar("T")
_MISSING = object()
_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


class WrongAnswerError(ValueError):
    """An answer is not what was asked for; ``str()`` follows the name of what answered."""


def plain_value(kind: type[T], answer: object) -> T:
    """Return a value of one of the interface's classes, every field checked and in plain Python values.

    The value goes through JSON: what JSON cannot hold, such as half a character, no file could hold either.
    """
    try:
        text = to_json(answer, fallback=_number, inf_nan_mode="constants")
        return cast("T", _adapter(kind).validate_json(text, strict=True))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise WrongAnswerError(
            f"answered {shown(answer)}: {where or kind.__name__}: {first['msg']}"
        ) from None
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise WrongAnswerError(f"answered {shown(answer)}, which is not JSON: {error}") from None


def _number(value: Any) -> Any:
    """Return a number or an array of NumPy, torch and others as JSON can hold it."""
    return value.tolist() if hasattr(value, "tolist") else float(value)


def verdict_of(answer: object) -> Verdict:
    """Return a number, ``Score`` or ``Rejection`` in plain values; nan passes (see ``scoring.checked``)."""
    if isinstance(answer, Rejection):
        return plain_value(Rejection, answer)
    if isinstance(answer, Score):
        score = plain_value(Score, answer)
        examples = (" ".join(text.split()) for text in score.unreadable_examples[:MOST_UNREADABLE])
        return replace(
            score,
            confused=score.confused and score.confused[:MOST_CONFUSED],
            unreadable_examples=tuple(text[:LONGEST_UNREADABLE] for text in examples),
            images=None,  # no race here: all images
        )
    if isinstance(answer, str | bytes | bytearray):
        raise WrongAnswerError(f"answered {shown(answer)}, not a number")
    return Score(train=float(cast("float", answer)))


def info_of(answer: object) -> EvaluatorInfo:
    """Return the description of an evaluator; content and files are known for CLIP models only."""
    info = plain_value(EvaluatorInfo, answer)
    if not info.fingerprint:
        raise WrongAnswerError("has an empty fingerprint; it must distinguish this scorer from any other")
    notes = from_json(to_json(info.notes, inf_nan_mode="null"))  # a result has no nan
    return replace(info, notes=notes, content={}, files=(), labelled_files=())


def run_users_code(where: str, work: Callable[[], T], failure: type[PromptclimbError]) -> T:
    """Run the user's code; a wrong answer, or whatever it raises but errors of ours, is a ``failure``.

    The message has the user's error, with its line in their file.
    """
    try:
        return work()
    except PromptclimbError:
        raise
    except WrongAnswerError as wrong:
        raise failure(f"{where} {wrong}") from None
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise
        line = f"{where}: {named(error)}{place_of(error)}"
        raise failure(" ".join(line.encode("utf-8", "backslashreplace").decode().split())) from error


def attribute(scorer: object, name: str, default: Any = None) -> Any:
    """Return an attribute of the user's object, the default if it has none."""

    def read() -> Any:
        try:
            return getattr(scorer, name)
        except AttributeError:
            # A property that exists may raise AttributeError too.
            if inspect.getattr_static(scorer, name, _MISSING) is _MISSING:
                return default
            raise

    return run_users_code(f"{type(scorer).__name__}.{name}", read, ConfigError)


def check_takes(scorer: object, method: str, *arguments: object, **options: object) -> None:
    """Check that a method can be called with these arguments; some are called when all is paid for."""
    with suppress(ValueError):  # some C functions have no signature
        try:
            inspect.signature(getattr(scorer, method)).bind(*arguments, **options)
        except TypeError as error:
            raise ConfigError(f"{type(scorer).__name__}.{method} cannot be called: {error}") from None


def as_evaluator(scorer: object, spec: EvaluatorSpec) -> Evaluator:
    """Return an evaluator for any object with ``score(templates)``, or for such a function.

    ``score`` may answer with ``Score``, ``Rejection``, or a number per template, higher meaning better.
    Unless it has ``info`` and ``examine`` too, there is no test split.

    Raises:
        ConfigError: It has no method ``score``, or its description is invalid.
    """
    if isinstance(scorer, ScorerEvaluator | CheckedEvaluator):
        return scorer
    if isinstance(scorer, type) or not (callable(attribute(scorer, "score")) or callable(scorer)):
        raise ConfigError(
            "a custom scorer is an object with a method score(templates), or a function of templates; "
            f"{shown(scorer)} is neither"
        )
    if callable(scorer) and not hasattr(scorer, "score"):
        scorer = _with_score(scorer)
    check_takes(scorer, "score", ["a {}"])
    if not callable(attribute(scorer, "examine")) or attribute(scorer, "info", _MISSING) is _MISSING:
        return ScorerEvaluator(scorer, spec)
    check_takes(scorer, "examine", [["a {}"]], test=True)
    return CheckedEvaluator(scorer)


def _with_score(function: Callable[..., Any]) -> object:
    """Return an object whose ``score`` is a function, of a class by the function's name and module."""
    own = {name: getattr(function, name) for name in ("fingerprint", "in_flight") if hasattr(function, name)}
    members = {"score": staticmethod(function), "__module__": getattr(function, "__module__", __name__)}
    return type(getattr(function, "__name__", type(function).__name__), (), {**own, **members})()


class CustomEvaluator:
    """The user's object as an ``Evaluator``."""

    def __init__(self, scorer: object, info: EvaluatorInfo) -> None:
        self._scorer: Any = scorer
        self._name = type(scorer).__name__
        self._info = info
        self.in_flight = batches_at_once(self._name, attribute(scorer, "in_flight", 1))
        self._turns = turns_of(scorer, self.in_flight)

    @property
    def info(self) -> EvaluatorInfo:
        return self._info

    def score(self, templates: Sequence[str]) -> list[Verdict]:
        """Ask for scores; see ``Scorer``. What the user's method raises passes through, for the queue.

        Raises:
            EvaluatorError: The answers are not a list of a number, a ``Score`` or a ``Rejection`` each.
            ScoringEndedError: There is not one answer for each template.
        """
        with self._turns:
            answers = self._scorer.score(list(templates))
        if inspect.iscoroutine(answers):
            answers.close()
            raise ScoringEndedError(f"{self._name}.score must not be async: it runs in a thread of its own")
        # An iterator may have no end.
        scores = self._ask(
            "score", lambda: [verdict_of(answer) for answer in islice(answers, len(templates) + 1)]
        )
        if len(scores) != len(templates):
            raise ScoringEndedError(
                f"{self._name}.score did not answer once for each of {len(templates)} templates"
            )
        return scores

    def _ask(self, method: str, work: Callable[[], T]) -> T:
        return run_users_code(f"{self._name}.{method}", work, EvaluatorError)


class ScorerEvaluator(CustomEvaluator):
    """A scorer without a test split; ``fingerprint`` identifies it, its class stands for unnamed data."""

    def __init__(self, scorer: object, spec: EvaluatorSpec) -> None:
        spec, kind = spec.with_shots(), type(scorer)
        name, own = kind.__qualname__, attribute(scorer, "fingerprint", "")
        where = f"{kind.__name__}.fingerprint"
        fingerprint = run_users_code(where, lambda: plain_value(str, own), ConfigError)
        # Without a fingerprint, the same class on other data is another scorer.
        data = spec.bare().identity(without="CLIP models")
        identity = fingerprint or f"{kind.__module__}.{name} {json.dumps(data)}"
        info = EvaluatorInfo(
            dataset=name if spec.data == DEFAULT_DATA else spec.data,
            classes=0,
            shots=spec.shots or DEFAULT_SHOTS,
            seed=spec.seed,
            sizes={"train": 0, "val": 0, "test": 0},
            baselines={BASELINE_DEFAULT: (DEFAULT_TEMPLATE,)},
            model=name,
            pretrained="",
            fingerprint=hashlib.sha256(identity.encode()).hexdigest(),
        )
        super().__init__(scorer, info)

    def compare_with(self, default: str) -> None:
        """Make a text the baseline, in place of the default template."""
        self._info = replace(self._info, baselines=dict.fromkeys(self._info.baselines, (default,)))

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores]:
        """Score each ensemble of one template on train and val; return None for several."""
        single = [ensemble[0] for ensemble in ensembles if len(ensemble) == 1]
        verdicts = self._ask("score", lambda: self.score(single)) if single else []
        scores: dict[str, SplitScores] = {}
        for template, verdict in zip(single, map(checked, verdicts), strict=True):
            if isinstance(verdict, Rejection):
                raise TemplateRejectedError(template, verdict.reason, verdict.message)
            scores[template] = SplitScores(train=verdict.train, val=verdict.val, test=None)
        nothing = SplitScores(train=None, val=None, test=None)
        return [scores[ensemble[0]] if len(ensemble) == 1 else nothing for ensemble in ensembles]


class CheckedEvaluator(CustomEvaluator):
    """A custom evaluator with a test split, and with its optional methods if the user has them."""

    def __init__(self, scorer: object) -> None:
        info, where = attribute(scorer, "info"), f"{type(scorer).__name__}.info"
        super().__init__(scorer, run_users_code(where, lambda: info_of(info), ConfigError))
        for method in ("predict", "predict_some", "predict_named"):
            if callable(attribute(scorer, method)):
                setattr(self, method, partial(self._predictions, method))
        if isinstance(scorer, FeatureEvaluator):
            self.class_names, self.logit_scale = scorer.class_names, scorer.logit_scale
            self.decide = partial(self._predictions, "decide")
            for method in ("classifier", "evidence", "learn"):
                setattr(self, method, partial(self._features, method))

    @property
    def info(self) -> EvaluatorInfo:
        """As at opening, with current notes: some facts turn up later."""
        with suppress(EvaluatorError):
            return replace(self._info, notes=self._ask("info", lambda: info_of(self._scorer.info).notes))
        return self._info

    def examine(
        self, ensembles: Sequence[Sequence[str]], *, test: bool = True
    ) -> Sequence[SplitScores | None]:
        def scores() -> list[SplitScores | None]:
            answers = list(self._scorer.examine([list(ensemble) for ensemble in ensembles], test=test))
            if len(answers) != len(ensembles):
                raise WrongAnswerError(f"gave {len(answers)} answers for {len(ensembles)} ensembles")
            read = [None if answer is None else plain_value(SplitScores, answer) for answer in answers]
            self._check_accuracies(
                value for each in read if each for value in (each.train, each.val, each.test)
            )
            return read if test else [answer and replace(answer, test=None) for answer in read]

        return self._ask("examine", scores)

    def score(self, templates: Sequence[str]) -> list[Verdict]:
        verdicts = super().score(templates)
        scores = [verdict for verdict in verdicts if isinstance(verdict, Score)]
        self._ask("score", lambda: self._check_accuracies(v for s in scores for v in (s.train, s.val)))
        return verdicts

    def _check_accuracies(self, values: Iterable[float | None]) -> None:
        """Refuse other numbers of an evaluator with features: texts are compared with what was learned."""
        bad = [value for value in values if value is not None and (value < 0 or value > 1)]
        if bad and isinstance(self._scorer, FeatureEvaluator):
            raise WrongAnswerError(
                f"gave the accuracy {bad[0]}; with features of images, they lie from 0 to 1"
            )

    def _features(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._ask(method, lambda: getattr(self._scorer, method)(*arguments, **options))

    def _predictions(self, method: str, *arguments: Any, **options: Any) -> Predictions:
        """Return predictions, with a class of the data for each image; the last argument is asked about."""
        count = len(arguments[-1])

        def predictions() -> Predictions:
            answer = getattr(self._scorer, method)(*deepcopy(arguments), **deepcopy(options))
            predicted = plain_value(Predictions, answer)
            rows = [predicted.labels, *(row for row in predicted.predicted if row is not None)]
            images = len(options.get("image_indices", predicted.labels))
            if len(predicted.predicted) != count or not images or any(len(row) != images for row in rows):
                raise WrongAnswerError(f"did not answer with a label of each image, {count} times")
            most = max(map(max, rows))
            if (classes := self._info.classes) and most >= classes:
                raise WrongAnswerError(f"gave the label {most}; there are {classes} classes")
            return predicted

        return self._ask(method, predictions)


def open_custom(name: str, spec: EvaluatorSpec) -> Evaluator:
    """Return the evaluator of the custom scorer that a factory makes.

    ``name`` is ``MODULE:FACTORY`` or ``FILE.py:FACTORY``; a class is a factory too. The factory is called
    with the specification if it needs an argument or has one called ``spec``. A function whose first argument
    is called ``templates`` is no factory but scores itself.

    Raises:
        ConfigError: It cannot be imported or called, it fails, or it does not make a scorer.
    """
    spec = spec.with_shots()
    source, _, factory_name = name.rpartition(":")
    where = f"custom scorer {name!r}"
    module = run_users_code(where, lambda: _imported(source), ConfigError)
    factory: Any = getattr(module, factory_name, None)
    if not callable(factory):
        raise ConfigError(f"{where}: {source} has no function or class {factory_name!r}")
    parameters: list[inspect.Parameter] = []
    with suppress(TypeError, ValueError):  # some C functions have no signature
        parameters = list(inspect.signature(factory).parameters.values())
    if not isinstance(factory, type) and [parameter.name for parameter in parameters[:1]] == ["templates"]:
        return as_evaluator(factory, spec)
    takes_spec = any(
        parameter.name == "spec"
        or (parameter.default is parameter.empty and not parameter.kind.name.startswith("VAR"))
        for parameter in parameters
    )
    scorer: object = run_users_code(where, lambda: factory(spec) if takes_spec else factory(), ConfigError)
    return as_evaluator(scorer, spec)


def pinned(name: str) -> str:
    """Return a factory's name for use in any folder: a module in the current folder becomes a file path."""
    source, _, factory = name.rpartition(":")
    _look_here()
    try:
        module_spec = importlib.util.find_spec(source) if source.isidentifier() else None
    except (ImportError, ValueError):
        return name
    file = Path.cwd() / f"{source}.py"
    return f"{file}:{factory}" if module_spec is not None and module_spec.origin == str(file) else name


def _imported(source: str) -> ModuleType:
    if not source.endswith(".py"):
        _look_here()
        return importlib.import_module(source)
    path = Path(source).expanduser().absolute()
    spec = importlib.util.spec_from_file_location(f"_evaluator_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses and pickle look for it here
    if (folder := str(path.parent)) not in sys.path:
        sys.path.append(folder)  # for modules beside it, as with `python FILE.py`
    spec.loader.exec_module(module)
    return module


def _look_here() -> None:
    """Make modules of the current folder importable, as ``python -m`` does."""
    folder = str(Path.cwd())
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)
