"""Datasets from elsewhere: download, unpack, search and import."""
