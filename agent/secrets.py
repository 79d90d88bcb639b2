"""Send keys, and remove secrets from all else that leaves the program: logs, files, messages, errors."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from pydantic import SecretStr

from ..evaluator.errors import ConfigError

HIDDEN = "[secret]"
SHORTEST = 6
PIECE = 12

_LOOKS_SECRET = re.compile(
    r"(?i:(?<=bearer )|(?<=basic ))[A-Za-z0-9._~+/=-]{8,}|\bsk-[A-Za-z0-9_-]{8,}"
    r"|(?<=://)[^\s/@:\"']+:[^\s/@\"']*(?=@)"
)
_NAMES_SECRET = re.compile(r"(?:_|API)(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD)(?:_?\d+)?\Z", re.IGNORECASE)
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
_SECRET_WORD = re.compile(
    r"api_?key|authori[sz]ation|pass(?:word|wd|phrase)|secret|credential"
    r"|(?:\A|_)(?:auth|bearer|cookies?|headers|jwt|pwd)(?:_|\Z)"
)
_KEY = re.compile(r"(\w*?)_?(?:keys?|token)")
_SIGNS = re.compile(r"code|(?:.*[_-])?sig(?:nature)?", re.IGNORECASE)
"""Parameters of an address that let its bearer in, beside those with the name of a key or token."""
_NO_SECRET = re.compile(
    r"(?:\A|_)(?:begin|bos|cache|end|eos|idempotency|image|mask|pad|partition|routing|sep|sort|start|stop|text|unk)\Z"
)
"""What stands before ``key`` or ``token`` in the name of a text that is no secret."""
T = TypeVar("T")


class CleanUrl(NamedTuple):
    """An address without its credentials, and the credentials (``user:password``)."""

    url: str
    userinfo: SecretStr


def split_userinfo(url: str) -> CleanUrl:
    """Take ``user:password@`` out of an address, and unquote it.

    In an address that cannot be split, credentials are cut by pattern.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return CleanUrl(_LOOKS_SECRET.sub(HIDDEN, url), SecretStr(""))
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return CleanUrl(url, SecretStr(""))
    return CleanUrl(urlunsplit(parts._replace(netloc=host)), SecretStr(unquote(userinfo)))


def split_query(url: str) -> tuple[str, dict[str, str]]:
    """Take the query out of an address, such as ``?api-version=1``; paths are appended before it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url, {}
    if not parts.query:
        return url, {}
    return urlunsplit(parts._replace(query="", fragment="")).rstrip("/"), dict(parse_qsl(parts.query))


def typed_address(url: str) -> str:
    """Return an address to type again: without user, password and what may be secret in its query."""
    parts = urlsplit(url)
    public = [
        (name, value)
        for name, value in parse_qsl(parts.query)
        if not _SIGNS.fullmatch(name) and secret_member({name: value}, os.environ) is None
    ]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, urlencode(public), ""))


def key_headers(url: str, key: str, userinfo: str = "") -> dict[str, str]:
    """Return the authentication headers; basic authentication with ``userinfo`` if there is no key.

    Azure's deployments read ``api-key``, its newer addresses and compatible gateways a bearer token. Both are
    sent there, since each ignores the other.
    """
    if key := clean_key(key):
        azure = {"api-key": key} if is_azure(url) else {}
        return {"Authorization": f"Bearer {key}", **azure}
    if userinfo:
        return {"Authorization": f"Basic {base64.b64encode(userinfo.encode()).decode()}"}
    return {}


def clean_key(key: str, name: str = "the API key") -> str:
    """Return a key without surrounding white space; raise ConfigError if it cannot be sent in a header."""
    clean = key.strip()
    if not clean.isascii() or not clean.isprintable() or " " in clean:
        raise ConfigError(f"{name} has characters that no key has, such as a second line; copy it again")
    return clean


def is_azure(url: str) -> bool:
    """Return whether an address is Azure's, or has a deployment in its path as Azure's have."""
    parts = urlsplit(url)
    return (parts.hostname or "").endswith(".azure.com") or "/openai/deployments/" in parts.path


def secrets_named_in(environment: Mapping[str, str]) -> Iterator[SecretStr]:
    """Yield values of variables named like ``MY_API_KEY``, and the credentials in ``*_URL`` addresses."""
    for name, value in environment.items():
        if _NAMES_SECRET.search(name):
            yield SecretStr(value)
        if name.upper().endswith("_URL"):
            yield split_userinfo(value).userinfo


def secret_member(members: Mapping[str, object], environment: Mapping[str, str]) -> str | None:
    """Return the name of a member, at any depth, that seems to hold a secret; None if there is no such one.

    It does by a name on the way, such as ``headers`` or ``password``; a text also by its own name, such as
    ``user_token``, by its form, or because the environment has it as a secret.
    """
    scrub = Scrubber(secrets_named_in(environment)).scrub_quoted
    for path, value in _members(members):
        names = [_WORD_START.sub("_", name).lower().strip("_") for name in path]
        key = _KEY.fullmatch(names[-1]) if names and isinstance(value, str) else None
        is_key = key is not None and not _NO_SECRET.search(key[1])
        if is_key or any(map(_SECRET_WORD.search, names)) or scrub(str(value)) != str(value):
            return ".".join(path)
    return None


def _members(value: object) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield each value that holds no others, with the names down to it."""
    stack: list[tuple[tuple[str, ...], object]] = [((), value)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, Mapping):
            stack += [((*path, str(name)), inner) for name, inner in value.items()]
        elif isinstance(value, list | tuple):
            stack += [(path, inner) for inner in value]
        else:
            yield path, value


