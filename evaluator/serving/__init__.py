"""Serve a CLIP model in the forms of three public protocols, to try scorers behind an API."""
