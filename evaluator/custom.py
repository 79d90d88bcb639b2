"""A black box of the user's own: any object that scores templates, from a program or from a command line.

What has ``info`` and ``examine`` besides ``score`` is an ``Evaluator`` and used as it is. Anything else needs
no more than ``score(templates)``, and is put behind the same protocol here.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from .errors import ConfigError, EvaluatorError, TemplateRejectedError
from .scoring import Evaluator, EvaluatorInfo, Rejection, Score, SplitScores, Verdict, checked
from .spec import EvaluatorSpec

DEFAULT_DATA = EvaluatorSpec.model_fields["data"].default
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def open_custom(name: str, spec: EvaluatorSpec) -> Evaluator:
    """Return the evaluator that a factory makes.

    Args:
        name: ``MODULE:FACTORY``, or ``FILE.py:FACTORY``. The factory is called with the specification if it
            needs an argument or has one called ``spec``, else without; a class is a factory too.
        spec: What was asked for.

    Raises:
        ConfigError: It cannot be imported, there is no such name, it cannot be called, it fails, or what it
            makes has no method ``score``.
    """
    source, _, attribute = name.rpartition(":")
    module = _guarded(name, lambda: _imported(name, source))
    factory = getattr(module, attribute, None)
    if factory is None:
        raise ConfigError(f"evaluator {name!r}: {source} has no {attribute!r}")
    if not callable(factory):
        raise ConfigError(
            f"evaluator {name!r}: {attribute} is a {type(factory).__name__}; name a function or a class that "
            "makes the evaluator"
        )
    return as_evaluator(_guarded(name, lambda: factory(spec) if _takes_spec(factory) else factory()), spec)


def as_evaluator(given: object, spec: EvaluatorSpec) -> Evaluator:
    """Return an evaluator made of whatever has ``score(templates)``.

    One that has ``info`` and ``examine`` too is returned as it is. Of any other, ``score`` may answer with
    ``Score``, ``Rejection``, or a bare number a template, higher meaning better; then there is no test split.

    Raises:
        ConfigError: It has no method ``score``.
    """
    if not callable(getattr(given, "score", None)):
        raise ConfigError(
            f"an evaluator needs a method score(templates), and {type(given).__name__} has none"
        )
    if callable(getattr(given, "examine", None)) and hasattr(given, "info"):
        return cast("Evaluator", given)
    return ScorerEvaluator(given, spec)


class ScorerEvaluator:
    """A scorer of any kind as an ``Evaluator`` without a test split.

    Args:
        scorer: Has ``score(templates)``; its ``fingerprint``, if it has one, tells runs on different ones
            apart, and its ``in_flight`` says how many batches it takes at once.
        spec: Names the data; where it names none, the scorer's class stands for them.
    """

    def __init__(self, scorer: object, spec: EvaluatorSpec) -> None:
        self._scorer: Any = scorer
        name = type(scorer).__qualname__
        # Without a fingerprint the same class on other data is another black box.
        mark = getattr(scorer, "fingerprint", None) or f"{name} {json.dumps(spec.bare().identity())}"
        self._info = EvaluatorInfo(
            dataset=name if spec.data == DEFAULT_DATA else spec.data,
            classes=0,
            shots=spec.shots,
            seed=spec.seed,
            sizes={"train": 0, "val": 0, "test": 0},
            model=name,
            pretrained="",
            fingerprint=hashlib.sha256(str(mark).encode()).hexdigest(),
        )

    @property
    def info(self) -> EvaluatorInfo:
        """As much as can be known of it."""
        return self._info

    @property
    def in_flight(self) -> int:
        """How many batches the scorer takes at once."""
        return int(getattr(self._scorer, "in_flight", 1))

    def score(self, templates: Sequence[str]) -> list[Verdict]:
        """Ask the scorer; see ``Scorer``.

        Raises:
            EvaluatorError: An answer is neither a number, a ``Score`` nor a ``Rejection``.
        """
        return [_as_verdict(answer) for answer in self._scorer.score(list(templates))]

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores]:
        """Score each ensemble of one template on train and val; see ``Evaluator``.

        A scorer cannot average several templates, so nothing is told of an ensemble of more than one.

        Raises:
            TemplateRejectedError: The scorer rejects a template.
        """
        single = [ensemble[0] for ensemble in ensembles if len(ensemble) == 1]
        found = dict(zip(single, map(checked, self.score(single)), strict=True)) if single else {}
        for template, verdict in found.items():
            if isinstance(verdict, Rejection):
                raise TemplateRejectedError(template, verdict.reason, verdict.message)
        known = {name: verdict for name, verdict in found.items() if isinstance(verdict, Score)}
        return [
            SplitScores(train=known[one[0]].train, val=known[one[0]].val, test=None)
            if len(one) == 1
            else SplitScores(train=None, val=None, test=None)
            for one in ensembles
        ]


def _as_verdict(answer: object) -> Verdict:
    if isinstance(answer, Score | Rejection):
        return answer
    try:
        return Score(train=float(cast("float", answer)))
    except (TypeError, ValueError):
        raise EvaluatorError(
            f"the scorer answered {answer!r}, which is neither a number, a Score nor a Rejection"
        ) from None


def _imported(name: str, source: str) -> ModuleType:
    if source.endswith(".py"):
        return _from_file(name, Path(source).expanduser())
    # As with `python -m`, the folder that one stands in is looked in too, though after what is installed.
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(source)
    except ModuleNotFoundError as error:
        if error.name is not None and (source == error.name or source.startswith(f"{error.name}.")):
            raise ConfigError(
                f"evaluator {name!r}: there is no module {source!r} among what is installed or in {here}; "
                "write FILE.py:FACTORY for a file elsewhere"
            ) from None
        raise


def _from_file(name: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"evaluator {name!r}: there is no file {path.absolute()}")
    spec = importlib.util.spec_from_file_location(f"_evaluator_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # where dataclasses and pickle look for it
    spec.loader.exec_module(module)
    return module


def _guarded(name: str, work: Callable[[], Any]) -> Any:
    """Do what runs the user's code; its failure is said with the line that it happened in."""
    try:
        return work()
    except ConfigError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ConfigError(
            f"evaluator {name!r}: {type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
        ) from error


def _takes_spec(factory: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # some that are written in C do not say
        return False
    return any(
        one.kind in _POSITIONAL and (one.default is inspect.Parameter.empty or one.name == "spec")
        for one in parameters
    )
