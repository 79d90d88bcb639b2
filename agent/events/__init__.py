"""Typed events, the event log and trackers."""
