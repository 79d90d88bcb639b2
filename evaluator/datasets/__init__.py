"""Data sets: readers for each layout, checks, and few-shot samples."""
