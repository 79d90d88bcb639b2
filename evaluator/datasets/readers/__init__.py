"""Read data where it lies: one reader per family of layouts, each returns ``Splits``."""
