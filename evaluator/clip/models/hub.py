"""Files of pretrained models: in a cache, from the hub, or an error at once that says what to put where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...errors import ModelError
from ...network import hub_address, hub_offline, reachable
from ...spec import Report

CONFIG_NAME = "open_clip_config.json"
WEIGHTS_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def repository_files(repository: str, names: Sequence[str], report: Report) -> Path:
    """Return the first of ``names`` that a hub repository has: from the local cache, else downloaded.

    Raises:
        ModelError: None is in the cache and the hub cannot be asked, or it has none of them.
    """
    import huggingface_hub

    for name in names:
        found = huggingface_hub.try_to_load_from_cache(repository, name)
        if isinstance(found, str):
            return Path(found)
    _check_network(repository, names)
    failures = []
    for name in names:
        report(f"downloading {name} of {repository} from the hub")
        try:
            return Path(huggingface_hub.hf_hub_download(repository, name))
        except (OSError, ValueError, huggingface_hub.errors.HfHubHTTPError) as error:
            failures.append(f"{name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
    raise ModelError(f"the hub gave no weights for {repository} ({'; '.join(failures)})")


def tagged_file(tag: Mapping[str, Any], report: Report) -> Path:
    """Return the weights behind one of open_clip's tags, given the tag's own description.

    Raises:
        ModelError: They are neither here nor to be had.
    """
    if hub := tag.get("hf_hub"):
        repository, _, name = hub.rpartition("/")
        return repository_files(repository, _alternatives(name), report)
    url = str(tag["url"])
    target = Path.home() / ".cache" / "clip" / url.rsplit("/", 1)[-1]
    if target.is_file():
        return target
    host = urlsplit(url).hostname or ""
    if hub_offline() or not reachable(host, 443):
        raise ModelError(f"the weights are not here and {host} cannot be reached: put {url} at {target}")
    import open_clip.pretrained

    report(f"downloading {url}")
    try:
        return Path(open_clip.pretrained.download_pretrained_from_url(url))
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{url} could not be downloaded: {error}") from error


def _alternatives(name: str) -> list[str]:
    """Return names to look for, safetensors first; an empty name means open_clip's usual ones."""
    if not name:
        return list(WEIGHTS_NAMES)
    stem, dot, ending = name.rpartition(".")
    safe = f"{stem}.safetensors" if dot and ending in {"bin", "pth", "pt"} else ""
    return [safe, name] if safe else [name]


def _check_network(repository: str, names: Sequence[str]) -> None:
    """Ask for one connection only: the hub's client would retry for a minute."""
    import huggingface_hub.constants as constants

    host, port = hub_address()
    if not hub_offline() and reachable(host, port):
        return
    why = "HF_HUB_OFFLINE is set" if hub_offline() else f"{host} cannot be reached"
    raise ModelError(
        f"{repository} is not in the hub's cache and {why}. Where there is a network, run "
        f"`hf download {repository} {names[0]}` and copy the folder "
        f"models--{repository.replace('/', '--')} into {constants.HF_HUB_CACHE}; "
        f"or give the weights file itself as --pretrained FILE"
    )
