"""Adapt a custom scorer to ``Evaluator``; check its answers and make plain values of them on arrival."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import importlib.util
import inspect
import json
import sys
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from ..errors import (
    ConfigError,
    EvaluatorError,
    PromptclimbError,
    ScoringEndedError,
    TemplateRejectedError,
    UsageError,
)
from ..messages import shown
from ..scoring import (
    BASELINE_DEFAULT,
    DEFAULT_TEMPLATE,
    Evaluator,
    EvaluatorInfo,
    Inspection,
    Predictions,
    Rejection,
    SplitScores,
    Verdict,
    batches_at_once,
    checked,
)
from ..spec import DEFAULT_DATA, DEFAULT_SHOTS, EvaluatorSpec
from ..threads import turns_of
from . import plain_values
from .plain_values import WrongAnswerError, checked_fields

T = TypeVar("T")
_MISSING = object()


def what_happened(where: str, error: BaseException) -> str:
    """Return one line on a failure of the user's code: where, what, and in which line of which file."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    line = " ".join(f"{where}: {message} ({frame.filename}, line {frame.lineno})".split())
    return line.encode("utf-8", "backslashreplace").decode("utf-8")


def from_keyboard(error: BaseException) -> bool:
    """Return whether Ctrl-C caused an exception: Python raises it in the main thread only."""
    in_main = threading.current_thread() is threading.main_thread()
    return isinstance(error, KeyboardInterrupt) and in_main


def opened(where: str, work: Callable[[], T]) -> T:
    """Run the user's code before a search begins; a failure becomes a ConfigError."""
    try:
        return work()
    except UsageError:
        raise
    except BaseException as error:
        if from_keyboard(error):
            raise
        raise ConfigError(what_happened(where, error)) from error


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

    return opened(f"{type(scorer).__name__}.{name}", read)


def check_takes(scorer: object, method: str, *arguments: object, **options: object) -> None:
    """Check that a method can be called with these arguments."""
    function = getattr(scorer, method)
    name = f"{type(scorer).__name__}.{method}"
    if inspect.iscoroutinefunction(function):
        raise ConfigError(f"{name} is async, and is called in a thread: make it a plain function")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some C functions have no signature
        return
    try:
        signature.bind(*arguments, **options)
    except TypeError as error:
        raise ConfigError(f"{name}{signature} cannot be called as it will be: {error}") from None


def fingerprint_of(scorer: object) -> str:
    """Return the user's fingerprint, or an empty text."""
    fingerprint = attribute(scorer, "fingerprint")
    if fingerprint is None:
        return ""
    name = f"{type(scorer).__name__}.fingerprint"
    if callable(fingerprint):
        raise ConfigError(f"{name} is a method; make it an attribute or a property, which is a text")
    if not isinstance(fingerprint, str):
        raise ConfigError(f"{name} is {shown(fingerprint)}, not a text")
    if fingerprint != fingerprint.encode("utf-8", "ignore").decode("utf-8"):
        raise ConfigError(f"{name} is {shown(fingerprint)}, which no file can hold: half a character")
    return str(fingerprint)


def as_evaluator(scorer: object, spec: EvaluatorSpec) -> Evaluator:
    """Return an evaluator for any object with ``score(templates)``, or for such a function.

    ``score`` may answer with ``Score``, ``Rejection``, or a number per template, higher meaning better.
    Unless it has ``info`` and ``examine`` too, there is no test split.

    Raises:
        ConfigError: It has no method ``score``, or its description is invalid.
    """
    if isinstance(scorer, CustomEvaluator):
        return scorer
    name = type(scorer).__name__
    if isinstance(scorer, type):
        raise ConfigError(
            f"{scorer.__name__} is a class, and a scorer is an object of it: write {scorer.__name__}(...)"
        )
    if not callable(attribute(scorer, "score")):
        if not callable(scorer):
            raise ConfigError(
                "a custom scorer is an object with a method score(templates), or a function of templates; "
                f"{name} is neither"
            )
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


class CustomEvaluator(ABC):
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
        """Ask for scores; see ``Scorer``.

        Raises:
            EvaluatorError: An answer is neither a number, a ``Score`` nor a ``Rejection``.
            ScoringEndedError: There is not one answer for each template, or it asks to leave the program.
        """
        where = f"{self._name}.score"
        try:
            with self._turns:
                answers = self._scorer.score(list(templates))
            answers = plain_values.listed(answers, "answers", len(templates))
        except (StopIteration, asyncio.CancelledError) as error:
            # Raised in a task, these would end it.
            raise EvaluatorError(what_happened(where, error)) from error
        except WrongAnswerError as wrong:
            raise ScoringEndedError(f"{where} {wrong}") from None
        except Exception:
            raise
        except BaseException as error:
            if from_keyboard(error):
                raise
            raise ScoringEndedError(what_happened(where, error)) from error
        return self._ask("score", lambda: [plain_values.verdict(answer) for answer in answers])

    @abstractmethod
    def examine(
        self, ensembles: Sequence[Sequence[str]], *, test: bool = True
    ) -> Sequence[SplitScores | None]:
        """Score ensembles on every split; see ``Evaluator``."""

    def _ask(self, method: str, work: Callable[[], T]) -> T:
        where = f"{self._name}.{method}"
        try:
            return work()
        except PromptclimbError:
            raise
        except WrongAnswerError as wrong:
            raise EvaluatorError(f"{where} {wrong}") from None
        except BaseException as error:
            if from_keyboard(error):
                raise
            raise EvaluatorError(what_happened(where, error)) from error


