"""Every dataset of the paper as data."""
