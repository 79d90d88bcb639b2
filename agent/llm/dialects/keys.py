"""What a key may be, and how it is sent."""

from __future__ import annotations

import base64
from urllib.parse import urlsplit

from ....evaluator.errors import ConfigError


def key_headers(url: str, key: str, userinfo: str = "") -> dict[str, str]:
    """Return the headers that say who asks: none without a key.

    Azure's deployments want the key as ``api-key``; its newer addresses, and gateways that imitate the older
    ones, as a bearer token. Either reads its own and leaves the other alone, so both are sent there.

    Args:
        url: The endpoint's address.
        key: The key, or empty.
        userinfo: ``user:password`` of the address, used where there is no key; or empty.

    Raises:
        ConfigError: It cannot be sent in a header.
    """
    if key := clean_key(key):
        azure = {"api-key": key} if is_azure(url) else {}
        return {"Authorization": f"Bearer {key}", **azure}
    if userinfo:
        return {"Authorization": f"Basic {base64.b64encode(userinfo.encode()).decode()}"}
    return {}


def clean_key(key: str, name: str = "the API key") -> str:
    """Return a key without the spaces and line ends that copying brings.

    Args:
        key: As it was given.
        name: What a message calls it: the variable that holds it.

    Raises:
        ConfigError: It cannot be sent in a header.
    """
    clean = key.strip()
    if not clean.isascii() or not clean.isprintable() or " " in clean:
        raise ConfigError(f"{name} has characters that no key has, such as a second line; copy it again")
    return clean


def is_azure(url: str) -> bool:
    """Whether an address is Azure's, or of its form: a deployment in the path."""
    parts = urlsplit(url)
    return (parts.hostname or "").endswith(".azure.com") or "/openai/deployments/" in parts.path
