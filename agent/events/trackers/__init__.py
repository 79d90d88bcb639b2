"""Trackers: where the metrics of a run go besides its own folder."""
