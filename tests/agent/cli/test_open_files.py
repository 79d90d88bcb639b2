"""How many files the program may have open, each request in flight among them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.paths import ROOT

pytest.importorskip("resource", reason="Windows has no such limit")

LIMITED = """
import resource, sys
from promptclimb.__main__ import main

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200))
sys.argv = ["promptclimb", "--help"]
code = main()
print(code, *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_crowd_may_have_as_many_requests_in_flight_as_the_system_lets_it() -> None:
    """A shell's own limit, lower than that, is no limit on what may be raised."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "0 200 200", done.stderr
