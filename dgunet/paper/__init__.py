"""The paper's six tables: as printed, and as generated from our own measurements."""
