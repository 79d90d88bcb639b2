"""Whatever the command line can open, opened by it, in a process of its own, and worked with."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

pytestmark = pytest.mark.slow
SEARCH = (
    *("search", "--data", "photos", "--shots", "2", "--restarts", "1", "--conversations", "1"),
    *("--initial", "8", "--rounds", "2", "--json"),
)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, until it ends."""
    command = [sys.executable, "-m", "promptclimb", *arguments]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )


def leaderboard(folder: Path, *arguments: str) -> list[tuple[str, float]]:
    """What a search finds."""
    done = run(folder, *SEARCH, *arguments)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    return [(row["template"], row["train"]) for row in document["leaderboard"]]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, float]]:
    """What the search finds in one process."""
    return leaderboard(tmp_path_factory.mktemp("alone"), "--method", "random", "--run-dir", "r")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def cluster() -> Iterator[tuple[str, Path]]:
    """A Ray cluster of one machine: its address, and Ray's program."""
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    program, address = Path(sys.executable).with_name("ray"), f"127.0.0.1:{free_port()}"
    start = [program, "start", "--head", "--num-cpus", "1", "--include-dashboard=false"]
    start += ["--node-ip-address", "127.0.0.1", "--port", address.rpartition(":")[2]]
    subprocess.run(start, env=ENVIRONMENT, capture_output=True, timeout=120, check=True)
    try:
        yield address, program
    finally:
        subprocess.run([program, "stop", "--force"], capture_output=True, timeout=120, check=False)


@pytest.mark.alone
def test_a_cluster_that_ray_starts_here(tmp_path: Path, alone: list[tuple[str, float]]) -> None:
    """It lives as long as the search, and scores as one process does."""
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    assert leaderboard(tmp_path, "--method", "random", "--ray", "local", "--run-dir", "r") == alone


@pytest.mark.alone
def test_a_cluster_that_is_there(
    tmp_path: Path, alone: list[tuple[str, float]], cluster: tuple[str, Path]
) -> None:
    """By its address; and when it is lost in the middle, the search says so and how to go on."""
    address, program = cluster
    assert leaderboard(tmp_path, "--method", "random", "--ray", address, "--run-dir", "r") == alone
    long = ("--rounds", "10000", "--method", "random", "--ray", address, "--run-dir", "long")
    command = [sys.executable, "-m", "promptclimb", *SEARCH, *long]
    with subprocess.Popen(
        command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as search:
        assert search.stderr is not None
        for line in search.stderr:
            if re.search(r"\b[1-9][\d,]* of [\d,]+ rounds", line):
                break
        subprocess.run([program, "stop", "--force"], capture_output=True, timeout=120, check=True)
        stderr = search.stderr.read()
        assert search.wait(120) == 1
    assert re.search(r"error: scoring failed: .*the Ray cluster at .* is lost", stderr)
    assert "Resume with: " in stderr


def test_a_device_that_is_not_here_is_said(tmp_path: Path) -> None:
    """Before anything is made."""
    done = run(tmp_path, *SEARCH, "--method", "random", "--device", "cuda:0,97", "--run-dir", "r")
    assert done.returncode == 2
    _data, error = done.stderr.strip().splitlines()
    assert "cuda" in error
    assert not (tmp_path / "r").exists()
