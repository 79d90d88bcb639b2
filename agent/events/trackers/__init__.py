"""Trackers: where the figures of a run go besides its own folder."""
