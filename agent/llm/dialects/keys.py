"""How a key is sent."""

from __future__ import annotations

import base64
from urllib.parse import urlsplit


def key_headers(url: str, key: str, userinfo: str = "") -> dict[str, str]:
    """Return the headers that say who asks: none without a key.

    Azure's deployments want the key as ``api-key``; its newer addresses, and gateways that imitate the older
    ones, as a bearer token. Either reads its own and leaves the other alone, so both are sent there.

    Args:
        url: The endpoint's address.
        key: The key, or empty.
        userinfo: ``user:password`` of the address, used where there is no key; or empty.
    """
    if key:
        azure = {"api-key": key} if is_azure(url) else {}
        return {"Authorization": f"Bearer {key}", **azure}
    if userinfo:
        return {"Authorization": f"Basic {base64.b64encode(userinfo.encode()).decode()}"}
    return {}


def is_azure(url: str) -> bool:
    """Whether an address is Azure's, or of its form: a deployment in the path."""
    parts = urlsplit(url)
    return (parts.hostname or "").endswith(".azure.com") or "/openai/deployments/" in parts.path
