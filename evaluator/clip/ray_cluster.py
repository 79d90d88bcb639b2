"""Many machines: scorer actors on a Ray cluster behind the same protocol; needs the extra ``ray``.

The cluster's address, its nodes and its growth are Ray's own business. What is here deals the templates of a
batch out to actors, starts more of them while batches are large and lets idle ones go, and gives the work of
an actor that died (with its node, perhaps) to another one.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import EvaluatorError, ModelError
from ..illustrating import Thumbnail
from ..inspection import Inspection
from ..predicting import Predictions
from ..scoring import EvaluatorInfo, SplitScores, Verdict
from ..spec import EvaluatorSpec, Report
from .in_process import SearchSplits, build_encoder
from .models import load_model, parse_devices
from .open_clip_evaluator import OpenClipEvaluator
from .ray_connection import Connection
from .zero_shot import Labelled

Answers = list[Verdict]

TEMPLATES_AN_ACTOR = 8
IDLE_BATCHES = 20
TRIES = 4
START_S = 600.0


@dataclass(frozen=True, slots=True)
class Shipped:
    """One split on its way through the object store: features [n, E], labels [n], number of classes."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: int

    @classmethod
    def pack(cls, split: Labelled) -> Shipped:
        """Return a split as arrays, which the object store shares between the actors of a node."""
        return cls(split.features.cpu().numpy(), split.labels.cpu().numpy(), split.classes)

    def unpack(self) -> Labelled:
        """Return the split as tensors that view the store's memory, which nothing here writes to."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return Labelled(torch.from_numpy(self.features), torch.from_numpy(self.labels), self.classes)


class Worker:
    """Scores templates in an actor, with a model of its own and the features of the driver."""

    def __init__(
        self, spec: EvaluatorSpec, info: EvaluatorInfo, names: Sequence[str], key: str, *splits: Shipped
    ) -> None:
        (device,) = parse_devices("cuda:0" if torch.cuda.is_available() else "cpu")
        loaded = load_model(spec.model, spec.pretrained, device)
        if loaded.key != key:
            raise ModelError(
                f"{spec.pretrained} of {spec.model} is another file on this node than on the driver's"
            )
        train, val, views = (split.unpack() for split in splits)
        here = spec.model_copy(update={"device": str(device)})
        self._evaluator = OpenClipEvaluator(
            info=info,
            encoder=build_encoder(here, [loaded], names, lambda _line: None),
            class_names=names,
            train=train,
            val=val,
            open_test=_no_test,
            views=views,
            objective=spec.objective,
            logit_scale=loaded.logit_scale,
        )

    def ready(self) -> bool:
        """Answer once the model is loaded."""
        return True

    def score(self, templates: Sequence[str]) -> Answers:
        """See ``Scorer``."""
        return self._evaluator.score(templates)


def _no_test() -> Labelled:
    raise EvaluatorError("the test split is opened on the driver alone")


class ClusterEvaluator:
    """An evaluator whose scores are computed by actors; it examines in this process. See ``Evaluator``.

    Args:
        local: The evaluator of this process: its info, its test split.
        splits: What the actors score on.
        spec: What was asked for; ``spec.ray`` is the address, or ``auto``.
        report: Told how many actors there are, and when one is replaced.

    Raises:
        ModelError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(
        self,
        local: OpenClipEvaluator,
        splits: SearchSplits,
        spec: EvaluatorSpec,
        *,
        report: Report = lambda _line: None,
    ) -> None:
        self._cluster = cluster = Connection(spec.ray or "auto")
        ray = cluster.ray
        self._local = local
        given = (
            spec.model_copy(update={"ray": None, "cache_dir": None}),
            replace(local.info, notes={}, baselines={}, sizes=dict(local.info.sizes)),
            splits.class_names,
            splits.model_key,
            ray.put(Shipped.pack(splits.train)),
            ray.put(Shipped.pack(splits.val)),
            ray.put(Shipped.pack(splits.views)),
        )
        self._pool = Pool(cluster, given, report)
        self._pool.some()
        report(f"ray: room for {cluster.places()} scorers on {len(ray.nodes())} nodes")

    @property
    def info(self) -> EvaluatorInfo:
        """What this evaluator scores on."""
        return self._local.info

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores]:
        """Open the test split in this process; see ``Evaluator``."""
        return self._local.examine(ensembles, test=test)

    def inspect(self, ensemble: Sequence[str], *, split: str) -> Inspection:
        """Look at one ensemble in this process; see ``Inspector``."""
        return self._local.inspect(ensemble, split=split)

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        """Classify images in this process; see ``Predictor``."""
        return self._local.predict(ensembles, split=split)

    def image_set(self, split: str) -> str:
        """Return a content hash of the images of a split; see ``Illustrator``."""
        return self._local.image_set(split)

    def thumbnails(self, split: str, places: Sequence[int]) -> list[Thumbnail | None]:
        """Return small pictures of images that this process has; see ``Illustrator``."""
        return self._local.thumbnails(split, places)

    def score(self, templates: Sequence[str]) -> Answers:
        """Score templates on the actors; see ``Scorer``.

        Raises:
            EvaluatorError: The same templates were lost with several actors one after the other, or the
                cluster is lost.
        """
        if not templates:
            return []
        actors = self._pool.fit(len(templates))
        share = -(-len(templates) // len(actors))
        parts = [templates[i : i + share] for i in range(0, len(templates), share)]
        flying = {actors[i].score.remote(part): (i, actors[i]) for i, part in enumerate(parts)}
        answers: list[Answers] = [[] for _ in parts]
        losses = [0] * len(parts)
        while flying:
            (reference,) = self._cluster.first_of(flying)
            place, actor = flying.pop(reference)
            try:
                answers[place] = self._cluster.ray.get(reference)
            except self._cluster.ray.exceptions.RayActorError as error:
                losses[place] += 1
                if losses[place] == TRIES:
                    raise EvaluatorError(
                        f"{len(parts[place])} templates were lost with {TRIES} scorers one after the other"
                    ) from error
                self._pool.drop(actor)
                other = self._pool.some()
                flying[other.score.remote(parts[place])] = (place, other)
        return [one for part in answers for one in part]


class Pool:
    """Actors that are ready, and actors that are still starting, which may wait for a place for long."""

    def __init__(self, cluster: Connection, given: Sequence[Any], report: Report) -> None:
        self._cluster = cluster
        self._ray = ray = cluster.ray
        self._given = tuple(given)
        self._report = report
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        self._kind = ray.remote(num_cpus=1, num_gpus=gpus)(Worker)
        self._ready: list[Any] = []
        self._starting: dict[Any, Any] = {}
        self._quiet = 0

    def fit(self, waiting: int) -> list[Any]:
        """Return the actors to deal a batch to; start more if it is worth it, let idle ones go."""
        wanted = max(1, min(self._cluster.places(), -(-waiting // TEMPLATES_AN_ACTOR)))
        while len(self._ready) + len(self._starting) < wanted:
            self._start()
        self._admit(0)
        self._quiet = self._quiet + 1 if wanted < len(self._ready) else 0
        if self._quiet > IDLE_BATCHES:
            self._ray.kill(self._ready.pop())
            self._quiet = 0
        return list(self._ready) or [self.some()]

    def some(self) -> Any:
        """Return an actor that is ready; waits for one if need be.

        Raises:
            ModelError: The actors cannot start: what they say.
            EvaluatorError: None became ready in time, or the cluster is lost.
        """
        if not self._ready:
            if not self._starting:
                self._start()
            self._admit(START_S)
        if not self._ready:
            raise EvaluatorError(
                f"ray: no scorer was ready within {START_S:.0f} s; does the cluster have room?"
            )
        self._ready.append(self._ready.pop(0))
        return self._ready[-1]

    def drop(self, actor: Any) -> None:
        """Forget an actor that died."""
        if actor in self._ready:
            self._ready.remove(actor)
            self._report(f"ray: a scorer died; {len(self._ready)} are left, and its templates go to another")

    def _start(self) -> None:
        self._cluster.check()
        actor = self._kind.remote(*self._given)
        self._starting[actor.ready.remote()] = actor

    def _admit(self, wait_s: float) -> None:
        if not self._starting:
            return
        for reference in self._cluster.first_of(self._starting, wait_s=wait_s):
            actor = self._starting.pop(reference)
            try:
                self._ray.get(reference)
            except self._ray.exceptions.RayActorError as error:
                # An actor that dies while it starts says why, unless its node died under it.
                if "DataError" in str(error) or "ModelError" in str(error):
                    raise ModelError(f"ray: a scorer cannot start: {_last_line(error)}") from error
                self._report("ray: a scorer died while it started")
            else:
                self._ready.append(actor)


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
