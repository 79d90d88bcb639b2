"""The way to a Ray cluster, which may be lost; needs the extra ``ray``."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Iterable
from typing import Any

from ..errors import EvaluatorError, ModelError
from ..extras import how_to_install
from ..threads import DaemonThreads

REACH_S = 5.0
LOOK_S = 5.0
"""Seconds without an answer after which it is asked whether the cluster is still there."""
PAUSES_S = (0.0, 1.0, 3.0)
"""Seconds before each of the looks that find nobody where a cluster is lost."""
_NEVER_S = 7 * 24 * 3600
_keeper = DaemonThreads(1)
"""A cluster that Ray starts here ends with the thread that started it: this one ends with the process."""


class Connection:
    """A cluster that this process is connected to.

    Args:
        address: ``HOST:PORT``, ``ray://HOST:PORT``, ``auto``, or ``local`` for one that is started here.

    Attributes:
        ray: Ray's module.

    Raises:
        ModelError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, address: str) -> None:
        self.ray = _connected(address)
        self._address = address
        self._head: str = getattr(self.ray.get_runtime_context(), "gcs_address", "") or ""
        self._lost = False

    def places(self) -> int:
        """Return how many actors the cluster holds: one for each GPU, or for each CPU where there is none.

        Raises:
            EvaluatorError: The cluster is lost.
        """
        self.check()
        resources = self.ray.cluster_resources()
        return max(1, int(resources.get("GPU") or resources.get("CPU") or 1))

    def first_of(self, references: Iterable[Any], *, wait_s: float = math.inf) -> list[Any]:
        """Wait until one of several results is there, and return it in a list; an empty one after a while.

        Raises:
            EvaluatorError: The cluster is lost.
        """
        waited, left = list(references), wait_s
        while True:
            done, _ = self.ray.wait(waited, num_returns=1, timeout=min(left, LOOK_S))
            left -= LOOK_S
            if done or left <= 0:
                return list(done)
            self.check()

    def check(self) -> None:
        """Make sure that the cluster is still there: Ray itself waits for one that is gone.

        Raises:
            EvaluatorError: The cluster is lost, now and for good.
        """
        if not self._lost and self._head:
            self._lost = not any(_answers(self._head, after_s) for after_s in PAUSES_S)
        if self._lost:
            raise EvaluatorError(f"the Ray cluster at {self._head or self._address} is lost")


def _connected(address: str) -> Any:
    # Ray ends the whole process, without a word of ours, so long after it has lost its cluster.
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(_NEVER_S))
    try:
        import ray
    except ImportError as error:
        raise ModelError(f"scoring on a cluster needs Ray: {how_to_install('ray')}") from error
    if ray.is_initialized():
        return ray
    _check_reachable(address)
    try:
        _keeper.submit(ray.init, address=address, log_to_driver=False, configure_logging=False).result()
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"there is no Ray cluster at {address!r}: {error}; for one with token authentication set "
            "RAY_AUTH_MODE=token"
        ) from error
    return ray


def _check_reachable(address: str) -> None:
    """Ask for one connection only: Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:
        return
    try:
        with socket.create_connection((host, int(port)), timeout=REACH_S):
            return
    except (OSError, ValueError) as error:
        raise ModelError(
            f"there is no Ray cluster at {address!r} ({error}); `ray start --head` prints the address of one"
        ) from error


def _answers(address: str, after_s: float) -> bool:
    time.sleep(after_s)
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=REACH_S):
            return True
    except (OSError, ValueError):
        return False
