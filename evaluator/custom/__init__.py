"""Scorers written by users: any Python object that scores templates."""
