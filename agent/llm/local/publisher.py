"""A model from the repository of those who publish it, on Hugging Face or a mirror of it."""

from __future__ import annotations

import os
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from ...errors import EndpointError
from .known_models import KnownModel, Progress

HUB = "https://huggingface.co"
CONNECT_S, READ_S = 5.0, 30.0
_YES = frozenset({"1", "TRUE", "YES", "ON"})


def download(model: KnownModel, part: Path, progress: Progress) -> None:
    """Add to a file what it lacks of a model.

    ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE`` are obeyed, as Hugging Face's own library does.

    Args:
        model: Which.
        part: Holds its first bytes, or is not there yet.
        progress: Hears how far it is.

    Raises:
        EndpointError: It cannot be had there; what came stays.
        OSError: The file cannot be written.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in _YES:
        raise EndpointError("HF_HUB_OFFLINE is set")
    hub = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    host = urlsplit(hub).hostname or "HF_ENDPOINT"
    url = f"{hub}/{model.repository}/resolve/{model.revision}/{model.file}"
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    timeout = httpx2.Timeout(READ_S, connect=CONNECT_S)
    try:
        with httpx2.stream("GET", url, headers=headers, follow_redirects=True, timeout=timeout) as reply:
            if reply.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                raise EndpointError(f"{host} answers HTTP {reply.status_code}")
            if reply.status_code == HTTPStatus.OK:
                have = 0  # all of it comes, whatever was asked for
            with part.open("ab" if have else "wb") as file:
                for chunk in reply.iter_raw():
                    have += len(chunk)
                    if have > model.size:
                        raise EndpointError(f"{host} has another file under that name")
                    file.write(chunk)
                    progress(host, have)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise EndpointError(f"{host} cannot be reached ({type(error).__name__})") from error
    if have < model.size:
        raise EndpointError(f"{host} sent {have:,} of {model.size:,} bytes")
