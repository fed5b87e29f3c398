"""Training recipes of the paper and of the released code, as data."""
