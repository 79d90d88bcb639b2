"""What the program brings with it may be passed on with it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement

ALLOWED = re.compile(
    r"(?:MIT(?:-CMU|-0)?|(?:3-Clause )?BSD(?:-[23]-Clause)?|0BSD|Apache(?:[ -]2\.0)?|ISC|Zlib|CC0-1\.0"
    r"|PSF-2\.0|Python Software Foundation|CNRI-Python|The Unlicense|MPL-2\.0|Mozilla Public 2\.0"
    r"|(?:Apache-2\.0 WITH )?LLVM-exception|BSL-1\.0|HPND|Unlicense)"
)
"""What asks for no more than to be named, and MPL-2.0, which holds for its own files alone."""
BY_NAME = {"pygal": "LGPLv3+"}
"""Copyleft libraries that are called as they come, installed beside the program and no part of it."""
BETWEEN = re.compile(r"\s*(?:;|\bAND\b|\bOR\b|[()])\s*")


def needed(root: str) -> set[str]:
    """The names of a distribution and of all that it needs here, without extras."""
    found: set[str] = set()
    waiting = [root]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found.add(name)
        waiting += [
            one.name
            for one in map(Requirement, requirements)
            if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
    return found


def parts(licence: str) -> list[str]:
    """The licences that an expression names, in the classifiers' words or in SPDX's."""
    plain = re.sub(r"\((?:MPL 2\.0|Unlicense|ISCL)\)|\b(?:Software )?License\b", "", licence)
    return [" ".join(part.split()) for part in BETWEEN.split(plain) if part.strip()]


@pytest.mark.slow
def test_every_licence_is_one_that_is_known_to_allow_it() -> None:
    """Of what is installed with the program, without extras; a new kind is for a person to read first."""
    names = needed("promptclimb")
    assert {"torch", "diskcache", "openai"} <= names
    command = [sys.executable, "-m", "piplicenses", "--format=json", "--from=mixed", "--packages", *names]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(listed) > 20
    unknown = {
        one["Name"]: one["License"]
        for one in listed
        if BY_NAME.get(one["Name"], "none") not in one["License"]
        and not one["Name"].lower().startswith("nvidia-")  # CUDA's own terms; torch brings it, or does not
        and not all(ALLOWED.fullmatch(part) for part in parts(one["License"]) or ["none"])
    }
    assert not unknown
