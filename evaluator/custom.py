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
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import asdict, fields, is_dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from .errors import (
    ConfigError,
    EvaluatorError,
    PromptclimbError,
    ScoringEndedError,
    TemplateRejectedError,
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
    Inspection,
    Predictions,
    Rejection,
    Score,
    SplitScores,
    Verdict,
    batches_at_once,
    checked,
)
from .settings import plain
from .spec import DEFAULT_DATA, DEFAULT_SHOTS, EvaluatorSpec
from .threads import turns_of

T = TypeVar("T")
_MISSING = object()
_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


class WrongAnswerError(ValueError):
    """An answer is not what was asked for; ``str()`` follows the name of what answered."""


def _writable(text: str) -> str:
    """Spell out half characters, which no file can hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def listed(answer: object, kind: str, count: int) -> list[Any]:
    """Return an answer as a list of ``count`` items."""
    if isinstance(answer, str | bytes | Mapping | Set) or not isinstance(answer, Iterable):
        raise WrongAnswerError(f"answered {shown(answer)}, not a list of {count} {kind}")
    items = list(islice(answer, count + 1))  # an iterator may have no end
    if len(items) != count:
        number = f"more than {count}" if len(items) > count else len(items)
        raise WrongAnswerError(f"gave {number} {kind}, and {count} were asked for")
    return items


def checked_fields(kind: type[T], answer: object, name: str = "") -> T:
    """Return a value of one of the interface's dataclasses, every field checked and in plain Python values.

    The value goes through JSON: what JSON cannot hold, such as half a character, no file could hold either.
    ``name`` stands before a field's name in a message.
    """
    if not isinstance(answer, kind):
        raise WrongAnswerError(f"answered {shown(answer)}, which is not of the class {kind.__name__}")
    try:
        text = json.dumps(answer, default=_as_json, ensure_ascii=False).encode("utf-8")
        return cast("T", _adapter(kind).validate_json(text, strict=True))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join((*filter(None, [name]), *map(str, first["loc"])))
        raise WrongAnswerError(f"answered with {shown(first['input'])} for {field}: {plain(first)}") from None
    except (TypeError, ValueError, RecursionError) as error:
        what = f"answered with {shown(answer)} for {name}" if name else f"answered {shown(answer)}"
        raise WrongAnswerError(f"{what}, which cannot be read: {_reason(error)}") from None


def _as_json(value: Any) -> Any:
    """Return what JSON holds in place of a dataclass, or of a number or array of NumPy, torch and others."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    convert = getattr(value, "tolist", None) or getattr(value, "__float__", None)
    try:
        return convert()  # type: ignore[misc] # what cannot be called is no number either
    except Exception:  # noqa: BLE001 - a tensor has errors of its own
        raise TypeError(f"{shown(value)} is neither a number, a text nor a list") from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        return f"half a character in {shown(str(error.object)[max(0, error.start - 20) : error.end])}"
    return str(error)


def verdict_of(answer: object) -> Verdict:
    """Return a number, ``Score`` or ``Rejection`` in plain values; nan passes (see ``scoring.checked``)."""
    if isinstance(answer, Rejection):
        for name, text in asdict(answer).items():
            if not isinstance(text, str):
                raise WrongAnswerError(f"answered with a Rejection whose {name} is {shown(text)}, not a text")
        return Rejection(_writable(answer.reason), _writable(answer.message))
    if isinstance(answer, Score):
        score = checked_fields(Score, answer)
        examples = (" ".join(text.split()) for text in score.unreadable_examples[:MOST_UNREADABLE])
        return replace(
            score,
            confused=score.confused and score.confused[:MOST_CONFUSED],
            unreadable_examples=tuple(text[:LONGEST_UNREADABLE] for text in examples),
            images=None,  # no race here: all images
        )
    try:
        if isinstance(answer, str | bytes | bytearray):
            raise TypeError
        return Score(train=float(cast("float", answer)))
    except Exception:  # noqa: BLE001 - a tensor has errors of its own
        raise WrongAnswerError(
            f"answered {shown(answer)}, which is neither a number, a Score nor a Rejection"
        ) from None


def predictions_of(answer: object, count: int) -> Predictions:
    """Return the predictions of each of ``count`` ensembles."""
    checked = checked_fields(Predictions, answer)
    listed(checked.predicted, "lists of labels", count)
    for labels in checked.predicted:
        if labels is not None:
            listed(labels, "labels", len(checked.labels))
    return checked


def info_of(answer: object) -> EvaluatorInfo:
    """Return the description of an evaluator."""
    if not isinstance(answer, EvaluatorInfo):
        raise WrongAnswerError(f"answered {shown(answer)}, which is not an EvaluatorInfo")
    for field in ("sizes", "baselines", "notes"):
        if isinstance(named := getattr(answer, field), Mapping):
            for name in named:
                if not isinstance(name, str):  # JSON would make a text of it
                    raise WrongAnswerError(f"answered with {shown(name)} for a name in info.{field}")
    # Content and files are known for CLIP models only.
    described = checked_fields(EvaluatorInfo, replace(answer, notes={}, content={}, files=()), "info")
    if not described.fingerprint:
        raise WrongAnswerError("info.fingerprint is empty; it must distinguish this scorer from any other")
    return replace(described, notes=notes_of(answer.notes))


