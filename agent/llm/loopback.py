"""Addresses of this machine: what is sent there can be read by nobody else, and needs no proxy."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(url: str) -> bool:
    """Whether an address is one of this machine's own."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def no_proxy_pattern(url: str) -> str:
    """Return the pattern by which the HTTP client knows an address of this machine."""
    host = urlsplit(url).hostname or ""
    return f"all://[{host}]" if ":" in host else f"all://{host}"
