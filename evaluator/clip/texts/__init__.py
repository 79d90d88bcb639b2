"""Encode class texts: exact, and as fast as the machine allows."""