def notes_of(answer: object) -> dict[str, Any]:
    """Return notes that survive a round trip through JSON."""
    if not isinstance(answer, Mapping):
        raise WrongAnswerError(f"answered with {shown(answer)} for info.notes, not a mapping")
    plain_notes = {}
    for name, value in answer.items():
        try:
            # As deep as in a result, which is read with a depth limit.
            document = json.dumps({"notes": {"name": value}}, ensure_ascii=False, allow_nan=False)
            plain_notes[name] = from_json(document.encode("utf-8"))["notes"]["name"]
        except (TypeError, ValueError, RecursionError) as error:
            raise WrongAnswerError(
                f"answered with {shown(value)} for info.notes.{name}, which is not JSON: {_reason(error)}"
            ) from None
    return plain_notes


def what_happened(where: str, error: BaseException) -> str:
    """Return one line on a failure of the user's code: where, what, and in which line of which file."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _writable(" ".join(f"{where}: {message} ({frame.filename}, line {frame.lineno})".split()))


def from_keyboard(error: BaseException) -> bool:
    """Return whether Ctrl-C caused an exception: Python raises it in the main thread only."""
    in_main = threading.current_thread() is threading.main_thread()
    return isinstance(error, KeyboardInterrupt) and in_main


def run_users_code(where: str, work: Callable[[], T], failure: type[PromptclimbError]) -> T:
    """Run the user's code; a wrong answer, or whatever it raises but errors of ours, is a ``failure``."""
    try:
        return work()
    except PromptclimbError:
        raise
    except WrongAnswerError as wrong:
        raise failure(f"{where} {wrong}") from None
    except BaseException as error:
        if from_keyboard(error):
            raise
        raise failure(what_happened(where, error)) from error


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
            answers = listed(answers, "answers", len(templates))
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
        return self._ask("score", lambda: [verdict_of(answer) for answer in answers])

    @abstractmethod
    def examine(
        self, ensembles: Sequence[Sequence[str]], *, test: bool = True
    ) -> Sequence[SplitScores | None]:
        """Score ensembles on every split; see ``Evaluator``."""

    def _ask(self, method: str, work: Callable[[], T]) -> T:
        return run_users_code(f"{self._name}.{method}", work, EvaluatorError)


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
        info = run_users_code(type(scorer).__name__, lambda: info_of(attribute(scorer, "info")), ConfigError)
        super().__init__(scorer, info)
        for method, (arguments, options) in _OPTIONAL.items():
            if callable(attribute(scorer, method)):
                check_takes(scorer, method, *arguments, **options)
                setattr(self, method, getattr(self, f"_{method}"))

    @property
    def info(self) -> EvaluatorInfo:
        """As at opening, with current notes: some facts turn up later."""
        with suppress(EvaluatorError):
            notes = self._ask("info", lambda: notes_of(self._scorer.info.notes))
            return replace(self._info, notes=notes)
        return self._info

    def examine(
        self, ensembles: Sequence[Sequence[str]], *, test: bool = True
    ) -> Sequence[SplitScores | None]:
        def read(answer: object) -> list[SplitScores | None]:
            answers = listed(answer, "answers", len(ensembles))
            scores = [None if each is None else checked_fields(SplitScores, each) for each in answers]
            return scores if test else [each and replace(each, test=None) for each in scores]

        return self._answer("examine", read, _copied(ensembles), test=test)

    def _answer(self, method: str, read: Callable[[Any], T], *arguments: object, **options: object) -> T:
        return self._ask(method, lambda: read(getattr(self._scorer, method)(*arguments, **options)))

    def _inspect(self, ensemble: Sequence[str], *, split: str) -> Inspection:
        return self._answer(
            "inspect", lambda answer: checked_fields(Inspection, answer), list(ensemble), split=split
        )

    def _predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        def read(answer: object) -> Predictions:
            return predictions_of(answer, len(ensembles))

        return self._answer("predict", read, _copied(ensembles), split=split)

    def _predict_some(
        self, ensembles: Sequence[Sequence[str]], *, split: str, places: Sequence[int]
    ) -> Predictions:
        def read(answer: object) -> Predictions:
            predictions = predictions_of(answer, len(ensembles))
            listed(predictions.labels, "labels", len(places))
            return predictions

        return self._answer("predict_some", read, _copied(ensembles), split=split, places=list(places))

    def _predict_named(
        self, template: str, renamings: Sequence[Mapping[int, str]], *, split: str
    ) -> Predictions:
        def read(answer: object) -> Predictions:
            predictions = predictions_of(answer, len(renamings))
            if not predictions.labels:
                raise WrongAnswerError("gave no labels, so it classified no image")
            rows = [predictions.labels, *filter(None, predictions.predicted)]
            if (largest := max(map(max, rows))) >= (classes := self._info.classes):
                raise WrongAnswerError(
                    f"gave the label {shown(largest)}, and the {classes} classes begin with 0"
                )
            return predictions

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
    module = run_users_code(where, lambda: _imported(name, source), ConfigError)
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
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):  # some C functions have no signature
        parameters = []
    if not isinstance(factory, type) and [parameter.name for parameter in parameters[:1]] == ["templates"]:
        return as_evaluator(factory, spec)
    takes_spec = any(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and (parameter.default is parameter.empty or parameter.name == "spec")
        for parameter in parameters
    )
    scorer: object = run_users_code(where, lambda: factory(spec) if takes_spec else factory(), ConfigError)
    if isinstance(scorer, list | tuple):
        raise ConfigError(
            f"{where}: {factory_name} gave {shown(scorer)}, not a scorer; if it scores templates itself, "
            f"call its argument templates: {factory_name}(templates)"
        )
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