class Scrubber:
    """Replaces secrets in text by ``[secret]``.

    Known secrets are found as they are, percent-encoded, in base64 and as a JSON string. Of secrets with at
    least 16 characters every piece of 12 is found too, since an endpoint may echo part of a key, and so is
    the whole with up to three other signs between its characters, such as spaces. Values
    shorter than 6 characters are ignored: hiding them would mangle ordinary text. Of a ``user:password`` pair
    the password is also hidden on its own.
    """

    def __init__(self, secrets: Iterable[str | SecretStr] = ()) -> None:
        self._whole: list[str] = []
        self._pieces: set[str] = set()
        self._spread: dict[str, re.Pattern[str]] = {}
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str | SecretStr) -> None:
        value = (secret.get_secret_value() if isinstance(secret, SecretStr) else secret).strip()
        for form in {value, value.partition(":")[2]}:
            if len(form) < SHORTEST:
                continue
            self._whole.extend(_forms(form))
            if len(form) >= PIECE + 4:
                self._pieces.update(form[i : i + PIECE] for i in range(len(form) - PIECE + 1))
                self._spread[form] = _spread(form)
        self._whole = sorted(set(self._whole), key=lambda form: (-len(form), form))

    def add_address(self, url: str) -> None:
        """Add what may be secret in an address: its userinfo, and its query but for ``api-version``."""
        address, userinfo = split_userinfo(url)
        self.add(userinfo)
        for name, value in split_query(address)[1].items():
            if name != "api-version" and len(value) >= PIECE:
                self.add(value)

    def scrub(self, text: str) -> str:
        """Return the text without known secrets; never raises.

        Only known ones: "a basic photograph of a {}" is a template, not a credential.
        """
        for whole in self._whole:
            if whole in text:
                text = text.replace(whole, HIDDEN)
        for spread in self._spread.values():
            text = spread.sub(HIDDEN, text)
        return self._without_pieces(text) if self._pieces else text

    def scrub_quoted(self, text: str) -> str:
        """Return a quoted header, address or error without known and likely secrets.

        Likely are ``sk-…``, ``Bearer …`` and ``user:password@``.
        """
        return _LOOKS_SECRET.sub(HIDDEN, self.scrub(text))

    def scrub_value(self, value: T, *, quoted: bool = False) -> T:
        """Return a JSON-like value with all texts and keys scrubbed; ``quoted``: by ``scrub_quoted``."""
        clean: object = value
        if isinstance(value, str):
            clean = self.scrub_quoted(value) if quoted else self.scrub(value)
        elif isinstance(value, Mapping):
            pairs = (self.scrub_value(pair, quoted=quoted) for pair in value.items())
            clean = dict(pairs)
        elif isinstance(value, list) and all(type(item) is float or type(item) is int for item in value):
            pass  # a vector, which may be long, is not copied
        elif isinstance(value, list | tuple) and not hasattr(value, "_fields"):
            clean = type(value)(self.scrub_value(item, quoted=quoted) for item in value)
        return clean  # type: ignore[return-value]  # the type is the value's own

    def scrub_error(self, error: BaseException) -> None:
        """Clean an error and its causes in place, so that a traceback shows no secret."""
        cleaned: set[int] = set()
        queue: list[BaseException | None] = [error]
        while queue:
            link = queue.pop()
            if link is None or id(link) in cleaned:
                continue
            cleaned.add(id(link))
            link.args = tuple(self.scrub_quoted(arg) if isinstance(arg, str) else arg for arg in link.args)
            for name in ("message", "body", "__notes__", "doc"):
                if isinstance(content := getattr(link, name, None), str | dict | list):
                    setattr(link, name, self.scrub_value(content, quoted=True))
            queue += [link.__cause__, link.__context__]

    def _without_pieces(self, text: str) -> str:
        shown_pieces: list[str] = []
        position = hidden_to = 0
        for position in range(len(text) - PIECE + 1):
            if text[position : position + PIECE] in self._pieces:
                if position > hidden_to or not hidden_to:
                    shown_pieces += [text[hidden_to:position], HIDDEN]
                hidden_to = position + PIECE
        return "".join([*shown_pieces, text[hidden_to:]]) if hidden_to else text


def _spread(value: str) -> re.Pattern[str]:
    """Match the value with signs between its characters, never its own ones: so a search is linear."""
    other = f"[^A-Za-z0-9{re.escape(''.join(set(value)))}]{{0,3}}"
    return re.compile(other.join(map(re.escape, value)))


def _forms(value: str) -> list[str]:
    try:
        # Python reads non-UTF-8 bytes of the environment as surrogates; the bytes are what is sent.
        raw = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = value.encode("utf-8", "surrogatepass")
    encoded = base64.b64encode(raw).decode()
    return [
        *(value, value.upper(), value.lower(), value[::-1]),
        *(quote(raw, safe=""), encoded.rstrip("="), json.dumps(value)[1:-1], raw.hex()),
    ]
