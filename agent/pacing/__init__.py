"""Requests a minute, tokens a minute and requests in flight."""
