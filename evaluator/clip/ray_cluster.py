"""Score on many machines with actors on a Ray cluster. Needs the extra ``ray``.

A dead actor's work goes to another one. Ray itself manages addresses, nodes and growth.
"""

from __future__ import annotations

import math
import os
import socket
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..counts import how_to_install
from ..errors import EvaluatorError, ModelError
from ..scoring import EvaluatorInfo, Verdict
from ..spec import EvaluatorSpec, Report
from ..threads import DaemonThreads
from .in_process import build_encoder
from .models import load_model, parse_devices
from .open_clip_evaluator import OpenClipEvaluator
from .zero_shot import Labelled

REACH_S = 5.0
LOOK_S = 5.0
"""Seconds without an answer before the cluster is checked."""
PAUSES_S = (0.0, 1.0, 3.0)
"""Seconds before each check; if all fail, the cluster is lost."""
_NEVER_S = 7 * 24 * 3600
MOST_ACTORS = 4
"""More would have fewer than eight templates of a batch each."""
TRIES = 4
START_S = 600.0
Answers = list[Verdict]
Arrays = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Features [n, E] and labels [n] of a split."""
_keeper = DaemonThreads(1)
"""Ray ends a local cluster with the thread that started it; this thread lives as long as the process."""


class Connection:
    """A cluster at ``HOST:PORT``, ``ray://HOST:PORT`` or ``auto``, or one started here for ``local``."""

    def __init__(self, address: str) -> None:
        self.ray = _connected(address)
        self._address = address
        self._head: str = getattr(self.ray.get_runtime_context(), "gcs_address", "") or ""
        self._lost = False

    def slots(self) -> int:
        """Return how many actors the cluster holds: one per GPU, or per CPU without GPUs."""
        self.check()
        resources = self.ray.cluster_resources()
        return max(1, int(resources.get("GPU") or resources.get("CPU") or 1))

    def first_of(self, references: Iterable[Any], *, wait_s: float = math.inf) -> list[Any]:
        """Wait until one of several results is there and return it in a list; empty after ``wait_s``."""
        waiting, left_s = list(references), wait_s
        while True:
            done, _ = self.ray.wait(waiting, num_returns=1, timeout=min(left_s, LOOK_S))
            left_s -= LOOK_S
            if done or left_s <= 0:
                return list(done)
            self.check()

    def check(self) -> None:
        """Check that the cluster still exists; Ray itself would wait for it."""
        if not self._lost and self._head:
            self._lost = True
            for pause_s in PAUSES_S:
                time.sleep(pause_s)
                if _unreachable(self._head) is None:
                    self._lost = False
                    break
        if self._lost:
            raise EvaluatorError(f"the Ray cluster at {self._head or self._address} is lost")


def _connected(address: str) -> Any:
    # Otherwise Ray ends the process silently some time after it has lost its cluster.
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(_NEVER_S))
    try:
        import ray
    except ImportError as missing:
        raise ModelError(f"scoring on a cluster needs Ray: {how_to_install('ray')}") from missing
    if ray.is_initialized():
        return ray
    if ":" in address.removeprefix("ray://") and (error := _unreachable(address)) is not None:
        raise ModelError(
            f"there is no Ray cluster at {address!r} ({error}); `ray start` on a head node prints it"
        ) from error
    try:
        _keeper.submit(ray.init, address=address, log_to_driver=False, configure_logging=False).result()
    except (ConnectionError, ValueError, RuntimeError) as failure:
        raise ModelError(
            f"there is no Ray cluster at {address!r}: {failure}; for one with token authentication set "
            "RAY_AUTH_MODE=token"
        ) from failure
    return ray


def _unreachable(address: str) -> Exception | None:
    """Return why nothing answers at an address, after one connection; Ray would retry for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=REACH_S):
            return None
    except (OSError, ValueError) as error:
        return error


def _arrays(split: Labelled) -> Arrays:
    return split.features.cpu().numpy(), split.labels.cpu().numpy()


class Worker:
    """Scores templates in an actor, with its own model and the driver's features."""

    def __init__(
        self, spec: EvaluatorSpec, info: EvaluatorInfo, names: Sequence[str], key: str, *splits: Arrays
    ) -> None:
        (device,) = parse_devices("cuda:0" if torch.cuda.is_available() else "cpu")
        loaded = load_model(spec.model, spec.pretrained, device)
        if loaded.key != key:
            raise ModelError(
                f"{spec.pretrained} of {spec.model} is another file on this node than on the driver's"
            )
        with warnings.catch_warnings():
            # The actors of a node share the store's memory, which must not be written to.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            train, val, augmented = (
                Labelled(torch.from_numpy(features), torch.from_numpy(labels), len(names))
                for features, labels in splits
            )
        local_spec = spec.model_copy(update={"device": str(device)})
        self._evaluator = OpenClipEvaluator(
            info=info,
            encoder=build_encoder(local_spec, [loaded], names, lambda _line: None),
            class_names=names,
            train=train,
            val=val,
            open_test=_no_test,
            augmented=augmented,
            objective=spec.objective,
            logit_scale=loaded.logit_scale,
        )

    def ready(self) -> bool:
        return True

    def score(self, templates: Sequence[str]) -> Answers:
        return self._evaluator.score(templates)


