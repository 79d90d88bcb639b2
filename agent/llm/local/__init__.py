"""A small language model without a key: an OpenAI-compatible chat server on loopback, run by llama.cpp.

``async with LocalLLM() as server`` gives ``server.base_url`` and ``server.model``; ``is_available``
says why it cannot be had, or None.
"""

from .server import LocalLLM, is_available

__all__ = ["LocalLLM", "is_available"]
