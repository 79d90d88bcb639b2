"""A small language model without a key: llama.cpp's own chat server, a child process on loopback.

``make_ready`` fetches the model, ``LlamaServer`` is the child, and ``LocalChat`` asks it.
"""

from .llama_server import LlamaServer, LlamaSettings
from .local_chat import LocalChat
from .readiness import check_here, content_of, is_available, is_installed, make_loaded, make_ready, model_name

__all__ = [
    "LlamaServer",
    "LlamaSettings",
    "LocalChat",
    "check_here",
    "content_of",
    "is_available",
    "is_installed",
    "make_loaded",
    "make_ready",
    "model_name",
]