def _no_test() -> Labelled:
    raise EvaluatorError("the test split is opened on the driver alone")


class ClusterEvaluator:
    """An evaluator whose ``score`` runs on actors; all else runs in this process."""

    def __init__(
        self,
        local: OpenClipEvaluator,
        model_key: str,
        spec: EvaluatorSpec,
        *,
        report: Report = lambda _line: None,
    ) -> None:
        self._cluster = cluster = Connection(spec.ray or "auto")
        self._ray = ray = cluster.ray
        self._report = report
        self._local = local
        self.examine, self.predict = local.examine, local.predict
        self.class_names, self.classifier = local.class_names, local.classifier
        self.logit_scale = local.logit_scale
        self.evidence, self.learn, self.decide = local.evidence, local.learn, local.decide
        self.probabilities = local.probabilities
        self.predict_named = local.predict_named
        self.image_set, self.thumbnails = local.image_set, local.thumbnails
        self._arguments = (
            spec.model_copy(update={"ray": None, "cache_dir": None}),
            replace(local.info, notes={}, baselines={}, sizes=dict(local.info.sizes)),
            local.class_names,
            model_key,
            *(ray.put(_arrays(local.split(name))) for name in ("train", "val", "copies")),
        )
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        self._kind = ray.remote(num_cpus=1, num_gpus=gpus)(Worker)
        self._ready: list[Any] = []
        self._starting: dict[Any, Any] = {}  # actors by the result that says that they are ready
        slots = cluster.slots()
        for _ in range(min(slots, MOST_ACTORS)):
            self._start()
        self._admit()
        report(f"ray: room for {slots} scorers on {len(ray.nodes())} nodes")

    @property
    def info(self) -> EvaluatorInfo:
        return self._local.info

    def score(self, templates: Sequence[str]) -> Answers:
        if not templates:
            return []
        self._admit()
        actors = list(self._ready)
        share = -(-len(templates) // len(actors))
        shares = [templates[start : start + share] for start in range(0, len(templates), share)]
        # For each result that is awaited, the number of its share and the actor at work on it.
        flying = {actors[i].score.remote(batch): (i, actors[i]) for i, batch in enumerate(shares)}
        answers: list[Answers] = [[] for _ in shares]
        losses = [0] * len(shares)
        while flying:
            (reference,) = self._cluster.first_of(flying)
            number, actor = flying.pop(reference)
            try:
                answers[number] = self._ray.get(reference)
            except self._ray.exceptions.RayActorError as error:
                losses[number] += 1
                if losses[number] == TRIES:
                    raise EvaluatorError(
                        f"{len(shares[number])} templates were lost with {TRIES} scorers one after the other"
                    ) from error
                if actor in self._ready:
                    self._ready.remove(actor)
                    left = f"{len(self._ready)} are left, and its templates go to another"
                    self._report(f"ray: a scorer died; {left}")
                self._admit()
                actor = self._ready[number % len(self._ready)]
                flying[actor.score.remote(shares[number])] = (number, actor)
        return [verdict for verdicts in answers for verdict in verdicts]

    def _start(self) -> None:
        self._cluster.check()
        actor = self._kind.remote(*self._arguments)
        self._starting[actor.ready.remote()] = actor

    def _admit(self) -> None:
        """Take in an actor that is ready; wait for one if there is none at all."""
        if not self._ready and not self._starting:
            self._start()
        wait_s = 0 if self._ready else START_S
        for reference in self._cluster.first_of(self._starting, wait_s=wait_s) if self._starting else ():
            actor = self._starting.pop(reference)
            try:
                self._ray.get(reference)
            except self._ray.exceptions.RayActorError as error:
                # An actor that dies at start says why, unless its node died.
                if "DataError" in str(error) or "ModelError" in str(error):
                    reason = str(error).strip().splitlines()[-1]
                    raise ModelError(f"ray: a scorer cannot start: {reason}") from error
                self._report("ray: a scorer died while it started")
            else:
                self._ready.append(actor)
        if not self._ready:
            raise EvaluatorError(
                f"ray: no scorer was ready within {START_S:.0f} s; does the cluster have room?"
            )
