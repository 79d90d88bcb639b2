"""Scorers behind an API: chat, zero-shot classification, embeddings."""
