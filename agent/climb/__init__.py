"""The algorithm: restarts, resets and iterations over a ranked memory; no I/O of its own."""