class ScorerEvaluator(CustomEvaluator):
    """A scorer without a test split; ``fingerprint`` identifies it, its class stands for unnamed data."""

    def __init__(self, scorer: object, spec: EvaluatorSpec) -> None:
        spec, kind = spec.with_shots(), type(scorer)
        name = kind.__qualname__
        fingerprint = fingerprint_of(scorer)
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
            shareable=bool(fingerprint),
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


_OPTIONAL: Mapping[str, tuple[tuple[Any, ...], Mapping[str, Any]]] = {
    "inspect": ((["a {}"],), {"split": "test"}),
    "predict": (([["a {}"]],), {"split": "test"}),
    "predict_some": (([["a {}"]],), {"split": "train", "places": [0]}),
    "predict_named": (("a {}", [{0: "b"}]), {"split": "test"}),
}
"""Arguments that the optional methods of a custom scorer must take."""


class CheckedEvaluator(CustomEvaluator):
    """A custom evaluator with a test split, and with its optional methods if the user has them."""

    def __init__(self, scorer: object) -> None:
        try:
            info = plain_values.info(attribute(scorer, "info"))
        except WrongAnswerError as wrong:
            raise ConfigError(f"{type(scorer).__name__}: {wrong}") from None
        super().__init__(scorer, info)
        for method, (arguments, options) in _OPTIONAL.items():
            if callable(attribute(scorer, method)):
                check_takes(scorer, method, *arguments, **options)
                setattr(self, method, getattr(self, f"_{method}"))

    @property
    def info(self) -> EvaluatorInfo:
        """As at opening, with current notes: some facts turn up later."""
        with suppress(EvaluatorError):
            notes = self._ask("info", lambda: plain_values.notes(self._scorer.info.notes))
            return replace(self._info, notes=notes)
        return self._info

    def examine(
        self, ensembles: Sequence[Sequence[str]], *, test: bool = True
    ) -> Sequence[SplitScores | None]:
        def read(answer: object) -> list[SplitScores | None]:
            answers = plain_values.listed(answer, "answers", len(ensembles))
            return [plain_values.split_scores(scores, test=test) for scores in answers]

        return self._answer("examine", read, _copied(ensembles), test=test)

    def _answer(self, method: str, read: Callable[[Any], T], *arguments: object, **options: object) -> T:
        return self._ask(method, lambda: read(getattr(self._scorer, method)(*arguments, **options)))

    def _inspect(self, ensemble: Sequence[str], *, split: str) -> Inspection:
        return self._answer(
            "inspect", lambda answer: checked_fields(Inspection, answer), list(ensemble), split=split
        )

    def _predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        def read(answer: object) -> Predictions:
            return plain_values.predictions(answer, len(ensembles))

        return self._answer("predict", read, _copied(ensembles), split=split)

    def _predict_some(
        self, ensembles: Sequence[Sequence[str]], *, split: str, places: Sequence[int]
    ) -> Predictions:
        def read(answer: object) -> Predictions:
            predictions = plain_values.predictions(answer, len(ensembles))
            plain_values.listed(predictions.labels, "labels", len(places))
            return predictions

        return self._answer("predict_some", read, _copied(ensembles), split=split, places=list(places))

    def _predict_named(
        self, template: str, renamings: Sequence[Mapping[int, str]], *, split: str
    ) -> Predictions:
        def read(answer: object) -> Predictions:
            return plain_values.named_predictions(answer, len(renamings), self._info.classes)

        return self._answer(
            "predict_named", read, template, [dict(names) for names in renamings], split=split
        )


def _copied(ensembles: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return ensembles that the user's code may change."""
    return [list(ensemble) for ensemble in ensembles]


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
    module = opened(where, lambda: _imported(name, source))
    factory = getattr(module, factory_name, None)
    if factory is None:
        raise ConfigError(f"{where}: {source} has no {factory_name!r}")
    if not callable(factory):
        raise ConfigError(
            f"{where}: {factory_name} is a {type(factory).__name__}; name a function or a class that "
            "makes the scorer"
        )
    if inspect.iscoroutinefunction(factory):
        raise ConfigError(f"{where}: {factory_name} is async: make it a plain function")
    parameters = _parameters(factory)
    if not isinstance(factory, type) and [parameter.name for parameter in parameters[:1]] == ["templates"]:
        return as_evaluator(factory, spec)
    takes_spec = any(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and (parameter.default is parameter.empty or parameter.name == "spec")
        for parameter in parameters
    )
    scorer: object = opened(where, lambda: factory(spec) if takes_spec else factory())
    if isinstance(scorer, list | tuple):
        raise ConfigError(
            f"{where}: {factory_name} gave {shown(scorer)}, not a scorer; if it scores templates itself, "
            f"call its argument templates: {factory_name}(templates)"
        )
    return as_evaluator(scorer, spec)


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some C functions have no signature
        return []


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


def _imported(name: str, source: str) -> ModuleType:
    if source.endswith(".py"):
        return _from_file(name, Path(source).expanduser())
    folder = _look_here()
    try:
        return importlib.import_module(source)
    except ModuleNotFoundError as error:
        if error.name is not None and (source == error.name or source.startswith(f"{error.name}.")):
            raise ConfigError(
                f"custom scorer {name!r}: there is no module {source!r} among what is installed or in "
                f"{folder}; write FILE.py:FACTORY for a file elsewhere"
            ) from None
        raise


def _look_here() -> str:
    """Make modules of the current folder importable, as ``python -m`` does; return the folder."""
    folder = str(Path.cwd())
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)
    return folder


def _from_file(name: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"custom scorer {name!r}: there is no file {path.absolute()}")
    spec = importlib.util.spec_from_file_location(f"_evaluator_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses and pickle look for it here
    if (folder := str(path.absolute().parent)) not in sys.path:
        sys.path.append(folder)  # for modules beside it, as with `python FILE.py`
    spec.loader.exec_module(module)
    return module
