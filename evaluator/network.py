"""Check addresses, and quickly whether a host can be reached; clients would retry for a minute."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import aiohttp

REACH_S = 3.0
_UNKNOWN_ISSUER = frozenset({18, 19, 20, 21})
"""OpenSSL's codes of certificates that nobody known has signed."""
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"})
"""OpenSSL's reasons if a server answers in plain text."""
_PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def reachable(host: str, port: int) -> bool:
    """Return whether a connection opens within three seconds; behind a proxy, return True."""
    if any(os.environ.get(name) for name in _PROXIES):
        return True
    try:
        with socket.create_connection((host, port), timeout=REACH_S):
            return True
    except OSError:
        return False


def hub_offline() -> bool:
    """Return whether Hugging Face's client is set to offline."""
    import huggingface_hub.constants as constants

    return bool(constants.HF_HUB_OFFLINE)


def hub_address() -> tuple[str, int]:
    """Return host and port of Hugging Face's hub, or of the mirror in ``HF_ENDPOINT``."""
    import huggingface_hub.constants as constants

    where = urlsplit(constants.ENDPOINT)
    return where.hostname or "", where.port or (80 if where.scheme == "http" else 443)


def check_url(url: str | None) -> str | None:
    """Return a base URL without its final slash."""
    if url is None:
        return None
    form = "http:// or https:// and a host, such as http://127.0.0.1:8000/v1"
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        raise ValueError(f"it is not an address; write {form}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"write {form}")
    try:
        possible = parts.port != 0
    except ValueError:
        possible = False
    if not possible:
        raise ValueError("its port must be a number from 1 to 65535")
    return url.strip().rstrip("/")


def is_loopback(url: str) -> bool:
    """Return whether an address is on this machine, so that it needs neither encryption nor a proxy."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tls_problem(error: aiohttp.ClientConnectorError) -> str | None:
    """Return what is wrong with an encrypted connection, and what helps; None if something else is wrong."""
    cause = getattr(error, "certificate_error", None) or error.os_error
    if isinstance(cause, ssl.SSLCertVerificationError):
        advice = ""
        if cause.verify_code in _UNKNOWN_ISSUER:
            advice = "; if you trust it, set SSL_CERT_FILE to a PEM file with it, or with its authority"
        return f"its certificate is not trusted: {cause.verify_message}{advice}"
    if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
        return "it does not speak TLS; if it has no certificate, its address begins with http://"
    return None


def why_unconnected(error: aiohttp.ClientConnectorError) -> str:
    """Return briefly why a connection failed: ``Connection refused``."""
    if (problem := tls_problem(error)) is not None:
        return problem
    cause = error.os_error
    if cause.errno and cause.errno > 0 and not isinstance(cause, ssl.SSLError):
        return os.strerror(cause.errno)  # asyncio writes the address in place of the reason
    return cause.strerror or str(cause) or type(cause).__name__
