"""llama.cpp's own chat server, in a process of its own that ends with its parent.

Run as a script by ``local_server``; it imports nothing of ours, so that it starts fast and stays small. It
reads settings as one line of JSON from standard input, writes its address as one line of JSON to standard
output, and serves until standard input ends.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

HOST = "127.0.0.1"
ERRORS_ONLY = 1
CONTEXT = 8_192
"""Tokens that all conversations on the server share: some twenty rounds of five templates."""
PROMPTS_KEPT_MIB = 512
"""Memory for displaced conversations; llama.cpp's own limit is 8 GiB."""


def main() -> None:
    """Serve until the parent is gone."""
    settings: dict[str, Any] = json.loads(sys.stdin.readline() or "null") or sys.exit()
    threading.Thread(target=_watch, daemon=True).start()
    # Only the address goes to standard output, not what llama.cpp prints.
    address = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    import xllamacpp

    server = xllamacpp.Server(_params(xllamacpp, settings))
    address.write(json.dumps({"url": server.listening_address}) + "\n")
    address.flush()
    threading.Event().wait()


def _watch() -> None:
    sys.stdin.read()
    os._exit(0)


def _params(xllamacpp: Any, settings: dict[str, Any]) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {settings["name"]}
    params.hostnames = [HOST]
    params.port = 0
    params.api_keys = [settings["key"]]
    params.ui = params.endpoint_slots = False
    params.verbosity = ERRORS_ONLY
    params.n_parallel, params.kv_unified, params.n_ctx = 1, True, CONTEXT
    params.cache_ram_mib = PROMPTS_KEPT_MIB
    for cores in (params.cpuparams, params.cpuparams_batch):
        cores.n_threads = settings["threads"]
    return params


if __name__ == "__main__":
    main()
