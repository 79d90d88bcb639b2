"""Stands in for the library of that name: a chat server on loopback, without a model.

It is found by whoever has this folder on the path. What it does stands, as JSON, behind the magic of the
"model": `fails` (a load that fails, with these words), `dies_after` (answers that it gives before it dies).
"""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

TEXT = "- a photo of a {}\n- a sketch of a {}"


def CommonParams() -> SimpleNamespace:  # noqa: N802  # the library's name
    parts = {name: SimpleNamespace() for name in ("model", "cpuparams", "cpuparams_batch")}
    return SimpleNamespace(**parts)


class Server:
    """Listens as soon as it is made."""

    def __init__(self, params: Any) -> None:
        options = json.loads(Path(params.model.path).read_bytes().removeprefix(b"GGUF") or b"{}")
        if "fails" in options:
            for character in f"0.00.001 E load: {options['fails']}\n0.00.002 E init: exiting\n":
                os.write(sys.stderr.fileno(), character.encode())  # as a pipe may give it
            raise RuntimeError("Failed to init server, please check the input params.")
        sys.stdout.write("llama.cpp says something of its own\n")
        sys.stdout.flush()
        Handler.key, Handler.left = params.api_keys[0], options.get("dies_after")
        server = ThreadingHTTPServer((params.hostnames[0], params.port), Handler)
        self.listening_address = f"http://{params.hostnames[0]}:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    key = ""
    left: int | None = None

    def do_GET(self) -> None:  # the library's name
        self._say(200 if self.path == "/health" else 404, {"status": "ok"})

    def do_POST(self) -> None:  # the library's name
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {self.key}":
            self._say(401, {"error": {"message": "Invalid API Key"}})
            return
        if self.left is not None:
            if not Handler.left:
                sys.stderr.write("out of luck\n")
                sys.stderr.flush()
                os._exit(3)
            Handler.left -= 1
        message = {"role": "assistant", "content": TEXT}
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        self._say(200, {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage})

    def log_message(self, format: str, *args: Any) -> None:  # the library's name
        """Say nothing."""

    def _say(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
